from collections.abc import Iterator

import msgspec

from storage.format import SegmentName
from storage.notary.anchor import Anchors, find_anchors, leaves_backwards, number_of, place_of
from storage.notary.leaf import (
    BlockLeaf,
    Leaf,
    LossAcceptedLeaf,
    RecoveredLeaf,
    SealedLeaf,
    TombstoneLeaf,
    encode_leaf,
)
from storage.notary.leaf_source import Place
from storage.notary.loss import TREE_LOST, AcceptedLoss, LossStatement

IDS = [f"01a0c450-6c7b-7747-8290-60580000000{n}" for n in range(6)]
NAMES = [SegmentName(n, 1, 1_790_000_000_000, IDS[n][-8:]) for n in range(1, 6)]


def block(segment: int, seq: int) -> BlockLeaf:
    return BlockLeaf(IDS[segment], seq, 4096 + 100 * seq, 100, 10 * segment + seq, 1, 5, bytes(32))


def sealed(segment: int) -> SealedLeaf:
    return SealedLeaf(IDS[segment], IDS[segment - 1], segment, 5000, bytes(32), 2, 1, 10 * segment + 2, 5, 6)


def recovered(segment: int) -> RecoveredLeaf:
    return RecoveredLeaf(IDS[segment], "", segment, 500, bytes(32), 0, b"", "clean", 10 * segment + 3)


def anchors_of(*leaves: Leaf, losses: tuple[AcceptedLoss, ...] = ()) -> Anchors:
    entries = [encode_leaf(leaf) for leaf in leaves]

    def read(start: int, end: int) -> Iterator[bytes]:
        return iter(entries[start:end])

    return find_anchors(read, len(entries), losses)


def loss(tree_size: int, **changes: object) -> AcceptedLoss:
    statement = LossStatement(
        "log", tree_size, bytes(32), "kept", ((2, tree_size),), 2, 1, 4196, False, 7, 90, 5, "found", "why"
    )
    return AcceptedLoss("loss-1.note", bytes(31) + b"L", msgspec.structs.replace(statement, **changes))


LOSS_LEAF = LossAcceptedLeaf(bytes(31) + b"L")


def test_an_empty_tree_stands_before_everything() -> None:
    found = anchors_of()
    assert place_of(found, NAMES) == Place()
    assert (found.next_segment_number, found.next_record_seq) == (1, 1)


def test_behind_a_complete_segment() -> None:
    found = anchors_of(block(1, 0), sealed(1), block(2, 0), recovered(2), TombstoneLeaf(IDS[1], 1, bytes(32)))
    assert place_of(found, NAMES) == Place(2)
    assert (found.next_segment_number, found.next_record_seq) == (3, 23)


def test_in_the_middle_of_a_segment() -> None:
    found = anchors_of(block(1, 0), sealed(1), block(2, 0), block(2, 1))
    assert place_of(found, NAMES) == Place(2, 2, 4296, 22, False)
    assert place_of(found, NAMES[2:]) is None, "the segment is not there"
    assert (found.next_segment_number, found.next_record_seq) == (3, 22)


def test_in_the_first_segment_of_a_log() -> None:
    found = anchors_of(block(1, 0))
    assert place_of(found, NAMES) == Place(1, 1, 4196, 11, False)
    assert found.next_segment_number == 2


def test_a_loss_whose_leaf_is_still_to_come_says_where_it_goes_on() -> None:
    found = anchors_of(block(1, 0), sealed(1), block(2, 0), losses=(loss(3),))
    assert (found.block, found.manifest) == (None, None)
    assert place_of(found, NAMES) == Place(2, 1, 4196, None, False)


def test_behind_the_leaf_of_a_loss_nothing_older_counts() -> None:
    lost = (block(1, 0), sealed(1), block(2, 0))
    found = anchors_of(*lost, LOSS_LEAF, losses=(loss(3),))
    assert place_of(found, NAMES) == Place(2, 1, 4196, None, False)
    again = anchors_of(*lost, LOSS_LEAF, block(4, 0), losses=(loss(3),))
    assert place_of(again, NAMES) == Place(4, 1, 4196, 41, False)
    assert again.manifest is None
    complete = anchors_of(*lost, LOSS_LEAF, recovered(3), losses=(loss(3),))
    assert place_of(complete, NAMES) == Place(3)


def test_a_loss_nobody_trusted_signed_is_passed_over() -> None:
    found = anchors_of(block(1, 0), sealed(1), LOSS_LEAF)
    assert place_of(found, NAMES) == Place(1)


def test_a_loss_of_the_tree_itself_says_nothing_of_the_new_one() -> None:
    found = anchors_of(block(1, 0), sealed(1), losses=(loss(500, tree=TREE_LOST),))
    assert place_of(found, NAMES) == Place(1)


def test_leaves_come_backwards_over_bundles() -> None:
    entries = [encode_leaf(block(1, seq)) for seq in range(600)]

    def read(start: int, end: int) -> Iterator[bytes]:
        assert end - start <= 256
        return iter(entries[start:end])

    assert [index for index, _ in leaves_backwards(read, 600)] == list(range(599, -1, -1))


def test_a_segment_is_known_by_the_end_of_its_id() -> None:
    assert number_of(IDS[3], NAMES) == 3
    assert number_of("01a0c450-6c7b-7747-8290-6058ffffffff", NAMES) is None
