"""Rows files whose segment retention deleted, once they are old enough themselves. Conduct.

Rows can be made again as long as their segment is there, so they stay at least that long (and with it, as long as a
legal hold lasts). The trap: a rows file without segment and without tombstone belongs to a segment that was taken
away; it is all that is left of it, and stays.
"""

from collections.abc import Iterable
from pathlib import Path

from storage.files import FileOps
from storage.format import parse_segment_name
from storage.lake.rows_file import SUFFIX_ROWS
from storage.lake.rows_state import ROWS_DIRECTORY
from storage.retention.inventory import Entry, names_in


def expire_rows(
    files: FileOps, data_dir: Path, log: str, entries: Iterable[Entry], *, begun_before_ns: int
) -> int:
    """Delete the rows of deleted segments that were begun before a time; returns how many files. Raises OSError."""
    gone = {entry.name for entry in entries if entry.state is None and entry.has_tombstone}
    if not gone:
        return 0
    directory, removed = data_dir / ROWS_DIRECTORY / log, 0
    for table in names_in(files, directory):
        for file_name in names_in(files, directory / table):
            name = parse_segment_name(file_name.removesuffix(SUFFIX_ROWS))
            if name in gone and name is not None and name.start_ms * 1_000_000 < begun_before_ns:
                files.remove(directory / table / file_name)
                removed += 1
    return removed
