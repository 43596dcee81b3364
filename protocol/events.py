"""The one vocabulary of events: facts about bytes, named in the past tense or as nouns.

Events are frozen; bytes in them are owned by nobody and may be kept. Header names are lower case
on both HTTP versions. What travels between two machines (client side and upstream side) is these
objects and nothing else: that is how record, client and cluster cannot disagree.
"""

from enum import IntEnum
from typing import Protocol, TypeAlias

import msgspec

from protocol.errors import RemoteProtocolError

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""(lower-case name, value) pairs in wire order; values stripped of outer blanks."""


class Event(msgspec.Struct, frozen=True):
    """Base of everything a machine can say."""


class Machine(Protocol):
    """What every connection machine of this package offers (see the package docstring)."""

    def receive(self, data: bytes) -> list[Event]: ...

    def send(self, event: Event) -> None: ...

    def data_to_send(self) -> bytes: ...


# --- any connection -------------------------------------------------------------------------


class Failed(Event, frozen=True):
    """The peer broke the protocol; no byte after this is read. Always the last event."""

    error: RemoteProtocolError


class PeerClosed(Event, frozen=True):
    """The peer ended its direction in an orderly place (between messages)."""


# --- HTTP -----------------------------------------------------------------------------------


class RequestHead(Event, frozen=True):
    """One request up to its body. On HTTP/1.1 `stream_id` is 0."""

    method: bytes  # upper case, one of the known methods
    target: bytes  # origin-form, as it came: starts with "/"
    authority: bytes  # Host, or :authority
    headers: Headers  # without Host and pseudo-headers
    http_version: bytes = b"1.1"  # b"1.1" or b"2"
    stream_id: int = 0
    content_length: int | None = 0  # bytes; None: unknown until its end (chunked, or HTTP/2 without it)
    upgrade: bytes = b""  # lower-case token of an upgrade request: b"websocket" or b"spdy/3.1", else b""
    expects_continue: bool = False
    wants_close: bool = False  # the client asked us to close after the response


class InformationalHead(Event, frozen=True):
    """100 Continue. The only 1xx we ever send; a client machine swallows those it receives."""

    status: int = 100
    stream_id: int = 0


class ResponseHead(Event, frozen=True):
    """One final response up to its body. Framing headers are chosen by the sending machine.

    headers: no connection, transfer-encoding, keep-alive; content-length only if it is exact.
    A received head has the same shape: framing is in `content_length`.
    """

    status: int
    headers: Headers = ()
    stream_id: int = 0
    content_length: int | None = None  # bytes; None: chunked, until close, or (HTTP/2) until END_STREAM


class BodyChunk(Event, frozen=True):
    """Some bytes of a body, at least one, cut as the wire happened to cut them."""

    data: bytes
    stream_id: int = 0
    flow_bytes: int = 0  # HTTP/2: flow-control credit to return with `consumed` (data plus padding)


class EndOfBody(Event, frozen=True):
    """The message is complete."""

    stream_id: int = 0


class Upgraded(Event, frozen=True):
    """A client machine saw the 101 it asked for; what follows is no longer HTTP."""

    head: ResponseHead
    leftover: bytes = b""  # bytes read past the head: first input of the tunnel's machine


class StreamReset(Event, frozen=True):
    """HTTP/2: one stream ended abruptly, by the peer when received, by us when sent."""

    stream_id: int
    code: int = 8  # RFC 9113 section 7; 8 is CANCEL


class StreamRefused(Event, frozen=True):
    """HTTP/2: one request is malformed; the connection and its other streams live on.

    No RequestHead came or will come, and the rest of its stream is discarded. Answer it
    (`error.status_hint`) like any request, or send StreamReset; the stream stays open until then.
    """

    stream_id: int
    error: RemoteProtocolError


class WindowOpened(Event, frozen=True):
    """HTTP/2: more may be sent on a stream (0: on any) than before; ask `sendable`."""

    stream_id: int


class GoAway(Event, frozen=True):
    """HTTP/2: no new streams are accepted; those under way finish."""

    last_stream_id: int = 0
    code: int = 0


# --- WebSocket ------------------------------------------------------------------------------


class MessageChunk(Event, frozen=True):
    """Part of one data message. `first` and `last` mark its borders; a whole message has both.

    Received: pieces come as they arrive, so no message is ever buffered whole; only the last piece,
    or the only piece of an empty message, may be empty. Sent: one event is one frame (FIN = last).
    """

    data: bytes
    text: bool = False
    first: bool = True
    last: bool = True


class Ping(Event, frozen=True):
    """A liveness probe of the peer, already answered by the machine (the pong is queued)."""

    data: bytes = b""


class Pong(Event, frozen=True):
    """The peer answered a ping of ours."""

    data: bytes = b""


class WebSocketClosed(Event, frozen=True):
    """The closing handshake: received, the peer's Close (1005: it carried no code)."""

    code: int = 1000
    reason: str = ""


# --- SPDY -----------------------------------------------------------------------------------


class SpdyStreamOpened(Event, frozen=True):
    stream_id: int
    headers: Headers
    fin: bool = False


class SpdyStreamReplied(Event, frozen=True):
    stream_id: int
    headers: Headers = ()
    fin: bool = False


class SpdyData(Event, frozen=True):
    """Data on a stream, cut as it arrived; `fin` half-closes it (the data may then be empty)."""

    stream_id: int
    data: bytes
    fin: bool = False


class SpdyReset(Event, frozen=True):
    stream_id: int
    code: int = 5  # 5 is CANCEL, the normal end of an error stream


class SpdyGoAway(Event, frozen=True):
    last_stream_id: int = 0
    code: int = 0


# --- channels: exec, attach, port-forward -----------------------------------------------------


class Channel(IntEnum):
    """A stream inside a tunnel. 0 to 4 are also the bytes of the WebSocket protocols."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3  # exec: the Status at the end; never shown as output
    RESIZE = 4  # JSON terminal sizes
    DATA = 5  # port-forward: the bytes of one forwarded TCP connection
    FORWARD_ERROR = 6  # port-forward: text when it failed


class ChannelOpened(Event, frozen=True):
    """The client opened a channel. Over WebSocket remote command channels exist from the start
    and no such event comes."""

    channel: Channel
    connection: int = 0  # port-forward: the request id; legacy WebSocket: index of the port
    port: int = 0  # port-forward: 1 to 65535


class ChannelAccepted(Event, frozen=True):
    """The server side took the channel (SPDY SYN_REPLY)."""

    channel: Channel
    connection: int = 0


class ChannelData(Event, frozen=True):
    """Bytes on a channel, decoded: never base64, never with a channel byte. May be empty
    (a WebSocket server's "ready" message)."""

    channel: Channel
    data: bytes
    connection: int = 0


class ChannelEnded(Event, frozen=True):
    """One direction of a channel is over (FIN, or the CLOSE signal of v5): half-close."""

    channel: Channel
    connection: int = 0


class ChannelReset(Event, frozen=True):
    """Both directions of a channel are dead."""

    channel: Channel
    connection: int = 0
    code: int = 5  # SPDY status code


class TunnelClosed(Event, frozen=True):
    """The peer said goodbye in the protocol: WebSocket Close, SPDY GOAWAY. Sent: say it."""

    code: int = 1000  # WebSocket close code; 1000 for a SPDY GOAWAY with status 0, else 1011
    reason: str = ""
