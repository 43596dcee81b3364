"""Where row files lie, and how far each log's rows are made.

    rows/LOCK                              held by whoever makes rows
    rows/<log>/<table>/<stem>.ndjson.zst   rows of one segment (no file: no rows)
    rows/<log>/state                       the last segment done, and the calls open behind it

The state is replaced as a whole and only after the rows it speaks of are durable, so a crash repeats one
segment with the same result. The trap: a state that cannot be read is no reason to stop. Rows are then
made again from the oldest segment there is, and only calls from before it are missing.
"""

from pathlib import Path
from typing import Final

import msgspec

from storage.errors import UNDECODABLE
from storage.files import REAL_FILES, FileOps, replace_file
from storage.format import SegmentName, parse_segment_name
from storage.lake.rows_file import SUFFIX_ROWS
from storage.lake.settings import RowSettings

ROWS_DIRECTORY: Final = "rows"
STATE_NAME: Final = "state"
LOCK_NAME: Final = "LOCK"
STATE_VERSION: Final = 1
"""Raised when rows change in a way that wants all of them made again."""
MAX_STATE_BYTES: Final = 1 << 30


class RowsState(msgspec.Struct, frozen=True):
    """done: stem of the last segment whose rows are made. maker: `RowMaker.encode`."""

    done: str
    maker: bytes
    settings: RowSettings
    version: int = STATE_VERSION

    @property
    def name(self) -> SegmentName:
        name = parse_segment_name(self.done)
        if name is None:
            raise AssertionError("load_state lets no other state pass")
        return name


def rows_path(rows_dir: Path, log: str, table: str, stem: str) -> Path:
    return rows_dir / log / table / (stem + SUFFIX_ROWS)


def load_state(rows_dir: Path, log: str, *, files: FileOps = REAL_FILES) -> RowsState | None:
    """How far a log's rows are; None: nothing is made, or nobody knows. Raises OSError."""
    try:
        fd = files.open_read(rows_dir / log / STATE_NAME)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        data = files.read(fd, min(files.size(fd), MAX_STATE_BYTES), 0)
    finally:
        files.close(fd)
    try:
        state = msgspec.msgpack.decode(data, type=RowsState)
    except UNDECODABLE:
        return None
    return state if state.version == STATE_VERSION and parse_segment_name(state.done) else None


def save_state(rows_dir: Path, log: str, state: RowsState, *, files: FileOps = REAL_FILES) -> None:
    """Replace the state; durable on return. Raises OSError."""
    directory = rows_dir / log
    files.make_directory(directory)
    replace_file(files, directory / STATE_NAME, msgspec.msgpack.encode(state))
