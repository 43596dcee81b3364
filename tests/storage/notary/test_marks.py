from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.notary.leaf import BlockLeaf, LossAcceptedLeaf, TombstoneLeaf, encode_leaf
from storage.notary.marks import (
    BadMarks,
    Mark,
    encode_marks,
    marks_among,
    parse_marks,
    read_marks,
    within,
    write_marks,
)

ID = "01a0c450-6c7b-7747-8290-6058ad151265"
TOMBSTONE = encode_leaf(TombstoneLeaf(ID, 2, bytes(32)))
LOSS = encode_leaf(LossAcceptedLeaf(bytes(32)))
BLOCK = encode_leaf(BlockLeaf(ID, 0, 4096, 100, 1, 1, 5, bytes(32)))
MARKS = [Mark(4, TOMBSTONE), Mark(9, LOSS)]


def test_marks_read_back_as_they_were(tmp_path: Path) -> None:
    assert read_marks(REAL_FILES, tmp_path) is None
    write_marks(REAL_FILES, tmp_path, MARKS)
    assert read_marks(REAL_FILES, tmp_path) == MARKS
    write_marks(REAL_FILES, tmp_path, [])
    assert read_marks(REAL_FILES, tmp_path) == []


def test_marks_are_found_among_entries() -> None:
    assert marks_among([BLOCK, TOMBSTONE, BLOCK, LOSS], 10) == [Mark(11, TOMBSTONE), Mark(13, LOSS)]


def test_a_mark_ahead_of_the_tree_is_dropped() -> None:
    assert within(MARKS, 9) == MARKS[:1]
    assert within(MARKS, 10) == MARKS


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\n",
        encode_marks([MARKS[1], MARKS[0]]),
        encode_marks([Mark(-1, LOSS)]),
        encode_marks([Mark(1, BLOCK)]),
        encode_marks([Mark(1, b"")]),
    ],
    ids=["not JSON", "not ascending", "negative", "a block", "no leaf"],
)
def test_garbled_marks_are_refused_with_their_line(data: bytes) -> None:
    with pytest.raises(BadMarks, match=r"line [12]"):
        parse_marks(data)


def test_an_absurdly_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.notary.marks.MAX_MARKS_BYTES", 10)
    write_marks(REAL_FILES, tmp_path, MARKS)
    with pytest.raises(BadMarks, match="larger"):
        read_marks(REAL_FILES, tmp_path)
