"""File operations that fail: at the k-th call, or by a power cut that keeps only some of the writes.

`FailingFiles` wraps real files and makes one call fail; like Linux after a failed fsync, every later call
succeeds again. `CrashFiles` is a file system in memory that knows what is durable: after a cut, each write
since the last sync of its file may be there, be torn at a sector, or be missing, and each name changed
since the last sync of its directory may be new or old. Directories themselves are not modelled: each is
there, and durable, from the start.
"""

import errno
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from storage.files import RealFiles, Space

SECTOR = 512
WRITING = frozenset(
    {
        "lock",
        "create",
        "open_write",
        "write",
        "sync_data",
        "sync",
        "truncate",
        "rename",
        "remove",
        "sync_directory",
    }
)


class FailingFiles(RealFiles):
    """Real files whose k-th writing call (from 1, counted over all kinds) raises, or writes short.

    only: count calls of this one kind. calls: the kinds seen so far, in order.
    """

    def __init__(
        self, fail_at: int = 0, code: int = errno.EIO, *, short: bool = False, only: str = ""
    ) -> None:
        self.calls: list[str] = []
        self.failed = False
        self._fail_at, self._code, self._short, self._only = fail_at, code, short, only
        self._counted = 0

    def _enter(self, kind: str) -> bool:
        """Count a call; raise, or say that this write is to be short."""
        self.calls.append(kind)
        if self._only in ("", kind):
            self._counted += 1
            if self._counted == self._fail_at:
                self.failed = True
                if kind == "write" and self._short:
                    return True
                raise OSError(self._code, "injected")
        return False

    def lock(self, path: Path) -> int:
        self._enter("lock")
        return super().lock(path)

    def create(self, path: Path) -> int:
        self._enter("create")
        return super().create(path)

    def open_write(self, path: Path) -> int:
        self._enter("open_write")
        return super().open_write(path)

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> int:
        if self._enter("write"):
            data = b"".join(parts)
            return super().write(fd, [data[: len(data) // 2]], offset)
        return super().write(fd, parts, offset)

    def sync_data(self, fd: int) -> None:
        self._enter("sync_data")
        super().sync_data(fd)

    def sync(self, fd: int) -> None:
        self._enter("sync")
        super().sync(fd)

    def truncate(self, fd: int, size: int) -> None:
        self._enter("truncate")
        super().truncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        self._enter("rename")
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._enter("remove")
        super().remove(path)

    def sync_directory(self, directory: Path) -> None:
        self._enter("sync_directory")
        super().sync_directory(directory)

    def space(self, directory: Path) -> Space:
        if self._only == "space":
            self._enter("space")
        return super().space(directory)


class _Inode:
    """One file: what is durable, and what was done since."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.current = bytearray(durable)
        self.pending: list[tuple[int, bytes]] = []  # writes; a truncation is (size, no bytes)

    def write(self, offset: int, data: bytes) -> None:
        apply_write(self.current, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        self.durable, self.pending = bytes(self.current), []


def apply_write(content: bytearray, offset: int, data: bytes) -> None:
    """Write at an offset; no bytes: cut there."""
    if not data:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


Choose = Callable[[int, bytes], bytes | None]
"""Which part of a pending write survives: (its number, its bytes) -> bytes, None for nothing."""


class CrashFiles:
    """FileOps in memory with a power switch. cut_at: the writing call (from 1) at which the power goes.

    From then on every call raises. `image` makes the file system one finds after the cut.
    """

    def __init__(self, names: dict[Path, bytes] | None = None, cut_at: int = 0) -> None:
        self.calls = 0
        self._cut_at = cut_at
        self._names = {path: _Inode(content) for path, content in (names or {}).items()}
        self._durable_names = dict(self._names)
        # (new name or none: removed, old name if any, file), since the last sync of their directory
        self._name_changes: list[tuple[Path | None, Path | None, _Inode]] = []
        self._open: dict[int, _Inode] = {}
        self._next_fd = 1_000_000

    def _count(self) -> None:
        if self._cut_at and self.calls >= self._cut_at:
            raise OSError(errno.EIO, "the power is off")
        self.calls += 1
        if self.calls == self._cut_at:
            raise OSError(errno.EIO, "the power is off")

    def _descriptor(self, inode: _Inode) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = inode
        return self._next_fd

    def _inode(self, path: Path) -> _Inode:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self._names[path]

    # --- FileOps --------------------------------------------------------------------------------

    def make_directory(self, directory: Path) -> None:
        pass

    def names(self, directory: Path) -> list[str]:
        return [path.name for path in self._names if path.parent == directory]

    def lock(self, path: Path) -> int:
        return self._descriptor(_Inode())

    def create(self, path: Path) -> int:
        self._count()
        self._names[path] = _Inode()
        self._name_changes.append((path, None, self._names[path]))
        return self._descriptor(self._names[path])

    def open_write(self, path: Path) -> int:
        return self._descriptor(self._inode(path))

    def open_read(self, path: Path) -> int:
        return self._descriptor(self._inode(path))

    def size(self, fd: int) -> int:
        return len(self._open[fd].current)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        return bytes(self._open[fd].current[offset : offset + length])

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> int:
        data = b"".join(parts)
        # The write under way when the power goes may be on the disk, in whole or in part.
        self._open[fd].write(offset, data)
        self._count()
        return len(data)

    def sync_data(self, fd: int) -> None:
        self._count()
        self._open[fd].sync()

    sync = sync_data

    def truncate(self, fd: int, size: int) -> None:
        self._count()
        self._open[fd].write(size, b"")

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        self._names[target] = self._inode(source)
        del self._names[source]
        self._name_changes.append((target, source, self._names[target]))

    def remove(self, path: Path) -> None:
        self._count()
        self._name_changes.append((None, path, self._inode(path)))
        del self._names[path]

    def sync_directory(self, directory: Path) -> None:
        self._count()
        elsewhere = {path: inode for path, inode in self._durable_names.items() if path.parent != directory}
        here = {path: inode for path, inode in self._names.items() if path.parent == directory}
        self._durable_names = elsewhere | here
        # Renames stay within their directory, so a change belongs to one.
        self._name_changes = [
            change
            for change in self._name_changes
            if (change[0] or change[1] or directory).parent != directory
        ]

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)

    def space(self, directory: Path) -> Space:
        return Space(1 << 40, 1 << 41)

    # --- after the cut ----------------------------------------------------------------------------

    def pending_writes(self) -> int:
        return sum(len(inode.pending) for inode in self._inodes())

    def pending_names(self) -> int:
        return len(self._name_changes)

    def _inodes(self) -> list[_Inode]:
        """Every file that has a name now or may have one after the cut, in a stable order."""
        found: dict[int, _Inode] = {}
        changed = (inode for _, _, inode in self._name_changes)
        for inode in (*self._durable_names.values(), *self._names.values(), *changed):
            found[id(inode)] = inode
        return list(found.values())

    def image(self, choose: Choose, kept_names: int) -> "CrashFiles":
        """What is found after a cut: the first `kept_names` name changes (a journal keeps their order),
        and of each pending write what `choose` says."""
        contents: dict[int, bytes] = {}
        number = 0
        for inode in self._inodes():
            content = bytearray(inode.durable)
            for offset, data in inode.pending:
                kept = choose(number, data)
                number += 1
                if kept is not None and (kept or not data):
                    apply_write(content, offset, kept)
            contents[id(inode)] = bytes(content)
        names = dict(self._durable_names)
        for new, old, inode in self._name_changes[:kept_names]:
            if old is not None:
                names.pop(old, None)
            if new is not None:
                names[new] = inode
        return CrashFiles({path: contents[id(inode)] for path, inode in names.items()})

    def images(self, rng: random.Random, samples: int) -> Iterator["CrashFiles"]:
        """Crash states: nothing kept, all kept, each write alone, each torn, then `samples` at random."""
        names = self.pending_names()
        yield self.image(lambda number, data: None, 0)
        yield self.image(lambda number, data: data, names)
        for wanted in range(self.pending_writes()):
            for kept in range(names + 1):
                yield self.image(lambda number, data, wanted=wanted: data if number == wanted else None, kept)  # type: ignore[misc]
                yield self.image(lambda number, data, wanted=wanted: None if number == wanted else data, kept)  # type: ignore[misc]
        for _ in range(samples):
            yield self.image(lambda number, data: torn(rng, data), rng.randint(0, names))


def torn(rng: random.Random, data: bytes) -> bytes | None:
    """A random part of a write: none, all, a prefix at any byte, or any sectors (the others old: zeros)."""
    kind = rng.randrange(4)
    if kind == 0:
        return None
    if kind == 1 or not data:
        return data
    if kind == 2:
        return data[: rng.randint(1, len(data))]
    sectors = [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]
    return b"".join(sector if rng.random() < 0.5 else bytes(len(sector)) for sector in sectors)
