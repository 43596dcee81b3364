"""What the times in a log may be, however the clock behaves: one UTC hour a segment, and order by number alone."""

import itertools
from pathlib import Path

from storage.files import REAL_FILES
from storage.reader import list_segments, open_segment_file, read_block_table
from storage.writer import HOUR_NS


def check_hours(directory: Path) -> list[str]:
    """Segments with blocks of two hours, and numbers that do not go on where the segment before ended."""
    faults: list[str] = []
    next_record_seq = 1
    for name in list_segments(directory):
        with open_segment_file(directory, name, REAL_FILES) as segment:
            path, header = segment.path, segment.header
        table = read_block_table(path)
        hours = {info.committed_ns // HOUR_NS for info in table}
        if len(hours) > 1:
            faults.append(f"{name.stem} holds blocks of {len(hours)} hours")
        if header.first_record_seq != next_record_seq:
            faults.append(f"{name.stem} begins with record {header.first_record_seq}, not {next_record_seq}")
        if table:
            next_record_seq = table[-1].first_record_seq + table[-1].nrec
    return faults


def newest_start_s(directory: Path) -> float:
    """When the newest segment began, by its own clock (UTC seconds); 0.0: there is none."""
    return max(((name.number, name.start_ms / 1000) for name in list_segments(directory)), default=(0, 0.0))[
        1
    ]


def backward_steps(directory: Path) -> int:
    """How often a block is dated before the one in front of it."""
    times = [
        info.committed_ns
        for name in list_segments(directory)
        for info in read_block_table(_path_of(directory, name.stem))
    ]
    return sum(later < earlier for earlier, later in itertools.pairwise(times))


def _path_of(directory: Path, stem: str) -> Path:
    (path,) = [
        path for path in directory.glob(f"{stem}.*") if path.suffix in (".kseg", ".open", ".recovered")
    ]
    return path
