"""The urgent lane: the tree of one log and its signed checkpoint, kept in the bucket less than a minute behind.

First the tiles and entry bundles a checkpoint stands on, then a locked copy of the checkpoint that nobody can take
back, then `checkpoint` itself. So what a reader finds is always complete, and the newest locked copy is what a
rewritten or rolled back log has to explain. It looks at one log; the exporter calls it for all, in turn.

The traps: a power cut takes back the name of a checkpoint that was not synced, and a bucket that remembers it then
accuses an honest log, so the directory is synced before anything leaves. And partial tiles vanish when the tree
grows, between reading the checkpoint and reading them; then the newer checkpoint is taken.
Source: C2SP tlog-tiles and tlog-checkpoint. Signatures are for verifiers to check; here only sizes and roots count.
"""

import hashlib
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import msgspec
import trio

from gateway.errors import GatewayError
from gateway.export.ledger import Ledger
from gateway.export.ship import Shipped, ship
from gateway.export.store import ObjectStore, Put, StoreFailed
from storage.errors import StorageError
from storage.export import LOCKED, MUTABLE, URGENT_BACKOFF, Kind, Outcome
from storage.object_keys import tlog_key
from storage.tlog.checkpoint import Checkpoint, read_unverified
from storage.tlog.note import MAX_NOTE_BYTES
from storage.tlog.tiles import ENTRIES_LEVEL, MAX_BUNDLE_BYTES, Tile, new_tiles
from storage.tlog.tree_reader import CHECKPOINT, CHECKPOINT_COPIES, VKEY

SNAPSHOTS: Final = 3
CONCURRENT: Final = 2

Covered = Callable[[Path], int]
"""Log directory -> the number up to which every segment has its manifest under the log's present checkpoint
(storage.notary.coverage.read_covered). 0: none. May raise StorageError, OSError."""
_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class TreeNotExported(GatewayError):
    """The bucket does not have the newest checkpoint; the message says why. Tried again."""


class _Superseded(Exception):
    """The tree grew past a partial tile that was wanted."""


class _Snapshot(msgspec.Struct, frozen=True):
    """A checkpoint as read: what it says, the note with its signatures, and the segments known to be under it."""

    tip: Checkpoint
    note: bytes
    covered: int
    problem: str  # why `covered` is 0, "" for no reason


