"""What lies in the directory of one log, by segment. Conduct: lists, and reads the ends of segments.

`list_entries` costs one directory listing and says what names say. `read_extent` opens one segment: its ids,
record numbers and times, of a sealed one from its footer, of another by following its frames. No key is needed.

The trap: times and numbers of a segment that is damaged are not its own any more; `problem` then says why, and
whoever decides by them must not.
"""

from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.keys import SUFFIX_KEYS, SUFFIX_SHREDDED
from storage.errors import CorruptFrame, UnknownDictionary
from storage.files import FileOps, file_size
from storage.format import (
    SUFFIX_OPEN,
    SUFFIX_RECOVERED,
    SUFFIX_SEALED,
    SUFFIX_TOMBSTONE,
    SUFFIX_TORN,
    SegmentName,
    parse_segment_name,
)
from storage.retention.decide import State
from storage.segment_file import SegmentFile

STATE_OF: Final = {
    SUFFIX_OPEN: State.OPEN,
    SUFFIX_SEALED: State.SEALED,
    SUFFIX_RECOVERED: State.RECOVERED,
}
_BESIDE: Final = frozenset({SUFFIX_KEYS, SUFFIX_SHREDDED, SUFFIX_TOMBSTONE, SUFFIX_TORN})


class Entry(msgspec.Struct, frozen=True):
    """The files of one segment. suffix: of the segment itself, "" when it is gone; beside: of the others."""

    name: SegmentName
    suffix: str
    beside: frozenset[str]

    @property
    def state(self) -> State | None:
        """None: gone."""
        return STATE_OF.get(self.suffix)

    @property
    def has_tombstone(self) -> bool:
        return SUFFIX_TOMBSTONE in self.beside

    @property
    def is_shredded(self) -> bool:
        return SUFFIX_SHREDDED in self.beside and SUFFIX_KEYS not in self.beside

    def path(self, directory: Path) -> Path:
        """Of the segment itself."""
        return directory / (self.name.stem + self.suffix)

    def path_beside(self, directory: Path, suffix: str) -> Path:
        return directory / (self.name.stem + suffix)


def list_entries(files: FileOps, directory: Path) -> list[Entry]:
    """Everything in a log's directory that belongs to a segment, in order of number. Raises OSError."""
    own: dict[SegmentName, str] = {}
    beside: dict[SegmentName, set[str]] = {}
    for file_name in files.names(directory):
        stem, dot, rest = file_name.partition(".")
        name, suffix = parse_segment_name(stem), dot + rest
        if name is None:
            continue
        if suffix in _BESIDE:
            beside.setdefault(name, set()).add(suffix)
        elif suffix in STATE_OF and own.get(name) in (None, SUFFIX_OPEN):  # listed while it was renamed
            own[name] = suffix
    return [
        Entry(name, own.get(name, ""), frozenset(beside.get(name, ())))
        for name in sorted(own.keys() | beside.keys())
    ]


def names_in(files: FileOps, directory: Path) -> list[str]:
    """The names in a directory, sorted; [] when there is none, or it is a file."""
    try:
        return sorted(files.names(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def size_of(files: FileOps, path: Path) -> int:
    """Bytes of a file; 0 when it is not there any more."""
    try:
        return file_size(files, path)
    except FileNotFoundError:
        return 0


class Extent(msgspec.Struct, frozen=True):
    """What a segment says of itself. Times: UTC nanoseconds of its first and last commit, 0: it has none.

    problem: why it could not be read to its end, "" if it was; segment_id "": not even its header page.
    """

    segment_id: str = ""
    log_origin: str = ""
    suite: str = ""
    first_record_seq: int = 0
    next_record_seq: int = 0
    first_ns: int = 0
    last_ns: int = 0
    problem: str = ""


def read_extent(files: FileOps, path: Path) -> Extent:
    """Raises FileNotFoundError when it was deleted or renamed meanwhile, OSError."""
    try:
        with SegmentFile(files, path) as segment:
            return _extent(segment)
    except (CorruptFrame, UnknownDictionary) as error:
        return Extent(problem=str(error))


def _extent(segment: SegmentFile) -> Extent:
    header = segment.header
    known = Extent(
        header.segment_id,
        header.log_origin,
        header.cipher.suite,
        header.first_record_seq,
        header.first_record_seq,
    )
    problem = ""
    if segment.sealed:
        try:
            seal = segment.footer()[1]
        except CorruptFrame as error:
            problem = str(error)  # its frames may still tell
        else:
            return msgspec.structs.replace(
                known,
                next_record_seq=seal.next_record_seq,
                first_ns=seal.first_committed_ns,
                last_ns=seal.last_committed_ns,
            )
    return _follow(segment, known, problem)


def _follow(segment: SegmentFile, known: Extent, problem: str) -> Extent:
    cursor = segment.start()
    first_ns = last_ns = 0
    try:
        while (frame := segment.next_block(cursor, whole=True)) is not None:
            last_ns = frame.header.committed_ns
            first_ns = first_ns or last_ns
    except CorruptFrame as error:
        problem = problem or str(error)
    return msgspec.structs.replace(
        known,
        next_record_seq=cursor.next_record_seq or known.next_record_seq,
        first_ns=first_ns,
        last_ns=last_ns,
        problem=problem,
    )
