"""One recorded terminal -> timed events, and those -> asciicast, version 2 or 3.

Decides nothing about safety unless asked: `neutralised` events are safe to write to a terminal, raw
ones are what the program sent. Text is cut only between characters, although chunks are not.
The trap: kubectl sends its window size before any output exists; it belongs into the header, or the
cast starts with a wrong picture.
Source: docs.asciinema.org, asciicast v2 and v3; v3 has relative times and an exit event.
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from protocol.events import Channel
from storage.ansi import Neutralizer
from storage.markers import marker
from storage.records import AnyRecord, ChannelChunk, Exited, Outcome, Resized, ResponseBody, UnknownRecord

DEFAULT_COLUMNS: Final = 80
DEFAULT_ROWS: Final = 24
MAX_SCREEN: Final = 1000
"""Columns and rows of a recorded size are clamped to this: 65535 x 65535 cells fill a player's memory."""

EventCode: TypeAlias = Literal["o", "i", "r", "m", "x"]


class TerminalEvent(NamedTuple):
    """code: "o" output, "i" input, "r" size as "COLUMNSxROWS", "m" what policy did, "x" exit code in decimal."""

    at_us: int
    code: EventCode
    data: str


class CastHeader(msgspec.Struct, frozen=True):
    """What a player shows around the recording. started_ns: UTC nanoseconds."""

    started_ns: int
    title: str = ""
    command: str = ""


class _Text:
    """Bytes of one direction -> text, cut between characters."""

    def __init__(self, *, neutralise: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._neutralizer = Neutralizer() if neutralise else None

    def feed(self, data: bytes) -> str:
        if self._neutralizer is not None:
            return self._neutralizer.feed(data).decode()
        return self._decoder.decode(data)

    def finish(self) -> str:
        if self._neutralizer is not None:
            return self._neutralizer.finish().decode()
        return self._decoder.decode(b"", True)


def terminal_events(
    records: Iterable[AnyRecord | UnknownRecord], *, neutralise: bool = True
) -> Iterator[TerminalEvent]:
    """The records of one exchange as what a terminal showed, in order; the exit code comes last.

    Of exec and attach: stdout and stderr, stdin, sizes. Of any other call: the bytes of its answer
    as output (`kubectl logs -f`). What policy did meanwhile is a marker. Times never go backwards.
    """
    texts: dict[tuple[EventCode, int], _Text] = {}
    now_us = 0
    exit_code: int | None = None
    for record in records:
        if isinstance(record, Exited | Outcome):
            exit_code = record.exit_code if exit_code is None else exit_code
            now_us = max(now_us, record.at_us)
        elif isinstance(record, Resized):
            now_us = max(now_us, record.at_us)
            columns, rows = min(record.columns, MAX_SCREEN), min(record.rows, MAX_SCREEN)
            if columns > 0 and rows > 0:  # a client without a terminal says 0x0
                yield TerminalEvent(now_us, "r", f"{columns}x{rows}")
        elif isinstance(record, ChannelChunk | ResponseBody):
            source = _source_of(record)
            if source is None:
                continue
            now_us = max(now_us, record.at_us)
            if source not in texts:
                texts[source] = _Text(neutralise=neutralise)
            text = texts[source].feed(record.data)
            if text:
                yield TerminalEvent(now_us, source[0], text)
        else:
            label = marker(record)
            if label:
                now_us = max(now_us, getattr(record, "at_us", 0))
                yield TerminalEvent(now_us, "m", label)
    for (code, _), remaining in texts.items():
        text = remaining.finish()
        if text:
            yield TerminalEvent(now_us, code, text)
    if exit_code is not None:
        yield TerminalEvent(now_us, "x", str(exit_code))


def _source_of(record: ChannelChunk | ResponseBody) -> tuple[EventCode, int] | None:
    if isinstance(record, ResponseBody) or record.channel in (Channel.STDOUT, Channel.STDERR):
        return ("o", Channel.STDOUT if isinstance(record, ResponseBody) else record.channel)
    if record.channel == Channel.STDIN:
        return ("i", Channel.STDIN)
    return None


# --- asciicast ----------------------------------------------------------------------------------

_MAX_EVENTS_BEFORE_OUTPUT: Final = 64
"""Events looked at to find the first size; it comes within the first few."""


def encode_cast(
    events: Iterable[TerminalEvent], header: CastHeader, *, version: Literal[2, 3]
) -> Iterator[str]:
    """Encode as asciicast: one JSON text a line, without line ends; the header comes first.

    v2: absolute times, and no exit event, which it does not know. v3: times since the last event.
    """
    following = iter(events)
    leading: list[TerminalEvent] = []
    columns, rows = DEFAULT_COLUMNS, DEFAULT_ROWS
    for event in following:
        if event.code == "r":
            columns, rows = map(int, event.data.split("x"))
            break
        leading.append(event)
        if event.code == "o" or len(leading) >= _MAX_EVENTS_BEFORE_OUTPUT:
            break
    yield _encode_header(header, columns, rows, version)
    last_us = 0
    for event in chain(leading, following):
        if version == 2 and event.code == "x":
            continue
        at_us = event.at_us - (last_us if version == 3 else 0)
        last_us = event.at_us
        data = msgspec.json.encode(event.data).decode()
        yield f'[{at_us // 1_000_000}.{at_us % 1_000_000:06d}, "{event.code}", {data}]'


def _encode_header(header: CastHeader, columns: int, rows: int, version: Literal[2, 3]) -> str:
    fields: dict[str, object] = {"version": version}
    if version == 2:
        fields |= {"width": columns, "height": rows}
    else:
        fields["term"] = {"cols": columns, "rows": rows}
    fields["timestamp"] = header.started_ns // 1_000_000_000
    if header.title:
        fields["title"] = header.title
    if header.command:
        fields["command"] = header.command
    return msgspec.json.encode(fields).decode()
