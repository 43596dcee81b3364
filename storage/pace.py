"""When to write what is queued, when to sync what is written, when to begin a new segment.

Decides, reads no clock: the caller passes monotonic seconds in, and gets back the moment from which
something is due. Urgent records are written and synced at once, whatever else came in with them; others
may wait a little for company (a terminal's output is many tiny chunks, and one frame per chunk would be
larger than the chunks), and may stay unsynced for a bounded time and size.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import msgspec

from storage.dictionary import DEFAULT_DICTIONARY_ID, DEFAULT_LEVEL
from storage.files import Watermarks
from storage.format import MAX_RAW_BYTES, MAX_RECORDS, RECORD_PREFIX_BYTES

NOW: Final = -math.inf
NEVER: Final = math.inf


class LogSettings(msgspec.Struct, frozen=True):
    """How one log trades latency, loss on a power cut, and space."""

    segment_bytes: int = 64 << 20
    first_segment_bytes: int = 4 << 20
    """The first segment of a run, and any for which no spare is ready: small, since its zeros are written
    while somebody waits."""
    spares: int = 2
    company_s: float = 0.05
    company_bytes: int = 64 << 10
    sync_s: float = 0.25
    sync_bytes: int = 1 << 20
    """What is not urgent is synced when it is so old or so much. The caller's backpressure must begin well
    above sync_bytes (4 MiB), or it waits for the age every time."""
    max_segment_age_s: float = 60.0
    """Since its first record that is not quiet: how fresh an export can be."""
    max_pending_bytes: int = 64 << 20
    """Queued or unsynced. The gateway stops reading sockets long before; beyond it the log fails."""
    dict_id: int = DEFAULT_DICTIONARY_ID
    level: int = DEFAULT_LEVEL
    watermarks: Watermarks = Watermarks()


class Clock(msgspec.Struct, frozen=True):
    """Time, so that tests need not wait for it."""

    now_ns: Callable[[], int] = time.time_ns
    monotonic_s: Callable[[], float] = time.monotonic


class Queued(msgspec.Struct):
    """Records that wait to be written. since_s: when the oldest came, monotonic. quiet: all of them are."""

    records: list[bytes]
    byte_count: int = 0
    since_s: float = 0.0
    urgent: bool = False
    quiet: bool = True


def write_due_s(queued: Queued, settings: LogSettings) -> float:
    """From when on the queue should be written."""
    if not queued.records:
        return NEVER
    if queued.urgent or queued.byte_count >= settings.company_bytes:
        return NOW
    return queued.since_s + settings.company_s


def sync_due_s(unsynced_bytes: int, since_s: float, settings: LogSettings) -> float:
    """From when on what is written should be synced; since_s: when its oldest record was queued."""
    if not unsynced_bytes:
        return NEVER
    return NOW if unsynced_bytes >= settings.sync_bytes else since_s + settings.sync_s


def rotation_due_s(content_since_s: float, settings: LogSettings) -> float:
    """From when on a segment is old enough to be sealed. content_since_s: when the first record came that is
    worth exporting; NEVER: it holds none."""
    return content_since_s + settings.max_segment_age_s


def cut_blocks(records: list[bytes]) -> list[list[bytes]]:
    """Cut a queue into blocks that fit a frame, in order; almost always one."""
    blocks: list[list[bytes]] = []
    block: list[bytes] = []
    room = 0
    for record in records:
        size = len(record) + RECORD_PREFIX_BYTES
        if size > room or len(block) == MAX_RECORDS:
            block, room = [], MAX_RAW_BYTES
            blocks.append(block)
        block.append(record)
        room -= size
    return blocks
