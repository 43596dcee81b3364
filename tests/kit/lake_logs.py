"""Recorded stories as rows, in memory and as segments on disk, cut wherever a test wants.

`borders` are numbers of records: a segment ends before each of them.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from storage.lake.place import LeafIndex, Place, SegmentRef
from storage.lake.row_maker import RowMaker
from storage.lake.rows import ApiCall, ControlEvent, Row, StreamEvent
from storage.lake.settings import RowSettings
from storage.records import AnyRecord, encode_record
from tests.kit import segments

BLOCK = 5
"""Records of one block."""


def segment_ref(number: int) -> SegmentRef:
    return SegmentRef(f"{1_769_853_600_000:013d}-000001-{number:08d}-{number:08x}", f"id-{number}", "gw-1")


def cut(records: Sequence[AnyRecord], borders: Sequence[int]) -> list[list[AnyRecord]]:
    edges = [0, *borders, len(records)]
    return [list(records[start:end]) for start, end in pairwise(edges)]


def feed(maker: RowMaker, part: Sequence[AnyRecord], number: int, first_seq: int) -> list[Row]:
    """One segment; returns its rows."""
    rows: list[Row] = []
    for index, record in enumerate(part):
        at = Place(
            segment_ref(number), index // BLOCK, index % BLOCK, first_seq + index, 1_769_853_600 * 10**9
        )
        rows += maker.take(at, encode_record(record))
    return [*rows, *maker.end_segment()]


def rows_of(
    records: Sequence[AnyRecord],
    *,
    borders: Sequence[int] = (),
    restart: bool = False,
    bodies_again: bool = True,
    settings: RowSettings | None = None,
    leaf_index: LeafIndex | None = None,
) -> list[list[Row]]:
    """The rows of each segment. restart: the maker is stored and made anew at every border."""
    maker = RowMaker("0", settings, leaf_index)
    found, seq = [], 1
    for number, part in enumerate(cut(records, borders), 1):
        if restart:
            maker = RowMaker.decode(maker.encode(), "0", settings, leaf_index)
            if maker.bodies_from() is not None and bodies_again:
                for record in records[: seq - 1]:
                    maker.feed_again(encode_record(record))
        found.append(feed(maker, part, number, seq))
        seq += len(part)
    return found


def all_rows(records: Sequence[AnyRecord], settings: RowSettings | None = None) -> list[Row]:
    return rows_of(records, settings=settings)[0]


def calls(rows: Sequence[Row]) -> list[ApiCall]:
    return [row for row in rows if isinstance(row, ApiCall)]


def events(rows: Sequence[Row]) -> list[StreamEvent]:
    return [row for row in rows if isinstance(row, StreamEvent)]


def controls(rows: Sequence[Row]) -> list[ControlEvent]:
    return [row for row in rows if isinstance(row, ControlEvent)]


def write_segments(
    data_dir: Path,
    records: Sequence[AnyRecord],
    borders: Sequence[int] = (),
    *,
    log: str = "0",
    seal: bool = True,
) -> list[Path]:
    """Sealed segments of a log on disk; without `seal`, the last one stays open."""
    directory = data_dir / "log" / log
    directory.mkdir(parents=True, exist_ok=True)
    paths, seq, previous = [], 1, ""
    parts = cut(records, borders)
    for number, part in enumerate(parts, 1):
        head = segments.header(number, first_record_seq=seq, prev=previous)
        segment = segments.begin(directory, head, capacity=1 << 20)
        for start in range(0, len(part), BLOCK):
            segment.append(
                [encode_record(record) for record in part[start : start + BLOCK]], segments.START_NS
            )
            segment.sync()
        if seal or number < len(parts):
            paths.append(segment.seal())
        else:
            segment.abandon()
            paths.append(segment.path)
        seq, previous = seq + len(part), head.segment_id
    return paths
