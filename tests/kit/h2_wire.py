"""HTTP/2 bytes as a client writes them, made with hpack and hyperframe: no rule of h2 in between."""

from collections.abc import Iterable, Sequence

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from protocol.events import BodyChunk, Event, Failed, WindowOpened
from protocol.http2 import Http2Server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = Sequence[tuple[bytes, bytes]]

GET: Fields = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"gw.example:6443"),
    (b":path", b"/api/v1/namespaces/default/pods?limit=500"),
)
POST: Fields = ((b":method", b"POST"), *GET[1:])


def plain_block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block without state and without Huffman: each field a literal, never indexed."""
    encoder = Encoder()
    return b"".join(encoder.add((name, value), sensitive=True, huffman=False) for name, value in fields)


def headers(stream_id: int, fields: Iterable[tuple[bytes, bytes]], *, end: bool = True) -> bytes:
    return headers_frame(stream_id, plain_block(fields), end=end)


def headers_frame(stream_id: int, block: bytes, *, end: bool = True, whole: bool = True) -> bytes:
    flags = [name for name, on in (("END_STREAM", end), ("END_HEADERS", whole)) if on]
    return HeadersFrame(stream_id, block, flags=flags).serialize()


def continuation(stream_id: int, block: bytes, *, whole: bool = True) -> bytes:
    return ContinuationFrame(stream_id, block, flags=["END_HEADERS"] if whole else []).serialize()


def data(stream_id: int, body: bytes, *, end: bool = False, padding: int | None = None) -> bytes:
    flags = [name for name, on in (("END_STREAM", end), ("PADDED", padding is not None)) if on]
    return DataFrame(stream_id, body, flags=flags, pad_length=padding or 0).serialize()


def reset(stream_id: int, code: int = 8) -> bytes:
    return RstStreamFrame(stream_id, code).serialize()


def window_update(stream_id: int, increment: int) -> bytes:
    return raw(8, 0, stream_id, increment.to_bytes(4, "big"))


def settings(values: dict[int, int] | None = None, *, ack: bool = False) -> bytes:
    return SettingsFrame(0, values or {}, flags=["ACK"] if ack else []).serialize()


def ping(payload: bytes = b"12345678", *, ack: bool = False) -> bytes:
    return PingFrame(0, payload, flags=["ACK"] if ack else []).serialize()


def goaway(last_stream_id: int = 0, code: int = 0, text: bytes = b"") -> bytes:
    return GoAwayFrame(0, last_stream_id, code, text).serialize()


def priority(stream_id: int, depends_on: int = 0) -> bytes:
    return PriorityFrame(stream_id, depends_on=depends_on, stream_weight=3).serialize()


def raw(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Any frame, legal or not."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def frames_of(output: bytes) -> list[Frame]:
    """Parse everything a server sent."""
    found = []
    while output:
        frame, length = Frame.parse_frame_header(memoryview(output[:9]))
        frame.parse_body(memoryview(output[9 : 9 + length]))
        found.append(frame)
        output = output[9 + length :]
    return found


def resets_of(output: bytes) -> list[tuple[int, int]]:
    """(stream id, code) of each RST_STREAM in it."""
    return [(f.stream_id, f.error_code) for f in frames_of(output) if isinstance(f, RstStreamFrame)]


def goaways_of(output: bytes) -> list[tuple[int, int]]:
    """(last stream id, code) of each GOAWAY in it."""
    return [(f.last_stream_id, f.error_code) for f in frames_of(output) if isinstance(f, GoAwayFrame)]


def credit_of(output: bytes) -> dict[int, int]:
    """Flow-control credit returned, per stream (0: the connection)."""
    credit: dict[int, int] = {}
    for frame in frames_of(output):
        if isinstance(frame, WindowUpdateFrame):
            credit[frame.stream_id] = credit.get(frame.stream_id, 0) + frame.window_increment
    return credit


def open_server(client_settings: dict[int, int] | None = None) -> Http2Server:
    """A server past the exchange of SETTINGS, with nothing queued."""
    server = Http2Server()
    events = server.receive(PREFACE + settings(client_settings) + settings(ack=True))
    assert all(isinstance(event, WindowOpened) for event in events), events
    server.data_to_send()
    return server


def join_bodies(events: Iterable[Event]) -> list[Event]:
    """Events with adjoining BodyChunks of a stream joined, and errors by their text: for comparing cuts."""
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, BodyChunk) and isinstance(last, BodyChunk) and last.stream_id == event.stream_id:
            joined[-1] = BodyChunk(
                last.data + event.data, event.stream_id, last.flow_bytes + event.flow_bytes
            )
        else:
            joined.append(event)
    return joined


def why_failed(events: Sequence[Event]) -> str:
    """Why the connection ended; asserts that it did."""
    assert isinstance(events[-1], Failed), events
    return events[-1].error.why
