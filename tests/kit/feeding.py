"""Feed a machine the same bytes cut in different ways, and compare what it says."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from protocol.events import BodyChunk, Event, Failed, Machine


def feed(machine: Machine, reads: Iterable[bytes]) -> list[Event]:
    """All events of these reads, with adjoining body chunks joined."""
    events = [event for data in reads for event in machine.receive(data)]
    return joined(events)


def joined(events: Iterable[Event]) -> list[Event]:
    """The same events, a body in one piece however it was cut; a failure by what it says."""
    result: list[Event] = []
    for is_chunk, group in groupby(events, lambda event: isinstance(event, BodyChunk)):
        if is_chunk:
            result.append(BodyChunk(b"".join(event.data for event in group if isinstance(event, BodyChunk))))
        else:
            result.extend(group)
    return result


def told(events: Iterable[Event]) -> list[object]:
    """As `joined`, with errors as comparable values: class, text, status."""
    return [
        (type(event.error), event.error.why, event.error.status_hint) if isinstance(event, Failed) else event
        for event in joined(events)
    ]


def in_two(data: bytes) -> Iterator[list[bytes]]:
    """Cut at every offset into two reads."""
    return ([data[:at], data[at:]] for at in range(1, len(data)))


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]