class TreeExport:
    """One log's tree. `update` brings the bucket up to date; the rest says how far it is."""

    def __init__(
        self,
        log_directory: Path,
        prefix: str,
        store: ObjectStore,
        ledger: Ledger,
        limiter: trio.CapacityLimiter,
        *,
        clock: Callable[[], int],
        covered: Covered,
    ) -> None:
        """The tree is in `tlog` below the log's directory. clock: UTC nanoseconds."""
        self._verifier_sent = False
        self.exported_size = 0  # entries of the newest checkpoint verified in the bucket
        self.exported_at_ns: int | None = None  # UTC; when that was done in this run
        self.covered = 0  # every segment up to this number has its manifest under that checkpoint
        self.alarms: dict[str, str] = {}  # by key
        self.problem = ""  # why the bucket is behind, "" while it is not
        self._log, self._directory, self._prefix = log_directory, log_directory / "tlog", prefix
        self._store, self._ledger, self._limiter = store, ledger, limiter
        self._clock, self._covered = clock, covered
        self._sent = b""  # the note the bucket has
        self._remote: Checkpoint | None = None  # the newest the bucket is known to have had
        self._asked = False
        self._doubtful = ledger.was_lost  # what is to be sent is probably there
        self._there: set[str] = set()  # files verified for a checkpoint that is not there yet
        self._failures = 0
        self._behind_since_s: float | None = None
        self._not_before_s = 0.0

    def behind_s(self) -> float:
        """How long the bucket has been known to be behind the log; 0 when it is not."""
        return 0.0 if self._behind_since_s is None else trio.current_time() - self._behind_since_s

    async def update(self, *, hurry: bool = False) -> bool:
        """Export the newest checkpoint. True: the bucket has it. hurry: do not wait out earlier failures."""
        if trio.current_time() < self._not_before_s and not hurry:
            return False
        try:
            await self._update()
        except (TreeNotExported, StorageError, OSError) as error:
            self._failures += 1
            wait_s = URGENT_BACKOFF.delay_s(self._failures, random.random())
            self._not_before_s = trio.current_time() + wait_s
            self.problem = f"the checkpoint of log {self._log.name} is not exported: {error}"
            return False
        self._failures = 0
        return True

    async def _update(self) -> None:
        for _ in range(SNAPSHOTS):
            snapshot = await self._in_thread(self._read_snapshot)
            if snapshot is None:
                self.problem = ""
                return
            if self._behind_since_s is None:
                self._behind_since_s = trio.current_time()
            await self._ask_remote(snapshot.tip)
            try:
                await self._export(snapshot)
            except _Superseded:
                continue
            self._sent, self._behind_since_s, self.problem = snapshot.note, None, snapshot.problem
            return
        raise TreeNotExported("the tree grows faster than it can be read")

    async def _export(self, snapshot: _Snapshot) -> None:
        tip = snapshot.tip
        await self._send_verifier(tip)
        await self._send_tiles(tip)
        copy = f"{CHECKPOINT_COPIES}/{tip.size}"
        if copy not in self._there:
            await self._send(
                self._put(tip, copy, snapshot.note, Kind.CHECKPOINT_COPY), Kind.CHECKPOINT_COPY, tip
            )
            self._there.add(copy)
        if self._contradicts(tip):
            return
        newest = self._put(tip, CHECKPOINT, snapshot.note, Kind.CHECKPOINT)
        shipped = await self._send(newest, Kind.CHECKPOINT, tip)
        entry = msgspec.structs.replace(shipped.entry, tree_size=tip.size)
        await self._in_thread(self._ledger.add, entry)
        self._there.clear()
        self._doubtful = False
        self.exported_size, self.exported_at_ns, self._remote = tip.size, self._clock(), tip
        self.covered = max(self.covered, snapshot.covered)

    async def _send_verifier(self, tip: Checkpoint) -> None:
        """The public key, once and locked: whoever finds the copy can check it for itself."""
        if self._verifier_sent:
            return
        data = await self._in_thread(self._read, VKEY, MAX_NOTE_BYTES)
        if data is not None:
            await self._send(self._put(tip, VKEY, data, Kind.VERIFIER), Kind.VERIFIER, tip)
            self._verifier_sent = True

    async def _send_tiles(self, tip: Checkpoint) -> None:
        """Upload what the bucket lacks, several at once; the first failure ends it."""
        waiting = new_tiles(min(self.exported_size, tip.size), tip.size)
        failures: list[Exception] = []

        async def work() -> None:
            for tile in waiting:
                try:
                    await self._send_tile(tip, tile)
                except (TreeNotExported, _Superseded, OSError) as failure:
                    failures.append(failure)
                if failures:
                    return

        async with trio.open_nursery() as nursery:
            for _ in range(CONCURRENT):
                nursery.start_soon(work)
        if failures:
            raise failures[0]

    async def _send_tile(self, tip: Checkpoint, tile: Tile) -> None:
        if tile.path in self._there:
            return
        data = await self._in_thread(self._read, tile.path, MAX_BUNDLE_BYTES)
        if data is None:
            if tile.is_full:
                raise TreeNotExported(f"{tile.path} is missing on disk: the tree has to be made again")
            raise _Superseded
        full = Kind.ENTRIES if tile.level == ENTRIES_LEVEL else Kind.TILE
        kind = full if tile.is_full else Kind.PARTIAL
        await self._send(self._put(tip, tile.path, data, kind), kind, tip)
        self._there.add(tile.path)

    def _put(self, tip: Checkpoint, name: str, data: bytes, kind: Kind) -> Put:
        key = tlog_key(self._prefix, tip.origin, name)
        return Put(key, data, len(data), hashlib.sha256(data).digest(), kind in LOCKED)

    async def _send(self, put: Put, kind: Kind, tip: Checkpoint) -> Shipped:
        """Upload and compare. An object with other bytes is an alarm, and the rest goes on. Raises TreeNotExported."""
        mutable = kind in MUTABLE
        there = self._doubtful and not mutable
        attempt = partial(ship, self._store, put, self._clock(), mutable=mutable, probably_there=there)
        shipped = await self._in_thread(attempt)
        last = shipped.answers[-1]
        if last.outcome is Outcome.DIFFERENT and not mutable:
            if kind is not Kind.CHECKPOINT_COPY or not await self._says_the_same(tip, put.key):
                self.alarms[put.key] = last.detail
        elif last.outcome is not Outcome.SAME:
            raise TreeNotExported(last.detail)
        return shipped

    async def _says_the_same(self, tip: Checkpoint, key: str) -> bool:
        """Whether a locked copy is of the same tree, signed by fewer or other witnesses: then it is as good."""
        copy = await self._get(key)
        return copy is not None and copy.text == tip.text

    # --- what the bucket had before -----------------------------------------------------------------------

    async def _ask_remote(self, tip: Checkpoint) -> None:
        """Once: how far the bucket was when this run began. What the ledger says counts only with a checkpoint there."""
        if self._asked:
            return
        key = tlog_key(self._prefix, tip.origin, CHECKPOINT)
        entry = self._ledger.get(key)
        self._remote = await self._get(key)
        if entry is not None and self._remote is not None:
            self.exported_size = min(entry.tree_size, self._remote.size)
        self._asked = True

    async def _get(self, key: str) -> Checkpoint | None:
        """A checkpoint in the bucket; None when there is none, or none that we may see. Raises TreeNotExported."""
        try:
            return read_unverified(await self._in_thread(self._store.get, key, MAX_NOTE_BYTES))
        except StoreFailed as failure:
            if failure.answer.outcome in (Outcome.MISSING, Outcome.DENIED):
                return None
            raise TreeNotExported(str(failure)) from None
        except StorageError as error:
            self.alarms[key] = f"{key} in the bucket is no checkpoint: {error}"
            return None

    def _contradicts(self, tip: Checkpoint) -> bool:
        """Whether the bucket had a checkpoint that this log should have grown from and did not. Then `checkpoint`
        there stays as it is, and the locked copies show both."""
        remote = self._remote
        if remote is None or remote.size < tip.size or (remote.size, remote.root) == (tip.size, tip.root):
            return False
        what = "is shorter than" if remote.size > tip.size else "differs from"
        self.alarms[tlog_key(self._prefix, tip.origin, CHECKPOINT)] = (
            f"log {self._log.name} ({tip.size} entries) {what} its own checkpoint in the bucket ({remote.size} "
            "entries): it was rolled back or rewritten. Keep both, and verify both"
        )
        return True

    # --- files ----------------------------------------------------------------------------------------------

    def _read_snapshot(self) -> _Snapshot | None:
        """The checkpoint, durable; None when there is none or the bucket has it."""
        covered, problem = 0, ""
        try:
            covered = self._covered(self._log)  # before the checkpoint, which then covers at least as much
        except (StorageError, OSError) as error:
            problem = f"which segments log {self._log.name} proves cannot be read: {error}"
        note = self._read(CHECKPOINT, MAX_NOTE_BYTES)
        if note is None or note == self._sent:
            return None
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        return _Snapshot(read_unverified(note), note, covered, problem)

    def _read(self, name: str, limit_bytes: int) -> bytes | None:
        try:
            with open(self._directory / name, "rb") as file:
                data = file.read(limit_bytes + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > limit_bytes:
            raise OSError(f"{name} is larger than {limit_bytes} bytes")
        return data

    async def _in_thread(
        self, function: Callable[[*_Arguments], _Result], *arguments: *_Arguments
    ) -> _Result:
        # Left behind when cancelled: a thread that ends later has only created what had to be created anyway.
        return await trio.to_thread.run_sync(
            function, *arguments, limiter=self._limiter, abandon_on_cancel=True
        )
