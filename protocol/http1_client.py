"""HTTP/1.1 connections, client side: it faces kube-apiserver, which may be broken or taken over. The grammar is that of
the server side, `http1`, with the same care.

The trap: a connection is worth keeping only when both messages of an exchange were written and read to their ends, and
nothing came behind them: ask `reusable`, never the headers.
Source: RFC 9112; RFC 9110 sections 7.6 to 7.8 and 15.2.
"""

from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    PeerClosed,
    RequestHead,
    ResponseHead,
    Upgraded,
)
from protocol.http1_connection import BODILESS_STATUSES, END_OF_BODY, Connection
from protocol.http1_framing import (
    BodyReader,
    ChunkedReader,
    ChunkedWriter,
    LengthReader,
    LengthWriter,
    UntilCloseReader,
)
from protocol.http1_head_writing import encode_request_head
from protocol.http1_heads import (
    RESPONSE_LIMITS,
    Limits,
    ReceivedHead,
    parse_response_head,
    parse_status_line,
)
from protocol.http1_states import REQUEST, RESPONSE, RESPONSE_ASKED, RESPONSE_INTERIM, Phase

MAX_INTERIM_HEADS: Final = 8
"""1xx heads before a response. Go's server sends at most two; 100 of them are an attack."""

_MAX_STATUS_LINE_BYTES: Final = 8192


