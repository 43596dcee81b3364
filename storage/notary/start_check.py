"""Before a log is written on: is what was signed still there?

Conduct: reads the end of the tree and the names of the segments, so it takes milliseconds whatever the size; the
newest frame and the newest complete segment under the last checkpoint must be there as they were signed, and no
segment may be missing without a tombstone. It does not prove the log (`verify` does); it keeps a gateway from writing
on over a disk that was rolled back, and from giving out record numbers twice.

The trap: a disk restored as a whole, tree and segments together, looks sound from within. Only a checkpoint held
elsewhere (witness, bucket) shows that.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.keys import read_small
from storage.errors import CorruptFrame, LogFailed, LogInUse, StorageError, UnknownDictionary
from storage.files import FileOps, exists, file_size, log_failed
from storage.format import (
    SUFFIX_OPEN,
    SUFFIX_RECOVERED,
    SUFFIX_SEALED,
    SUFFIX_TOMBSTONE,
    SegmentName,
)
from storage.notary.anchor import Anchors, find_anchors, number_of
from storage.notary.leaf import BlockLeaf, RecoveredLeaf, SealedLeaf
from storage.notary.loss import TREE_LOST, read_losses
from storage.notary.marks import MARKS_NAME
from storage.notary.retelling import TREE_DIRECTORY, open_store
from storage.notary.statement import MAX_STATEMENT_BYTES
from storage.notary.tombstone import open_tombstone, read_tombstone
from storage.reader import READABLE, list_segments, names_with, open_segment_file
from storage.sources import LOCK_NAME
from storage.tlog.note import VerifierKey
from storage.tlog.tree import open_tree_reader
from storage.tlog.tree_reader import CHECKPOINT, CHECKPOINT_COPIES, TreeDamaged, TreeReader

NO_TREE: Final = "no-tree"
TREE_DIFFERS: Final = "tree-differs"
ROLLED_BACK: Final = "rolled-back"
DIFFERENT: Final = "different"
MISSING: Final = "missing"
_SEGMENTS: Final = (SUFFIX_OPEN, SUFFIX_SEALED, SUFFIX_RECOVERED)
_TRIES: Final = 3
"""Looks at a tree before it is made again: another process may be publishing the next checkpoint."""
_SHOWN: Final = 5
"""Missing segments named one by one."""


class Discontinuity(msgspec.Struct, frozen=True):
    """One finding. kind: one of the constants above; why: for the operator, with the place."""

    kind: str
    why: str


class Continuity(msgspec.Struct, frozen=True):
    """What a start may build on. findings: none, or do not write this log.

    size: of the signed tree, 0: none yet. next_segment_number, next_record_seq: a new segment must not be below
    these, or numbers that were given out come twice (they matter after an accepted loss).
    """

    findings: tuple[Discontinuity, ...] = ()
    size: int = 0
    root: bytes = b""
    next_segment_number: int = 1
    next_record_seq: int = 1

    @property
    def text(self) -> str:
        """All findings in one line."""
        return "; ".join(finding.why for finding in self.findings)


def check_log(files: FileOps, directory: Path, keys: Sequence[VerifierKey] = ()) -> Continuity:
    """Look at a log nobody writes now. Takes its lock for the time being.

    keys: of the log; if given, its checkpoint, tombstones and accepted losses must be signed by one. Tiles that a
    power cut took are made again from the segments, which takes as long as reading these. Raises LogInUse, LogFailed,
    UnknownDictionary.
    """
    try:
        with locked(files, directory):
            return LogCheck(files, directory, keys).result()
    except FileNotFoundError:
        return Continuity()
    except OSError as error:
        raise log_failed("check", directory, error) from error


@contextmanager
def locked(files: FileOps, directory: Path) -> Iterator[None]:
    """Hold a log's lock. Raises LogInUse, FileNotFoundError."""
    files.names(directory)
    try:
        lock = files.lock(directory / LOCK_NAME)
    except BlockingIOError as error:
        raise LogInUse(f"{directory} is written by another process: stop it first") from error
    try:
        yield
    finally:
        files.close(lock)


