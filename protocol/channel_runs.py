"""Neighbouring pieces of one channel -> one piece.

A read ends where TCP cut the bytes, so it brings frames in pieces, and small frames together. Left alone, each
piece costs a record and a frame of its own. Joined is only what has no borders: the bytes that programs read and
write. A result and a size are whole messages, and a piece without data says "ready": those stay as they are.
"""

from itertools import groupby
from typing import Final

from protocol.events import Channel, ChannelData, Event

_BORDERLESS: Final = frozenset((Channel.STDIN, Channel.STDOUT, Channel.STDERR, Channel.DATA))


def join_neighbours(events: list[Event]) -> list[Event]:
    """The events of one read, in order, with as few `ChannelData` as say the same. A read bounds their size."""
    joined: list[Event] = []
    for run, group in groupby(events, _run_of):
        pieces = list(group)
        if run is None or len(pieces) == 1:
            joined += pieces
        else:
            joined.append(ChannelData(run[0], b"".join(map(_data_of, pieces)), run[1]))
    return joined


def _run_of(event: Event) -> tuple[Channel, int] | None:
    """What has to be the same for neighbours to be joined; None: never."""
    if isinstance(event, ChannelData) and event.data and event.channel in _BORDERLESS:
        return event.channel, event.connection
    return None


def _data_of(event: Event) -> bytes:
    assert isinstance(event, ChannelData)
    return event.data
