"""Files that explain what is not there: tombstones, destroyed keys, accepted losses. Genuine, and known to the tree?

Conduct for `verify`: reads the small files beside the segments, checks the log's signature on them and their leaf, and
hands on what they excuse. A gap with a genuine tombstone is policy; without one it is theft.

The trap: a genuine tombstone of another segment, or of other bytes, explains nothing. It must fit the name it bears and
what the tree says of that segment.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from storage.encryption.keys import SUFFIX_SHREDDED, read_small
from storage.errors import StorageError
from storage.files import FileOps
from storage.format import SUFFIX_TOMBSTONE, SegmentName
from storage.notary.leaf import LossAcceptedLeaf, RecoveredLeaf, SealedLeaf, ShreddedLeaf, TombstoneLeaf
from storage.notary.loss import LossStatement, loss_number, open_loss
from storage.notary.statement import MAX_STATEMENT_BYTES
from storage.notary.tombstone import Tombstone, open_tombstone
from storage.reader import names_with
from storage.tlog.note import BadSignature, NotSigned, VerifierKey
from storage.verify.findings import Finding, Kind

Ends = Mapping[int, SealedLeaf | RecoveredLeaf]
"""Segment number -> its last leaf."""


class Explained(msgspec.Struct):
    """What was found. tombstones: genuine ones, by segment number; losses: genuine statements; findings: the rest."""

    tombstones: dict[int, Tombstone] = {}
    losses: list[LossStatement] = []
    shredded: list[SegmentName] = []
    findings: list[Finding] = []

    @property
    def excused(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of leaves that accepted losses cover."""
        return tuple(part for loss in self.losses for part in loss.lost)

    @property
    def free_below(self) -> int:
        """Segment numbers below this may be missing: an accepted loss skipped them."""
        return max((loss.next_segment_number for loss in self.losses), default=1)


class SpecialCheck:
    """Of one log. keys: of it; leaves: those of the tree that are about such files. Methods raise OSError."""

    def __init__(
        self,
        files: FileOps,
        directory: Path,
        keys: Sequence[VerifierKey],
        leaves: Sequence[TombstoneLeaf | ShreddedLeaf | LossAcceptedLeaf],
        *,
        has_tree: bool,
    ) -> None:
        self._files, self._directory, self._keys, self._has_tree = files, directory, keys, has_tree
        self._hashes = {leaf.sha256 for leaf in leaves}
        self._leaves = leaves
        self._seen: set[bytes] = set()

    def run(self, file_names: Sequence[str], ends: Ends) -> Explained:
        found = Explained()
        for name in sorted(file_names):
            if loss_number(name):
                self._loss(name, found)
            elif names_with([name], SUFFIX_TOMBSTONE):
                self._tombstone(name, ends, found)
            elif segments := names_with([name], SUFFIX_SHREDDED):
                self._shredded(name, segments[0], found)
        self._check_unseen(found)
        return found

    def _read(self, name: str, found: Explained) -> tuple[bytes, bool] | None:
        """The file, and whether the tree knows it. None: it cannot be one, which is said."""
        try:
            data = read_small(self._files, self._directory / name, MAX_STATEMENT_BYTES)
        except FileNotFoundError:
            return None  # gone since the directory was listed
        except StorageError as error:
            self._say(found, Kind.CORRUPT, name, str(error))
            return None
        sha256 = hashlib.sha256(data).digest()
        self._seen.add(sha256)
        if sha256 not in self._hashes and self._has_tree:
            self._say(found, Kind.NOT_COVERED, name, f"{name} is not in the signed tree (yet)")
        return data, sha256 in self._hashes

    def _say(self, found: Explained, kind: Kind, name: str, why: str) -> None:
        stem = name.partition(".")[0]
        found.findings.append(Finding(kind, why, "", "" if loss_number(name) else stem))

    def _refused(self, found: Explained, name: str, error: StorageError) -> None:
        kind = Kind.FORGED if isinstance(error, BadSignature | NotSigned) else Kind.CORRUPT
        self._say(found, kind, name, f"{name}: {error}")

    def _loss(self, name: str, found: Explained) -> None:
        read = self._read(name, found)
        if read is None:
            return
        try:
            loss = open_loss(read[0], self._keys)
        except StorageError as error:
            self._refused(found, name, error)
            return
        found.losses.append(loss)
        lost = sum(end - start for start, end in loss.lost)
        self._say(
            found,
            Kind.LOSS_ACCEPTED,
            name,
            f"{name}: an operator let the log go on over {lost} lost leaves (of {loss.tree_size}): {loss.reason} "
            f"({loss.finding})",
        )

    def _tombstone(self, name: str, ends: Ends, found: Explained) -> None:
        read = self._read(name, found)
        if read is None:
            return
        try:
            tombstone = open_tombstone(read[0], self._keys)
        except StorageError as error:
            self._refused(found, name, error)
            return
        (segment,) = names_with([name], SUFFIX_TOMBSTONE)
        if (tombstone.segment, tombstone.number) != (segment.stem, segment.number):
            self._say(
                found,
                Kind.FORGED,
                name,
                f"{name}: a tombstone of segment {tombstone.segment}, put in its place",
            )
            return
        end = ends.get(tombstone.number)
        if end is not None and not _fits(tombstone, end):
            self._say(found, Kind.REWRITE, name, f"{name}: it buries other bytes than were signed")
            return
        found.tombstones[tombstone.number] = tombstone

    def _shredded(self, name: str, segment: SegmentName, found: Explained) -> None:
        if self._read(name, found) is not None:
            found.shredded.append(segment)

    def _check_unseen(self, found: Explained) -> None:
        """Leaves whose file is not there, or another."""
        for leaf in self._leaves:
            if leaf.sha256 in self._seen:
                continue
            if isinstance(leaf, LossAcceptedLeaf):
                found.findings.append(
                    Finding(Kind.MISSING, "the statement of an accepted loss is missing or was changed")
                )
            elif isinstance(leaf, TombstoneLeaf) and leaf.number not in found.tombstones:
                why = f"the tombstone of segment number {leaf.number} is missing or was changed"
                found.findings.append(Finding(Kind.MISSING, why, "", leaf.segment_id))
            elif isinstance(leaf, ShreddedLeaf):
                why = f"the note that the key of segment number {leaf.number} was destroyed is missing or was changed"
                found.findings.append(Finding(Kind.MISSING, why, "", leaf.segment_id))


def _fits(tombstone: Tombstone, end: SealedLeaf | RecoveredLeaf) -> bool:
    if tombstone.segment_id != end.segment_id:
        return False
    if isinstance(end, SealedLeaf):
        return (tombstone.size, tombstone.sha256) == (end.size, end.sha256)
    return tombstone.next_record_seq == end.next_record_seq
