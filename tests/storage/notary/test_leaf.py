import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.format import FrameInfo
from storage.notary.leaf import (
    FINDINGS,
    BadLeaf,
    BlockLeaf,
    Leaf,
    LossAcceptedLeaf,
    RecoveredLeaf,
    SealedLeaf,
    ShreddedLeaf,
    TombstoneLeaf,
    UnknownLeaf,
    block_leaf,
    encode_leaf,
    encode_segment_id,
    parse_leaf,
    parse_segment_id,
)
from storage.recovery import CLEAN, CORRUPT, TORN

ID = "01a0c450-6c7b-7747-8290-6058ad151265"
PREV = "01a0c450-6c7b-7f5e-8639-eeae7381135d"
HASH = hashlib.sha256(b"frame").digest()
BLOCK = BlockLeaf(ID, 3, 4096, 1500, 17, 4, 1_790_000_000_000_000_000, HASH)
SEALED = SealedLeaf(
    ID, PREV, 7, 65_536, HASH, 40, 17, 57, 1_790_000_000_000_000_000, 1_790_000_001_000_000_000
)
LEAVES: tuple[Leaf, ...] = (
    BLOCK,
    SEALED,
    SealedLeaf(ID, "", 1, 4300, HASH, 0, 1, 1, 0, 0),
    RecoveredLeaf(ID, PREV, 8, 9000, HASH, 12, HASH, "torn", 60),
    RecoveredLeaf("", "", 9, 0, HASH, 5, HASH, "corrupt", 1),
    RecoveredLeaf(ID, PREV, 9, 9000, HASH, 0, b"", "clean", 60),
    TombstoneLeaf(ID, 2, HASH),
    ShreddedLeaf(ID, 3, HASH),
    LossAcceptedLeaf(HASH),
    UnknownLeaf(1, 200, b"\x01\xc8something newer"),
    UnknownLeaf(2, 1, b"\x02\x01a newer layout"),
)


def test_the_bytes_of_a_block_leaf_are_fixed() -> None:
    assert encode_leaf(BLOCK).hex() == (
        "0101"
        + ID.replace("-", "")
        + struct.pack("<IQIQHQ", 3, 4096, 1500, 17, 4, 1_790_000_000_000_000_000).hex()
        + HASH.hex()
    )
    assert len(encode_leaf(BLOCK)) == 84


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: type(leaf).__name__)
def test_a_leaf_reads_back_as_it_was(leaf: Leaf) -> None:
    assert parse_leaf(encode_leaf(leaf)) == leaf


@given(st.binary(max_size=200))
def test_whatever_parses_has_this_one_spelling(entry: bytes) -> None:
    try:
        leaf = parse_leaf(entry)
    except BadLeaf:
        return
    assert encode_leaf(leaf) == entry


@pytest.mark.parametrize(
    "leaf",
    [leaf for leaf in LEAVES if not isinstance(leaf, UnknownLeaf)],
    ids=lambda leaf: type(leaf).__name__,
)
def test_an_entry_that_is_too_short_or_too_long_is_refused(leaf: Leaf) -> None:
    entry = encode_leaf(leaf)
    for bad in (entry[:-1], entry + b"\0"):
        with pytest.raises(BadLeaf, match="bytes"):
            parse_leaf(bad)
    with pytest.raises(BadLeaf, match="no type"):
        parse_leaf(entry[:1])


def test_a_recovered_leaf_with_an_unknown_finding_is_refused() -> None:
    entry = bytearray(encode_leaf(LEAVES[3]))
    entry[-9] = 3
    with pytest.raises(BadLeaf, match="finding 3"):
        parse_leaf(bytes(entry))


def test_torn_bytes_and_their_hash_go_together() -> None:
    entry = bytearray(encode_leaf(LEAVES[5]))
    entry[-20] = 1
    with pytest.raises(BadLeaf, match="without"):
        parse_leaf(bytes(entry))


def test_the_findings_are_those_of_recovery() -> None:
    assert FINDINGS == (CLEAN, TORN, CORRUPT)


@pytest.mark.parametrize(
    "text",
    ["x", ID.upper(), ID.replace("-", ""), ID + "00", "zz" + ID[2:], "0" * 8 + "-0000-0000-0000-" + "0" * 12],
)
def test_only_the_one_spelling_of_a_segment_id_is_encoded(text: str) -> None:
    with pytest.raises(BadLeaf, match="not a segment id"):
        encode_segment_id(text)


def test_no_segment_id_is_sixteen_zeros() -> None:
    assert encode_segment_id("") == bytes(16)
    assert parse_segment_id(bytes(16)) == ""


def test_a_block_leaf_says_what_the_block_table_says() -> None:
    info = FrameInfo(4096, 1500, 3, 4, 1, 17, 1_790_000_000_000_000_000, HASH)
    assert block_leaf(ID, info) == BLOCK
    assert (BLOCK.end, BLOCK.next_record_seq) == (5596, 21)
