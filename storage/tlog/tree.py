"""The log's Merkle tree on disk: c2sp.org/tlog-tiles below one directory, grown and published. Conduct.

    checkpoint           the signed truth, replaced by each `publish`; durable in content, not yet in name
    checkpoints/<size>   copies that stay: one a minute, and every one asked for
    tile/...             hash tiles and entry bundles, written before the checkpoint that needs them
    synced               up to which size `sync` has made everything durable; ours, not to be exported

`append` is memory only. `publish` writes what the new checkpoint covers, through temporary names, so a killed
process leaves whole files and a checkpoint that fits them. Tiles are not synced each time: a sync a second
would slow the data path on the same disk. After a power cut they may be garbage; opening finds that out by
comparing all tiles since the last `sync` with the signed root, and `rebuild` makes them again.

The trap: whatever leaves this machine must not be forgotten by it. Before a checkpoint goes to a witness or
a bucket, publish it with `durable=True`: else a power cut can take it back, the tree grows another way, and
the witness sees a fork. Only one thread at a time, of the process that holds the log's lock.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from storage.errors import LogFailed
from storage.files import FileOps, log_failed
from storage.tlog.checkpoint import BadCheckpoint, Checkpoint, open_checkpoint, read_unverified
from storage.tlog.merkle import HashReader
from storage.tlog.note import BadNote, BadSignature, NotSigned, VerifierKey
from storage.tlog.tiles import TILE_WIDTH, Tile, edge_tiles, new_tiles
from storage.tlog.tree_edge import TreeEdge
from storage.tlog.tree_files import SYNCED, TreeFiles
from storage.tlog.tree_reader import CHECKPOINT, CHECKPOINT_COPIES, TreeDamaged, TreeReader

COPY_INTERVAL_S: Final = 60.0
"""An auditor wants to step back in time by the minute; a copy is 200 bytes, half a million a year."""
_REBUILD_STEP: Final = 64 * TILE_WIDTH
"""Entries held in memory while rebuilding: a few MB."""


class TreeStore:
    """Opens what is there. Raises TreeDamaged (then try `rebuild`) and LogFailed.

    keys: of the log; if given, its checkpoint must be signed by one. clock: monotonic seconds.
    """

    def __init__(
        self,
        files: FileOps,
        directory: Path,
        *,
        keys: Sequence[VerifierKey] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._clock = directory, clock
        self._disk = TreeFiles(files, directory)
        with _translated("open tree", directory):
            newest = _newest_checkpoint(self._disk, keys)
            self.note: bytes | None = newest[0]
            self.checkpoint: Checkpoint | None = newest[1]
            size = self.checkpoint.size if self.checkpoint else 0
            self._reader = TreeReader(self._disk.read, size)
            synced = min(self._disk.read_synced(), size)
            if self.checkpoint is not None:
                _compare_roots(self._reader, self.checkpoint)
                self._reader.check(since=synced)
            self._edge = TreeEdge(size, self._reader.values)
            for tile in edge_tiles(size):  # a partial tile may have been read from a full one of the future
                if self._disk.prepare(tile, self._edge.tile_bytes(tile)):
                    self._disk.adopt(tile)
            self._disk.sweep(size)
        self._unsynced: dict[Tile, None] = dict.fromkeys(new_tiles(synced, size))
        self._stale: list[Tile] = []
        self._heads: dict[int, bytes] = {}
        self._sync_failed: LogFailed | None = None
        self._copied_at_s = -COPY_INTERVAL_S

    # --- growing --------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Leaves appended, published or not."""
        return self._edge.size

    def append(self, entries: Iterable[bytes]) -> None:
        """Add entries, in memory only. Raises ValueError for one over 65 535 bytes."""
        for entry in entries:
            self._edge.append(entry)

    def head(self) -> tuple[int, bytes]:
        """Size and root as of now: what the next checkpoint is to say. More may be appended meanwhile."""
        size = self._edge.size
        if size not in self._heads:
            self._heads[size] = self._edge.root()
        return size, self._heads[size]

    def publish(self, note: bytes, *, keep: bool = False, durable: bool = False) -> None:
        """Make a checkpoint note, for what `head` gave, the published one; or add signatures to that.

        keep: keep a copy of it for good. durable: on return it and everything it covers survive a power cut,
        and at no moment is it on the disk before its tiles are; otherwise they survive the death of this
        process only. Raises ValueError for a checkpoint of another tree, BadNote, BadCheckpoint, and
        LogFailed: then `self.checkpoint` says which one is published, and publishing again is safe.
        """
        checkpoint = read_unverified(note)
        self._expect(checkpoint)
        before = self.checkpoint.size if self.checkpoint else 0
        with _translated("publish", self._directory):
            for tile in new_tiles(before, checkpoint.size):
                self._disk.write(tile.path, self._edge.tile_bytes(tile))
                self._unsynced[tile] = None
        if durable:
            self._sync_tiles()
        with _translated("publish", self._directory):
            self._disk.write(CHECKPOINT, note, synced=True)
            self._advance(before, checkpoint, note)
            self._copy(note, keep)
        if durable:
            self.sync()

    def _expect(self, checkpoint: Checkpoint) -> None:
        known = self.checkpoint
        if known is not None and known.origin != checkpoint.origin:
            raise ValueError(f"the tree is that of {known.origin!r}, not of {checkpoint.origin!r}")
        same = known is not None and known.size == checkpoint.size
        root = known.root if known is not None and same else self._heads.get(checkpoint.size)
        if root != checkpoint.root:
            raise ValueError(f"a checkpoint of size {checkpoint.size} that is no head of this tree")

    def _advance(self, before: int, checkpoint: Checkpoint, note: bytes) -> None:
        self.note, self.checkpoint = note, checkpoint
        if checkpoint.size == before:
            return
        self._reader = TreeReader(self._disk.read, checkpoint.size)
        self._edge.forget(checkpoint.size)
        self._heads = {size: root for size, root in self._heads.items() if size > checkpoint.size}
        # Superseded partial tiles go one publish later, so that whoever reads meanwhile finds them.
        kept = set(edge_tiles(checkpoint.size))
        stale, self._stale = self._stale, [tile for tile in edge_tiles(before) if tile not in kept]
        for tile in stale:
            self._unsynced.pop(tile, None)
            self._disk.remove(tile)

    def _copy(self, note: bytes, keep: bool) -> None:
        now_s = self._clock()
        if keep or now_s - self._copied_at_s >= COPY_INTERVAL_S:
            size = self.checkpoint.size if self.checkpoint else 0
            self._disk.write(f"{CHECKPOINT_COPIES}/{size}", note, synced=True)
            self._copied_at_s = now_s

    def sync(self) -> None:
        """Make everything published durable; to be called before a segment may be deleted.

        Raises LogFailed, and again at every later call: after a failed sync the disk may have dropped what
        it said it holds. Open the store anew (or rebuild) to get out of that.
        """
        self._sync_tiles()
        with self._latched():
            self._disk.sync_names()
            self._disk.write(SYNCED, b"%d\n" % (self.checkpoint.size if self.checkpoint else 0), synced=True)

    def _sync_tiles(self) -> None:
        with self._latched():
            self._disk.sync_tiles(self._unsynced)
        self._unsynced = {}

    @contextmanager
    def _latched(self) -> Iterator[None]:
        if self._sync_failed is not None:
            raise self._sync_failed
        try:
            with _translated("sync tree", self._directory):
                yield
        except LogFailed as error:
            self._sync_failed = error
            raise

    # --- reading what is published --------------------------------------------------------------

    @property
    def reader(self) -> TreeReader:
        """Of the published tree."""
        return self._reader

    @property
    def hash_reader(self) -> HashReader:
        return self._reader.hash_reader

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        return self._reader.entries(start, end)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        return self._reader.inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        return self._reader.consistency_proof(old, new)

    # --- making it again ------------------------------------------------------------------------

    @classmethod
    def rebuild(
        cls,
        files: FileOps,
        directory: Path,
        entries: Iterable[bytes],
        *,
        keys: Sequence[VerifierKey] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> "TreeStore":
        """Write the tiles anew from the log's entries, and open the store. As many are taken as the signed
        checkpoint covers; further ones are the caller's to append.

        Nothing is replaced before the entries have led to the signed root. Raises TreeDamaged when they do
        not: then what was signed is not what the segments hold, and that is a finding, not a repair.
        """
        disk = TreeFiles(files, directory)
        with _translated("rebuild tree", directory):
            _, checkpoint = _newest_checkpoint(disk, keys)
            if checkpoint is not None:
                _rebuild(disk, checkpoint, entries)
        return cls(files, directory, keys=keys, clock=clock)


def open_tree_reader(
    files: FileOps, directory: Path, keys: Sequence[VerifierKey] = ()
) -> tuple[TreeReader, bytes]:
    """A tree, live or a copy, for reading only, and its newest checkpoint note.

    Its root is compared with the checkpoint's; use `check` for every tile. Raises TreeDamaged, OSError.
    """
    disk = TreeFiles(files, directory)
    note, checkpoint = _newest_checkpoint(disk, keys)
    if note is None or checkpoint is None:
        raise TreeDamaged(CHECKPOINT, "missing")
    reader = TreeReader(disk.read, checkpoint.size)
    _compare_roots(reader, checkpoint)
    return reader, note


def _compare_roots(reader: TreeReader, checkpoint: Checkpoint) -> None:
    if reader.root() != checkpoint.root:
        size = checkpoint.size
        raise TreeDamaged(CHECKPOINT, f"the tiles lead to another root than the one signed for size {size}")


def _newest_checkpoint(
    disk: "TreeFiles", keys: Sequence[VerifierKey]
) -> tuple[bytes, Checkpoint] | tuple[None, None]:
    """The signed truth. A copy may be ahead of `checkpoint`, whose new name a power cut can take back."""
    newest = max(disk.copies(), default=-1)
    try:
        note = disk.read(CHECKPOINT)
    except FileNotFoundError:
        if newest < 0:
            return None, None
        raise TreeDamaged(CHECKPOINT, f"missing, though there is {CHECKPOINT_COPIES}/{newest}") from None
    checkpoint = _parsed(CHECKPOINT, note, keys)
    if newest > checkpoint.size:
        path = f"{CHECKPOINT_COPIES}/{newest}"
        note = disk.read(path)
        checkpoint = _parsed(path, note, keys)
        if checkpoint.size != newest:
            raise TreeDamaged(path, f"is of size {checkpoint.size}")
    return note, checkpoint


def _parsed(path: str, note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return open_checkpoint(note, keys) if keys else read_unverified(note)
    except (BadNote, BadCheckpoint, BadSignature, NotSigned) as error:
        raise TreeDamaged(path, str(error)) from None


def _rebuild(disk: TreeFiles, checkpoint: Checkpoint, entries: Iterable[bytes]) -> None:
    prepared: list[Tile] = []
    try:
        _prepare(disk, checkpoint, iter(entries), prepared)
    except TreeDamaged:
        for tile in prepared:
            disk.discard(tile)
        raise
    for tile in prepared:
        disk.adopt(tile)


def _prepare(disk: TreeFiles, checkpoint: Checkpoint, source: Iterator[bytes], prepared: list[Tile]) -> None:
    """Lay every tile that is missing or wrong beside its place, and compare the root."""
    edge, size = TreeEdge(), checkpoint.size
    while edge.size < size:
        before = edge.size
        for entry in islice(source, min(_REBUILD_STEP, size - before)):
            edge.append(entry)
        if edge.size == before:
            raise TreeDamaged(CHECKPOINT, f"covers {size} entries, the log has only {before}")
        tiles = [tile for tile in new_tiles(before, edge.size) if tile.is_full]
        if edge.size == size:
            tiles += edge_tiles(size)
        prepared += [tile for tile in tiles if disk.prepare(tile, edge.tile_bytes(tile))]
        edge.forget(edge.size)
    if edge.root() != checkpoint.root:
        raise TreeDamaged(CHECKPOINT, f"the log's {size} entries lead to another root than was signed")


@contextmanager
def _translated(operation: str, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise log_failed(operation, directory, error) from error
