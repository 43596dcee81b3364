"""Where a tree stands in its log, told by its last entries. Reads a few bundles from the end, whatever the size.

The newest BLOCK, SEALED or RECOVERED leaf says which segment, and how far in it; behind an accepted loss its statement
says so, because the segments named by older leaves are gone. Used by the notary to go on, and before a start to ask
whether what was signed is still there.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from storage.format import SegmentName
from storage.notary.leaf import (
    BlockLeaf,
    Leaf,
    LossAcceptedLeaf,
    RecoveredLeaf,
    SealedLeaf,
    parse_leaf,
)
from storage.notary.leaf_source import Place
from storage.notary.loss import TREE_KEPT, AcceptedLoss
from storage.tlog.tiles import TILE_WIDTH

ReadEntries = Callable[[int, int], Iterator[bytes]]
"""(start, end) -> the entries between. Raises TreeDamaged."""


class Anchors(msgspec.Struct, frozen=True):
    """The newest leaves of a tree that say something of a segment that should be there, with their numbers.

    loss: the statement that was met before both were found. next_*: above all that these leaves know.
    """

    block: tuple[int, BlockLeaf] | None = None
    manifest: tuple[int, SealedLeaf | RecoveredLeaf] | None = None
    loss: AcceptedLoss | None = None

    @property
    def number(self) -> int:
        """Of the newest complete segment."""
        return self.manifest[1].number if self.manifest else 0

    @property
    def is_inside(self) -> bool:
        """Whether the newest segment is not complete: its blocks come behind the newest manifest."""
        return self.block is not None and (self.manifest is None or self.block[0] > self.manifest[0])

    @property
    def next_segment_number(self) -> int:
        return self.number + (2 if self.is_inside else 1)

    @property
    def next_record_seq(self) -> int:
        known = [1]
        if self.block:
            known.append(self.block[1].next_record_seq)
        if self.manifest:
            known.append(self.manifest[1].next_record_seq)
        return max(known)


def leaves_backwards(read: ReadEntries, size: int) -> Iterator[tuple[int, Leaf]]:
    """(number, leaf) from the end of a tree. Raises BadLeaf, TreeDamaged."""
    end = size
    while end:
        start = (end - 1) // TILE_WIDTH * TILE_WIDTH
        for index, entry in reversed(list(enumerate(read(start, end), start))):
            yield index, parse_leaf(entry)
        end = start


def find_anchors(read: ReadEntries, size: int, losses: Sequence[AcceptedLoss]) -> Anchors:
    """The newest leaves not excused by an accepted loss, back to the last such loss.

    losses: of this log, by a trusted key. Raises BadLeaf, TreeDamaged.
    """
    losses = [loss for loss in losses if loss.statement.tree == TREE_KEPT]
    if losses and losses[-1].statement.tree_size >= size:  # its leaf is still to come
        return Anchors(loss=losses[-1])
    found = Anchors()
    by_hash = {loss.sha256: loss for loss in losses}
    for index, leaf in leaves_backwards(read, size):
        if isinstance(leaf, LossAcceptedLeaf) and leaf.sha256 in by_hash:
            return msgspec.structs.replace(found, loss=by_hash[leaf.sha256])
        if isinstance(leaf, BlockLeaf) and found.block is None:
            found = msgspec.structs.replace(found, block=(index, leaf))
        elif isinstance(leaf, SealedLeaf | RecoveredLeaf) and found.manifest is None:
            found = msgspec.structs.replace(found, manifest=(index, leaf))
        if found.block is not None and found.manifest is not None:
            break
    return found


def place_of(anchors: Anchors, names: Sequence[SegmentName]) -> Place | None:
    """Where to read on. names: the segments that are there; None: the one the tree stands in is not."""
    if anchors.is_inside and anchors.block is not None:
        leaf = anchors.block[1]
        number = number_of(leaf.segment_id, names)
        if number is None:
            return None
        return Place(number, leaf.block_seq + 1, leaf.end, leaf.next_record_seq, False)
    if anchors.manifest is not None:
        return Place(anchors.number)
    if anchors.loss is not None:
        statement = anchors.loss.statement
        kept = statement.kept_number, statement.kept_blocks, statement.kept_offset
        return Place(*kept, None, statement.kept_complete)
    return Place()


def number_of(segment_id: str, names: Sequence[SegmentName]) -> int | None:
    """Which of these segments has this id, by the part of it that is in its name: the newest."""
    return max((name.number for name in names if name.uuid8 == segment_id[-8:]), default=None)
