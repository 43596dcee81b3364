"""A log directory -> its hash tree: what stands in the segments becomes leaves, and now and then a signed checkpoint.

Conduct without a thread of its own: `advance` reads what is new, `publish` signs it. The leaves of segments come in
the order of `leaf_source`; a tombstone, a destroyed key or an accepted loss gets its leaf when its file is noticed.
At a restart the signed checkpoint is the truth and everything beyond it is read from the segments again.

The trap: nothing may be signed that a power cut can take back. Before a checkpoint, the frames under it are synced;
before one that covers a leaf no segment can tell again, so are `tlog.marks` and the whole tree. And the source of the
leaves is the disk, not the writer: a frame that reads back wrong is noticed here.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.keys import SUFFIX_SHREDDED, read_small
from storage.errors import UNDECODABLE, CorruptFrame, StorageError
from storage.files import FileOps, log_failed
from storage.format import SUFFIX_TOMBSTONE
from storage.notary.anchor import find_anchors, place_of
from storage.notary.leaf import (
    LossAcceptedLeaf,
    ShreddedLeaf,
    TombstoneLeaf,
    encode_leaf,
    encode_segment_id,
    parse_leaf,
)
from storage.notary.leaf_source import LeafSource, Place
from storage.notary.loss import AcceptedLoss, loss_number, read_losses
from storage.notary.marks import Mark, MarkedLeaf, marks_among, write_marks
from storage.notary.retelling import TREE_DIRECTORY, known_marks, open_store
from storage.notary.statement import MAX_STATEMENT_BYTES
from storage.notary.tombstone import read_tombstone
from storage.reader import list_segments, names_with
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint, with_cosignatures
from storage.tlog.note import Signature, Signer, VerifierKey
from storage.tlog.tree import TreeStore

MIN_INTERVAL_S: Final = 1.0
"""Between two checkpoints of a growing tree: each costs a sync of the segment being written."""
SYNC_LEAVES: Final = 1 << 16
SYNC_INTERVAL_S: Final = 600.0
"""How much of the tree may be unsynced: a start compares that part with the segments' hashes, about 0.1 s."""


class TreeBeyondLog(StorageError):
    """The tree was signed over segments that are not there. Do not write: see `start_check`."""


