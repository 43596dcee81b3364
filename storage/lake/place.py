"""Where a record lies and when it happened, as columns of the lake's tables. Pure.

The trap: `dt` and `hr` are those of the moment itself. The object a row lies in may be of a later hour,
because a call's row is made when it ends; see deploy/lake/README.md.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import msgspec

from storage.index_rows import clamped
from storage.lake.rows import Date, Int, Timestamp

LeafIndex: TypeAlias = Callable[[str, int], int | None]
"""(stem of a segment, block_seq) -> index of the block's leaf in the log's tree; None: not there (yet)."""


class SegmentRef(msgspec.Struct, frozen=True, array_like=True):
    """What a row says of its segment. stem: file name without suffix."""

    stem: str
    segment_id: str
    gateway_id: str


class Place(msgspec.Struct, frozen=True, array_like=True):
    """One record's place. rec_off: its number in its block, from 0. committed_ns: UTC, of the block."""

    segment: SegmentRef
    block_seq: int
    rec_off: int
    rec_seq: int
    committed_ns: int


class Moment(NamedTuple):
    """A time as three columns."""

    ts: Timestamp
    dt: Date
    hr: Int


def moment(at_ns: int) -> Moment:
    """UTC nanoseconds; what no clock can say is the nearest that one can."""
    at_ns = clamped(at_ns)
    second, day, hour = _second(at_ns // 1_000_000_000)
    return Moment(Timestamp(f"{second}.{at_ns // 1000 % 1_000_000:06d}"), day, hour)


@lru_cache(maxsize=256)  # records of one second come together
def _second(at_s: int) -> tuple[str, Date, Int]:
    at = datetime.fromtimestamp(at_s, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}", Date(f"{at:%Y-%m-%d}"), Int(at.hour)
