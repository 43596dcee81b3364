"""Conduct: a directory of policy files -> the policy in force. Reloads when files change; keeps the last good one.

A change is seen by polling names, sizes, times and inodes once a second, which also sees the `..data` symlink that
Kubernetes swaps under a ConfigMap. Files are read twice and must not change in between, so that half a copy is not
taken for a policy. Reading and compiling happen in a thread; `current` is swapped in one assignment.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import trio

from gateway.errors import GatewayError
from gateway.policy.decide import Policy
from gateway.policy.load import load_policy
from gateway.policy.problems import BadPolicy
from gateway.policy.reading import MAX_FILE_BYTES

POLL_S: Final = 1.0
MAX_FILES: Final = 1000
MAX_TOTAL_BYTES: Final = 16 * 1024 * 1024
_SUFFIXES: Final = (".yaml", ".yml")
_MAX_READS: Final = 5

NO_PACKS: Final[Mapping[str, bytes]] = MappingProxyType({})

Signature: TypeAlias = tuple[tuple[str, int, int, int, int], ...]
"""Of every file: name, device, inode, size, time of change."""


class UnreadablePolicy(GatewayError):
    """The files cannot be read, or are too many; the message says which and why."""


class PolicySource:
    """The policy in force.

    directory: None where only packs decide. packs: files that join those of the directory, by name; they come with the
    program and never change. current: None until `load` succeeded. on_change: called with every new policy, in the
    Trio thread, after the swap.
    """

    def __init__(
        self,
        directory: Path | None,
        on_change: Callable[[Policy], None] = lambda _: None,
        *,
        packs: Mapping[str, bytes] = NO_PACKS,
    ) -> None:
        self.directory: Final = directory
        self._packs: Final = packs
        self.current: Policy | None = None
        self.on_change = on_change
        self._problem = ""
        self._tried: Signature | None = None
        self._loading = trio.Lock()

    def problem(self) -> str:
        """One line for readyz: why the files on disk are not what is in force. "" when they are."""
        return self._problem

    async def load(self) -> None:
        """Read for the first time. Raises BadPolicy, UnreadablePolicy: without a policy there is nothing to keep."""
        async with self._loading:
            await self._load()

    async def reload(self) -> bool:
        """Read again, whether or not files changed (SIGHUP). Returns whether the files are now in force."""
        async with self._loading:
            return await self._try()

    async def watch(self) -> None:
        """Reload whenever the files change, for ever. Returns at once where there is no directory."""
        while self.directory is not None:
            await trio.sleep(POLL_S)
            await self.poll()

    async def poll(self) -> bool:
        """Look once; reload if something changed since the last try. Returns whether it tried."""
        async with self._loading:
            try:
                seen = await trio.to_thread.run_sync(self._look)
            except UnreadablePolicy as error:
                self._problem = self._kept(str(error))
                self._tried = None
                return True
            if seen == self._tried:
                return False
            await self._try()
            return True

    async def _try(self) -> bool:
        try:
            await self._load()
        except (BadPolicy, UnreadablePolicy) as error:
            self._problem = self._kept(_first_line(error))
            return False
        return True

    async def _load(self) -> None:
        seen, files = await trio.to_thread.run_sync(self._read)
        self._tried = seen  # a broken file is not compiled again every second
        policy = await trio.to_thread.run_sync(load_policy, files)
        self._problem = ""
        changed = self.current is None or self.current.sha256 != policy.sha256
        if changed:
            self.current = policy
            self.on_change(policy)

    def _look(self) -> Signature:
        return signature_of(self.directory) if self.directory is not None else ()

    def _read(self) -> tuple[Signature, Mapping[str, bytes]]:
        """An empty directory is a mistake, packs or not: somebody meant to have files there."""
        if self.directory is None:
            return (), self._packs
        seen, files = read_policy_files(self.directory)
        return seen, {**files, **self._packs} if files else files

    def _kept(self, why: str) -> str:
        kept = f"; {self.current.sha256[:12]} stays in force" if self.current is not None else ""
        return f"policy not loaded: {why}{kept}"


def read_policy_files(directory: Path) -> tuple[Signature, Mapping[str, bytes]]:
    """All *.yaml and *.yml of a directory, by name, as they were at one moment. Blocking. Raises UnreadablePolicy."""
    for _ in range(_MAX_READS):
        before = signature_of(directory)
        files = {name: _read(directory / name) for name, *_ in before}
        if sum(map(len, files.values())) > MAX_TOTAL_BYTES:
            raise UnreadablePolicy(f"the files in {directory} are larger than {MAX_TOTAL_BYTES} bytes")
        if signature_of(directory) == before:
            return before, files
    raise UnreadablePolicy(f"the files in {directory} change all the time")


def signature_of(directory: Path) -> Signature:
    """What changes when any of the files does. Blocking. Raises UnreadablePolicy."""
    try:
        names = sorted(name for name in os.listdir(directory) if _is_policy(name))
        if len(names) > MAX_FILES:
            raise UnreadablePolicy(f"more than {MAX_FILES} policy files in {directory}")
        found = [(name, (directory / name).stat()) for name in names]
    except OSError as error:
        raise UnreadablePolicy(f"cannot read {error.filename or directory}: {error.strerror}") from error
    return tuple((name, at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns) for name, at in found)


def _is_policy(name: str) -> bool:
    return name.endswith(_SUFFIXES) and not name.startswith(".")


def _read(path: Path) -> bytes:
    """At most a byte more than a policy file may have."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadablePolicy(f"cannot read {path}: {error.strerror}") from error


def _first_line(error: Exception) -> str:
    first, _, rest = str(error).partition("\n")
    return f"{first} (and {rest.count(chr(10)) + 1} more: kubetape policy check)" if rest else first