class Notary:
    """The tree of one log, kept by the process that holds the log's lock, one thread at a time.

    `Notary.open` makes it. Methods raise LogFailed on an I/O error (nothing is signed then), UnknownDictionary.
    """

    def __init__(
        self,
        files: FileOps,
        directory: Path,
        signer: Signer,
        origin: str,
        store: TreeStore,
        source: LeafSource,
        marks: list[Mark],
    ) -> None:
        self.store = store
        self._files, self._directory, self._signer, self._origin = files, directory, signer, origin
        self._source, self._marks = source, marks
        self._noticed = {parse_leaf(mark.entry) for mark in marks}
        self._seen_names: set[str] = set()
        self._unwritten_marks = False
        self._published_s = float("-inf")
        self._synced_s, self._synced_size = float("-inf"), 0

    @classmethod
    def open(
        cls,
        files: FileOps,
        directory: Path,
        signer: Signer,
        *,
        keys: Sequence[VerifierKey] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> "Notary":
        """Go on where the signed checkpoint ends, in milliseconds; longer if tiles were lost and are made again.

        signer: its name is the log's origin. keys: of the log besides the signer's (older ones); what they signed is
        believed. Raises TreeDamaged (the tree cannot be made again from the segments), TreeBeyondLog,
        BadLeaf, LogFailed.
        """
        known = [signer.verifier, *(key for key in keys if key != signer.verifier)]
        try:
            store = open_store(files, directory, known, clock)
            marks = known_marks(files, directory, store)
            losses = read_losses(files, directory, files.names(directory), known)
            place = _place(files, directory, store, losses)
        except OSError as error:
            raise log_failed("open the tree of", directory, error) from error
        source = LeafSource(files, directory, place)
        return cls(files, directory, signer, signer.verifier.name, store, source, marks)

    def close(self) -> None:
        self._source.close()

    @property
    def damage(self) -> CorruptFrame | None:
        """The first damage met in a segment: for an alarm. The tree goes on over it, see `leaf_source`."""
        return self._source.damage

    @property
    def waits(self) -> bool:
        """Whether `advance` had read everything there was; else call it again soon."""
        return self._source.waits

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The published one."""
        return self.store.checkpoint

    def advance(self) -> int:
        """Read what is new, at most some MiB; returns how many leaves came. Nothing is signed."""
        try:
            noticed = self._notice()
            entries = self._source.step()
        except OSError as error:
            raise log_failed("read", self._directory, error) from error
        self.store.append(entries)
        return noticed + len(entries)

    def publish(self, now_s: float, *, durable: bool = False, keep: bool = False) -> bytes | None:
        """Sign a checkpoint of what `advance` read; None when there is nothing new, or the last is too young.

        now_s: monotonic seconds. durable: at once, and so that a power cut cannot take it back: needed before it leaves
        this machine, and before a file is deleted that the tree speaks of.
        keep: keep a copy for good. Returns the signed note, as written to `tlog/checkpoint`.
        """
        size, root = self.store.head()
        published = self.store.checkpoint
        if published is not None and published.size == size:
            return None
        if now_s - self._published_s < MIN_INTERVAL_S and not durable:
            return None
        self._source.sync()
        is_marked = self._unwritten_marks
        if published is not None:
            self._write_marks()
        note = sign_checkpoint(Checkpoint(self._origin, size, root), [self._signer])
        is_due = size - self._synced_size >= SYNC_LEAVES or now_s - self._synced_s >= SYNC_INTERVAL_S
        self.store.publish(note, keep=keep or is_marked, durable=durable or is_marked or is_due)
        self._published_s = now_s
        if published is None:
            self._unwritten_marks = True  # an empty file says that there was a checkpoint
            self._write_marks()
        if is_due:
            self._synced_s, self._synced_size = now_s, size
        return note

    def cosign(self, signatures: Sequence[Signature]) -> bytes:
        """Add what witnesses answered to the published checkpoint and keep a copy of it for good; returns the
        note. Raises LogFailed."""
        if self.store.note is None:
            raise AssertionError("nothing was published")
        note = with_cosignatures(self.store.note, signatures)
        self.store.publish(note, keep=True)
        return note

    def sync(self) -> None:
        """Everything published is durable on return: before a segment may be deleted. Raises LogFailed."""
        self.store.sync()

    # --- leaves that are not in a segment ------------------------------------------------------------

    def _notice(self) -> int:
        """Leaves for files that were not there before; their names are looked at once."""
        names = self._files.names(self._directory)
        fresh = sorted(name for name in names if name not in self._seen_names and is_special(name))
        entries = []
        for name in fresh:
            leaf = self._leaf_of(name)
            if leaf is not None and leaf not in self._noticed:
                self._noticed.add(leaf)
                entries.append(encode_leaf(leaf))
            self._seen_names.add(name)
        self._marks += marks_among(entries, self.store.size)
        self._unwritten_marks = self._unwritten_marks or bool(entries)
        self.store.append(entries)
        return len(entries)

    def _leaf_of(self, name: str) -> MarkedLeaf | None:
        """None: too long for such a file, which `verify` reports, or gone again."""
        try:
            data = read_small(self._files, self._directory / name, MAX_STATEMENT_BYTES)
        except (StorageError, FileNotFoundError):
            return None
        sha256 = hashlib.sha256(data).digest()
        if loss_number(name):
            return LossAcceptedLeaf(sha256)
        (segment,) = names_with([name], SUFFIX_TOMBSTONE, SUFFIX_SHREDDED)
        made = TombstoneLeaf if name.endswith(SUFFIX_TOMBSTONE) else ShreddedLeaf
        return made(segment_id_in(name, data), segment.number, sha256)

    def _write_marks(self) -> None:
        """New ones are durable on return."""
        if not self._unwritten_marks:
            return
        try:
            write_marks(self._files, self._directory, self._marks)
        except OSError as error:
            raise log_failed("write the marks of", self._directory, error) from error
        self._unwritten_marks = False


def is_special(name: str) -> bool:
    """Whether a file gets a leaf of its own."""
    return loss_number(name) > 0 or bool(names_with([name], SUFFIX_TOMBSTONE, SUFFIX_SHREDDED))


class _Shredded(msgspec.Struct):
    """Of a `.shredded` file, what the tree needs."""

    segment_id: str


_SHREDDED: Final = msgspec.json.Decoder(_Shredded)


def segment_id_in(name: str, data: bytes) -> str:
    """Which segment a tombstone or `.shredded` file is about; "" when it does not say."""
    try:
        if name.endswith(SUFFIX_TOMBSTONE):
            segment_id = read_tombstone(data).segment_id
        else:
            segment_id = _SHREDDED.decode(data).segment_id
        encode_segment_id(segment_id)
    except (StorageError, *UNDECODABLE):
        return ""
    return segment_id


def _place(files: FileOps, directory: Path, store: TreeStore, losses: Sequence[AcceptedLoss]) -> Place:
    """Where the segments go on behind the tree. Raises TreeBeyondLog."""
    names = list_segments(directory, files=files)
    place = place_of(find_anchors(store.entries, store.size, losses), names)
    if place is None:
        raise TreeBeyondLog(
            f"{directory}: the tree was signed over a segment that is not there any more: restore it, or see "
            "the start check"
        )
    return place


def sign_beginning(files: FileOps, directory: Path, signer: Signer) -> None:
    """Sign that a log is empty, before anything is in it; does nothing for one that has begun.

    Durable on return. From then on a log without a checkpoint is one whose checkpoint was taken away, however
    soon a crash comes. Raises LogFailed.
    """
    try:
        files.make_directory(directory / TREE_DIRECTORY)
        if list_segments(directory, files=files):
            return
    except OSError as error:
        raise log_failed("begin the tree of", directory, error) from error
    store = TreeStore(files, directory / TREE_DIRECTORY, keys=[signer.verifier])
    if store.checkpoint is None:
        size, root = store.head()
        note = sign_checkpoint(Checkpoint(signer.verifier.name, size, root), [signer])
        store.publish(note, durable=True)
