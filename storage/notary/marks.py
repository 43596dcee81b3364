"""Leaves of the tree that no segment can tell again: tombstones, shredded keys, accepted losses. And where they are.

`tlog.marks` beside the tree remembers each with its leaf number, a JSON line each. It is durable before a checkpoint
that covers them is signed, so a tree whose tiles a power cut took can be rebuilt: the segments give all other leaves.
It also answers, without reading the whole tree, which of these files the tree knows already.

Its being there also says that a checkpoint was published once: a start that finds it and no tree is refused. So the
first one is written after the first checkpoint.

The trap: a mark may be ahead of the signed checkpoint (a crash in between). Such a leaf was never in the tree and is
noticed again; `within` drops it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import UNDECODABLE, StorageError
from storage.files import FileOps, read_start, replace_file
from storage.notary.leaf import LossAcceptedLeaf, ShreddedLeaf, TombstoneLeaf, parse_leaf

MARKS_NAME: Final = "tlog.marks"
MAX_MARKS_BYTES: Final = 64 << 20
"""Some 300,000 deleted segments: half a year at one a minute, and more than a directory should hold."""
MarkedLeaf = TombstoneLeaf | ShreddedLeaf | LossAcceptedLeaf


class BadMarks(StorageError):
    """`tlog.marks` cannot be read. Remove it: it is made again from the tree."""


class Mark(msgspec.Struct, frozen=True):
    """One leaf: its number in the tree and its entry."""

    index: int
    entry: bytes


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Mark)


def is_marked(entry: bytes) -> bool:
    """Whether an entry is one of the kinds kept here. Raises BadLeaf."""
    return isinstance(parse_leaf(entry), MarkedLeaf)


def marks_among(entries: Iterable[bytes], start: int = 0) -> list[Mark]:
    """The marks in a run of entries that begins with leaf `start`: how the file is made again."""
    return [Mark(index, entry) for index, entry in enumerate(entries, start) if is_marked(entry)]


def within(marks: Iterable[Mark], size: int) -> list[Mark]:
    """Those a tree of this size has."""
    return [mark for mark in marks if mark.index < size]


def encode_marks(marks: Sequence[Mark]) -> bytes:
    return b"".join(_ENCODER.encode(mark) + b"\n" for mark in marks)


def parse_marks(data: bytes) -> list[Mark]:
    """Raises BadMarks unless the numbers ascend and every entry is of a kind kept here."""
    marks: list[Mark] = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            mark = _DECODER.decode(line)
            fits = is_marked(mark.entry) and mark.index >= 0 and (not marks or mark.index > marks[-1].index)
        except (*UNDECODABLE, StorageError) as error:
            raise BadMarks(f"{MARKS_NAME}, line {number}: {error}") from None
        if not fits:
            raise BadMarks(f"{MARKS_NAME}, line {number}: no such leaf belongs here")
        marks.append(mark)
    return marks


def read_marks(files: FileOps, directory: Path) -> list[Mark] | None:
    """The marks of a log; None when there is no file. Raises BadMarks, OSError."""
    try:
        data = read_start(files, directory / MARKS_NAME, MAX_MARKS_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MAX_MARKS_BYTES:
        raise BadMarks(f"{MARKS_NAME}: larger than {MAX_MARKS_BYTES} bytes")
    return parse_marks(data)


def write_marks(files: FileOps, directory: Path, marks: Sequence[Mark]) -> None:
    """Replace the file; durable on return. Raises OSError."""
    replace_file(files, directory / MARKS_NAME, encode_marks(marks))