class LogCheck:
    """One look at a log whose lock is held. Raises OSError, LogFailed."""

    def __init__(self, files: FileOps, directory: Path, keys: Sequence[VerifierKey]) -> None:
        self._files, self._directory, self._keys = files, directory, keys
        self.file_names = files.names(directory)
        self.segments = list_segments(directory, files=files)
        self.losses = read_losses(files, directory, self.file_names, keys)
        self.anchors = Anchors()
        self.reader: TreeReader | None = None
        self.tree_error = ""

    def result(self) -> Continuity:
        root = self.open_tree()
        findings = list(self._without_tree() if self.reader is None else self._with_tree())
        return Continuity(
            tuple(findings),
            self.reader.size if self.reader else 0,
            root,
            self.next_segment_number,
            max([self.anchors.next_record_seq, *(loss.statement.next_record_seq for loss in self.losses)]),
        )

    @property
    def next_segment_number(self) -> int:
        """The least number above all that anything here knows of."""
        named = names_with(self.file_names, *_SEGMENTS, SUFFIX_TOMBSTONE)
        return max(
            [
                self.anchors.next_segment_number,
                *(name.number + 1 for name in named),
                *(loss.statement.next_segment_number for loss in self.losses),
            ]
        )

    def open_tree(self) -> bytes:
        """Open it and find its anchors; returns its root. Without one `reader` stays None and `tree_error` says why,
        "" when there never was one."""
        tree = self._directory / TREE_DIRECTORY
        try:
            if not exists(self._files, tree / CHECKPOINT) and not self._has_copies(tree):
                return b""
            for _ in range(_TRIES):
                with suppress(TreeDamaged):
                    return self._read_tree(open_tree_reader(self._files, tree, self._keys)[0])
            return self._read_tree(open_store(self._files, self._directory, self._keys).reader)
        except StorageError as error:
            if isinstance(error, LogFailed | UnknownDictionary):
                raise
            self.tree_error = str(error)
            return b""

    def _has_copies(self, tree: Path) -> bool:
        try:
            return bool(self._files.names(tree / CHECKPOINT_COPIES))
        except FileNotFoundError:
            return False

    def _read_tree(self, reader: TreeReader) -> bytes:
        self.anchors = find_anchors(reader.entries, reader.size, self.losses)
        self.reader = reader
        return reader.root()

    # --- findings -----------------------------------------------------------------------------------

    def _without_tree(self) -> Iterator[Discontinuity]:
        if self.tree_error:
            yield Discontinuity(
                TREE_DIFFERS,
                f"the hash tree of {self._directory} is damaged ({self.tree_error}), and the segments do not lead to "
                "what was signed: restore the directory from a copy",
            )
            return
        if any(loss.statement.tree == TREE_LOST for loss in self.losses):
            return
        if MARKS_NAME in self.file_names:  # written after the first checkpoint was
            yield Discontinuity(
                NO_TREE,
                f"{self._directory} was signed, and has no {TREE_DIRECTORY}/{CHECKPOINT} any more: nothing says how far; "
                "restore it from a copy",
            )

    def _with_tree(self) -> Iterator[Discontinuity]:
        if self.anchors.block is not None:
            yield from self._check_block(self.anchors.block[1])
        if self.anchors.manifest is not None:
            yield from self._check_manifest(self.anchors.manifest[1])
        yield from self._check_numbers()

    def _check_block(self, leaf: BlockLeaf) -> Iterator[Discontinuity]:
        """The newest frame under the checkpoint: there, and the same bytes?"""
        number = number_of(leaf.segment_id, self.segments)
        name = next((name for name in self.segments if name.number == number), None)
        if name is None:
            if number_of(leaf.segment_id, self._buried()) is None:
                yield Discontinuity(
                    ROLLED_BACK,
                    f"{self._directory}: segment {leaf.segment_id} with records up to {leaf.next_record_seq - 1}, which "
                    "the last checkpoint covers, is not there: the log was rolled back",
                )
            return
        where = f"{name.stem} at byte {leaf.offset}"
        try:
            with open_segment_file(self._directory, name, self._files) as segment:
                frame = segment.frame_at(leaf.offset)
        except CorruptFrame as error:
            yield Discontinuity(DIFFERENT, f"{error}; the last checkpoint covers it")
            return
        if frame is None:
            yield Discontinuity(
                ROLLED_BACK,
                f"{where}: there is nothing where the last checkpoint has records {leaf.first_record_seq} to "
                f"{leaf.next_record_seq - 1}: the log was rolled back",
            )
        elif hashlib.sha256(frame.data).digest() != leaf.sha256:
            yield Discontinuity(DIFFERENT, f"{where}: another frame than the last checkpoint covers")

    def _check_manifest(self, leaf: SealedLeaf | RecoveredLeaf) -> Iterator[Discontinuity]:
        """The newest complete segment under the checkpoint: there, of the right size, or buried?"""
        if self._is_buried(leaf.number):
            return
        name = next((name for name in self.segments if name.number == leaf.number), None)
        if name is None or (leaf.segment_id and name.uuid8 != leaf.segment_id[-8:]):
            yield Discontinuity(
                MISSING,
                f"{self._directory}: segment number {leaf.number} ({leaf.segment_id}), which the last checkpoint covers, "
                "is not there",
            )
            return
        size = self._size(name)
        if isinstance(leaf, SealedLeaf) and size != leaf.size:
            yield Discontinuity(DIFFERENT, f"{name.stem}: {size} bytes, the last checkpoint says {leaf.size}")
        elif isinstance(leaf, RecoveredLeaf) and size < leaf.valid_bytes + leaf.torn_bytes:
            least = leaf.valid_bytes + leaf.torn_bytes
            yield Discontinuity(DIFFERENT, f"{name.stem}: {size} bytes, the last checkpoint knows of {least}")

    def _size(self, name: SegmentName) -> int:
        """Under whichever name: a power cut may take back the last rename of a sealed segment, not its bytes."""
        suffix = next(suffix for suffix in READABLE if name.stem + suffix in self.file_names)
        return file_size(self._files, self._directory / (name.stem + suffix))

    def _check_numbers(self) -> Iterator[Discontinuity]:
        """Every number up to the newest has a segment, a tombstone, or an accepted loss above it."""
        there = {name.number for name in (*self.segments, *self._buried())}
        accepted = max((loss.statement.next_segment_number for loss in self.losses), default=1)
        missing = [number for number in range(accepted, max(there, default=0)) if number not in there]
        if missing:
            shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
            yield Discontinuity(
                MISSING,
                f"{self._directory}: {len(missing)} segments are missing without a tombstone: {shown}",
            )

    def _buried(self) -> list[SegmentName]:
        return names_with(self.file_names, SUFFIX_TOMBSTONE)

    def _is_buried(self, number: int) -> bool:
        """Whether a segment has a tombstone of this log; a forged one is none. Only asked of the newest: `verify`
        looks at all."""
        name = next((name for name in self._buried() if name.number == number), None)
        if name is None:
            return False
        path = self._directory / (name.stem + SUFFIX_TOMBSTONE)
        try:
            data = read_small(self._files, path, MAX_STATEMENT_BYTES)
            tombstone = open_tombstone(data, self._keys) if self._keys else read_tombstone(data)
        except StorageError:
            return False
        return tombstone.number == number
