"""Cutting a byte stream the way TCP does, and joining what a machine made of it."""

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from protocol.events import ChannelData, Event, Machine, SpdyData


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut at places (taken modulo the length); no part is empty, for b"" means the end of input."""
    if not data:
        return []
    borders = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[start:stop] for start, stop in pairwise(borders)]


def cut_evenly(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def receive_all(machine: Machine, parts: Iterable[bytes]) -> list[Event]:
    return [event for part in parts for event in machine.receive(part)]


def joined(events: Iterable[Event]) -> list[Event]:
    """The same events with neighbouring data of one stream or channel joined: cuts leave no trace."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if (
            isinstance(event, SpdyData)
            and isinstance(last, SpdyData)
            and last.stream_id == event.stream_id
            and not last.fin
        ) or (
            isinstance(event, ChannelData)
            and isinstance(last, ChannelData)
            and (last.channel, last.connection) == (event.channel, event.connection)
        ):
            result[-1] = msgspec.structs.replace(event, data=last.data + event.data)
        else:
            result.append(event)
    return result