class Http1Client(Connection):
    """One connection to a server.

    Sent: RequestHead, BodyChunk..., EndOfBody (always, also without a body).
    Received: ResponseHead, BodyChunk..., EndOfBody (always), or Upgraded; PeerClosed, Failed.

    Up to 8 1xx heads are swallowed. A response to HEAD has the `content_length` a GET would have
    had, and no body. A body without Content-Length and chunks ends with the connection (EndOfBody
    alone says so), and cannot be told from a truncated one (RFC 9112 section 6.3). Trailers are
    dropped, and so are bytes after a response, which end `reusable`. The `status_hint` of a failure
    means nothing here: a broken server is 502 to our client.
    """

    _received, _sent = RESPONSE, REQUEST

    def __init__(self, limits: Limits = RESPONSE_LIMITS) -> None:
        super().__init__()
        self._limits = limits
        self._inbound = Phase.IDLE
        self._outbound = Phase.HEAD
        self._status: int | None = None  # while the fields of its head are awaited
        self._fields_limit = 0  # bytes they may have
        self._method = b""
        self._upgrade = b""  # the token asked for
        self._interim_heads = 0
        self._last = False  # no further request on this connection
        self._response_begun = False

    @property
    def request_phase(self) -> Phase:
        return self._outbound

    @property
    def response_phase(self) -> Phase:
        return self._inbound

    @property
    def reusable(self) -> bool:
        """Whether a request may be sent now: on a new connection, and after an exchange in which
        both messages are complete, nobody wants to close and no stray byte came."""
        if self._last or self._failed or self._peer_ended:
            return False
        if self._outbound is Phase.DONE:
            return self._inbound is Phase.DONE
        return self._outbound is Phase.HEAD and self._inbound is Phase.IDLE

    @property
    def response_begun(self) -> bool:
        """Whether any byte came since the last RequestHead. If none did, the server may have closed
        an idle connection before it saw the request, which a caller may then repeat if it is safe."""
        return self._response_begun

    @property
    def body_left_bytes(self) -> int | None:
        """What is still to come of the response's body; None before its head, and where no length was announced."""
        if self._inbound is Phase.BODY and isinstance(self._reader, LengthReader):
            return self._reader.left
        return None

    def receive(self, data: bytes) -> list[Event]:
        """Read bytes of the server; b"" is its end of input. See `Http1Server.receive`."""
        self._response_begun = self._response_begun or bool(data)
        return super().receive(data)

    def send(self, *events: Event) -> None:
        """Queue events of a request; a RequestHead begins the next exchange.

        `content_length` frames the body: None is chunked. An upgrade request brings its
        `connection` and `upgrade` headers. Raises LocalProtocolError out of order, unless
        `reusable`, for a body of another length, for a malformed field.
        """
        for event in events:
            if isinstance(event, BodyChunk):
                self._send_chunk(event)
            elif isinstance(event, EndOfBody):
                self._send_end()
            elif isinstance(event, RequestHead):
                self._send_head(event)
            else:
                raise LocalProtocolError(f"an HTTP/1.1 client does not send {type(event).__name__}")

    def _send_head(self, head: RequestHead) -> None:
        if not self.reusable:
            raise LocalProtocolError("this connection carries no further request")
        data = encode_request_head(head)
        if self._outbound is Phase.DONE:
            self._outbound = REQUEST.next[self._outbound]
            self._inbound = RESPONSE.next[self._inbound]
        self._outbound = REQUEST.head[self._outbound]
        self._inbound = RESPONSE_ASKED[self._inbound]
        self._method, self._upgrade = head.method, head.upgrade
        # a connection that was to become a tunnel is not returned to others
        self._last = head.wants_close or bool(head.upgrade)
        self._interim_heads = 0
        self._response_begun = False
        self._writer = ChunkedWriter() if head.content_length is None else LengthWriter(head.content_length)
        self._to_send.append(data)

    def _parse(self, events: list[Event]) -> None:
        while self._inbound is Phase.HEAD:
            if not self._read_head(events):
                return
        if self._inbound is Phase.BODY:
            self._read_body(events)
        if self._intake.left_bytes and self._inbound is Phase.DONE:
            # The response stands, its end is beyond doubt; what follows is nobody's. A server that
            # closes an idle connection may say 408 here.
            self._intake.take(self._intake.left_bytes)
            self._last = True
        if self._intake.left_bytes and self._inbound is Phase.IDLE:
            raise RemoteProtocolError("the server speaks before it was asked")

    def _take_head(self) -> ReceivedHead | None:
        if self._status is None:
            whole = self._intake.take_head(self._limits.max_head_bytes, _MAX_STATUS_LINE_BYTES)
            if whole is not None:
                return parse_response_head(parse_status_line(whole[0]), whole[1:], self._limits)
            line = self._intake.take_line(_MAX_STATUS_LINE_BYTES, status_hint=400)
            if line is None:
                return None
            self._status = parse_status_line(line)
            self._fields_limit = self._limits.max_head_bytes - len(line) - 2
        lines = self._intake.take_fields(self._fields_limit)
        if lines is None:
            return None
        received = parse_response_head(self._status, lines, self._limits)
        self._status = None
        return received

    def _read_head(self, events: list[Event]) -> bool:
        """Read one head, 1xx or final; False if it is not complete."""
        received = self._take_head()
        if received is None:
            return False
        head = received.head
        if head.status == 101:
            self._switch(head, received.switches_to, events)
        elif head.status < 200:
            self._interim_heads += 1
            if self._interim_heads > MAX_INTERIM_HEADS:
                raise RemoteProtocolError(f"more than {MAX_INTERIM_HEADS} informational responses")
            self._inbound = RESPONSE_INTERIM[self._inbound]
        else:
            self._inbound = RESPONSE.head[self._inbound]
            self._reader = self._choose_reader(head, received.chunked)
            self._last = self._last or received.closes or self._reader.may_end_at_eof
            events.append(head)
        return True

    def _choose_reader(self, head: ResponseHead, chunked: bool) -> BodyReader:
        if self._method == b"HEAD" or head.status in BODILESS_STATUSES:
            return LengthReader(0)
        if chunked:
            return ChunkedReader(from_client=False)
        return UntilCloseReader() if head.content_length is None else LengthReader(head.content_length)

    def _switch(self, head: ResponseHead, token: bytes, events: list[Event]) -> None:
        if not self._upgrade:
            raise RemoteProtocolError("the server switches protocols and was not asked to")
        if token != self._upgrade:
            raise RemoteProtocolError("the server switches to another protocol than asked for")
        self._inbound = RESPONSE.switch[self._inbound]
        self._outbound = REQUEST.switch[self._outbound]
        events.append(Upgraded(head, self._intake.take(self._intake.left_bytes)))

    def _end_input(self, events: list[Event]) -> None:
        phase = self._inbound
        if phase is Phase.BODY and self._reader.may_end_at_eof:
            self._inbound = RESPONSE.end[self._inbound]
            events.append(END_OF_BODY)
        elif phase is Phase.HEAD or phase is Phase.BODY:
            raise RemoteProtocolError("the server ended the connection within a response")
        else:
            events.append(PeerClosed())
