"""The streams of one exec, attach or port-forward -> what happens on them, in order. Pure.

Takes the records of one exchange, and the `Piece`s of text that `OpenCall` made of them, and gives
`Happening`s: rows of stream_events without what the call says for all of them. Bounded like `OpenCall`.
The trap: a piece of text comes out long after it began; the record it began with is found by its time.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from protocol.events import Channel
from storage.index_text import Piece
from storage.lake.place import Place
from storage.records import (
    AnyRecord,
    ChannelChanged,
    ChannelChunk,
    CommandSeen,
    FileCopied,
    Resized,
    TunnelStarted,
    UnknownRecord,
)

MAX_TEXT_BYTES: Final = 8192
MAX_BIGINT: Final = 2**63 - 1
MAX_MARKS: Final = 64
"""Records remembered per stream while its text is held back: more than one second of typing has. Beyond
it a piece points at an earlier record of its stream."""
MAX_CONNECTIONS: Final = 1024
"""Forwarded connections open at one time that get rows of their own; all bytes are counted in any case."""

_EVENT_OF: Final = {"stdin": "in", "stdout": "out", "stderr": "err", "forward-error": "err"}
_KIND_OF: Final[dict[int, str]] = {
    Channel.STDIN: "stdin",
    Channel.STDOUT: "stdout",
    Channel.STDERR: "stderr",
    Channel.FORWARD_ERROR: "forward-error",
}


class Happening(NamedTuple):
    """One event. connection: of a forwarded TCP connection, None: of the whole tunnel."""

    event: str
    seq: int
    at_us: int
    at: Place
    connection: int | None = None
    port: int | None = None
    bytes: int | None = None
    text: str | None = None
    columns: int | None = None
    rows: int | None = None


class _Mark(msgspec.Struct, frozen=True, array_like=True):
    at_us: int
    at: Place


class _Connection(msgspec.Struct, array_like=True):
    port: int
    bytes: int = 0
    client_ended: bool = False
    cluster_ended: bool = False


class TunnelState(msgspec.Struct, array_like=True):
    """All that is remembered between two records."""

    seq: int = 0
    opened: bool = False
    cut: bool = False  # a connection had no room here
    marks: dict[str, list[_Mark]] = msgspec.field(default_factory=dict)
    connections: dict[int, _Connection] = msgspec.field(default_factory=dict)


class Tunnel:
    """Call `mark` before a record is given to its OpenCall, then `take` with the pieces that came out."""

    def __init__(self, state: TunnelState | None = None) -> None:
        self.state = state or TunnelState()

    def mark(self, record: AnyRecord | UnknownRecord, at: Place) -> None:
        """Remember where text of this record lies, should a piece begin with it."""
        if isinstance(record, ChannelChunk):
            kind = _KIND_OF.get(record.channel)
            if kind is not None:
                marks = self.state.marks.setdefault(kind, [])
                if len(marks) >= MAX_MARKS:
                    del marks[-1]  # the first are those that held-back text began with
                marks.append(_Mark(record.at_us, at))

    def take(
        self, record: AnyRecord | UnknownRecord, at: Place, pieces: Iterable[Piece]
    ) -> Iterator[Happening]:
        yield from self.texts(pieces)
        if isinstance(record, TunnelStarted):
            self.state.opened = True
            yield self._happening("open", record.at_us, at)
        elif isinstance(record, Resized):
            yield self._happening("resize", record.at_us, at)._replace(
                columns=record.columns, rows=record.rows
            )
        elif isinstance(record, CommandSeen):
            text = _beginning(record.line)
            yield self._happening("command", record.at_us, at)._replace(text=text)
        elif isinstance(record, FileCopied):
            text, size = _beginning(record.name), min(record.size, MAX_BIGINT)
            yield self._happening("file", record.at_us, at)._replace(text=text, bytes=size)
        elif isinstance(record, ChannelChunk):
            connection = self.state.connections.get(record.connection)
            if record.channel == Channel.DATA and connection is not None:
                connection.bytes += len(record.data)
        elif isinstance(record, ChannelChanged) and record.channel == Channel.DATA:
            yield from self._changed(record, at)

    def texts(self, pieces: Iterable[Piece]) -> Iterator[Happening]:
        for piece in pieces:
            at = self._began(piece)
            for part in _parts(piece.text):
                text = part.decode()
                yield self._happening(_EVENT_OF[piece.kind], piece.at_us, at)._replace(
                    text=text, bytes=len(part)
                )

    def close(self, at_us: int, at: Place, total_bytes: int) -> Iterator[Happening]:
        """The exchange is over: whatever is open closes."""
        for number in list(self.state.connections):
            yield self._close_connection(number, at_us, at)
        if self.state.opened:
            self.state.opened = False
            yield self._happening("close", at_us, at)._replace(bytes=total_bytes)

    def _changed(self, record: ChannelChanged, at: Place) -> Iterator[Happening]:
        connections, number = self.state.connections, record.connection
        if record.what == "opened":
            if len(connections) >= MAX_CONNECTIONS:
                self.state.cut = True
                return
            connections[number] = _Connection(record.port)
            yield self._happening("open", record.at_us, at)._replace(
                connection=number, port=record.port or None
            )
            return
        connection = connections.get(number)
        if connection is None:
            return
        if record.what in ("ended", "reset"):
            is_reset = record.what == "reset"
            connection.client_ended |= is_reset or record.from_client
            connection.cluster_ended |= is_reset or not record.from_client
            if connection.client_ended and connection.cluster_ended:
                yield self._close_connection(number, record.at_us, at)

    def _close_connection(self, number: int, at_us: int, at: Place) -> Happening:
        connection = self.state.connections.pop(number)
        return self._happening("close", at_us, at)._replace(
            connection=number, port=connection.port or None, bytes=connection.bytes
        )

    def _began(self, piece: Piece) -> Place:
        """The place of the record a piece began with; marks before it are not needed any more."""
        marks = self.state.marks[piece.kind]
        found = 0
        for index, mark in enumerate(marks):
            if mark.at_us > piece.at_us:
                break
            if mark.at_us != marks[found].at_us:
                found = index
        del marks[:found]
        return marks[0].at

    def _happening(self, event: str, at_us: int, at: Place) -> Happening:
        self.state.seq += 1
        return Happening(event, self.state.seq - 1, at_us, at)


def _beginning(text: str) -> str:
    """What fits a text column; "" has none."""
    return next(_parts(text), b"").decode()


def _parts(text: str) -> Iterator[bytes]:
    """UTF-8 in parts of at most MAX_TEXT_BYTES, never cut within a character."""
    data = text.encode("utf-8", "replace")
    start = 0
    while start < len(data):
        end = start + MAX_TEXT_BYTES
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end
