"""HTTP/1.1 connections, server side and client side, strict where h11 is lenient.

Bytes in, events out, one exchange after the other. Both machines own their framing: a head says
how its body ends, the machine counts. No clock: deadlines for slow heads belong to the caller.

    Http1Server   faces clients, who are hostile. Reads requests, writes responses.
    Http1Client   faces kube-apiserver, which may be broken or taken over. The same grammar.

Two traps. Bytes after a request are left unparsed until its response is complete (`next_request`):
they may be a pipelined request, or the first bytes of a tunnel. And a connection is worth keeping
only when both messages of an exchange were read and written to their ends: ask `must_close` and
`reusable`, never the headers.
Source: RFC 9112; RFC 9110 sections 7.6 to 7.8, 10.1.1 and 15.2.
"""

from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    InformationalHead,
    PeerClosed,
    RequestHead,
    ResponseHead,
    Upgraded,
)
from protocol.http1_connection import END_OF_BODY, Connection
from protocol.http1_framing import (
    BodyReader,
    ChunkedReader,
    ChunkedWriter,
    HeadOnlyWriter,
    LengthReader,
    LengthWriter,
    UntilCloseReader,
)
from protocol.http1_heads import (
    REQUEST_LIMITS,
    RESPONSE_LIMITS,
    Limits,
    ReceivedHead,
    encode_request_head,
    encode_response_head,
    parse_request_head,
    parse_request_line,
    parse_response_head,
    parse_status_line,
    split_length,
)
from protocol.http1_states import REQUEST, RESPONSE, Direction, Phase, Step

MAX_INTERIM_HEADS: Final = 8
"""1xx heads before a response. Go's server sends at most two; 100 of them are an attack."""

_LINE_AROUND_TARGET: Final = len(b"OPTIONS  HTTP/1.1")
_MAX_STATUS_LINE_BYTES: Final = 8192
_BODILESS_STATUSES: Final = frozenset({204, 304})
_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Http1Server(Connection):
    """One connection from a client.

    Received: RequestHead, BodyChunk..., EndOfBody (always, also without a body), PeerClosed, Failed.
    Sent: InformationalHead, ResponseHead, BodyChunk..., EndOfBody (always, except after a 101).

    RequestHead.headers holds the end-to-end fields only; Host, Content-Length, Transfer-Encoding,
    Expect, Connection, Upgrade and their like are expressed in the event's other fields.

    After `Failed` one response may still be sent if none was begun; it says `Connection: close`.
    A response may be sent before its request has come whole; if the rest of the request has not
    come when the response is complete, the connection must close.
    """

    def __init__(self, limits: Limits = REQUEST_LIMITS) -> None:
        super().__init__()
        self._limits = limits
        self._inbound = Direction(REQUEST, Phase.HEAD)
        self._outbound = Direction(RESPONSE, Phase.IDLE)
        self._line: tuple[bytes, bytes] | None = None  # method and target, while fields are awaited
        self._fields_limit = 0  # bytes the fields may have after that line
        self._head: RequestHead | None = None  # of the request under way
        self._closing = False
        self._owes_continue = False  # the client holds its body back until a 100

    @property
    def request_phase(self) -> Phase:
        return self._inbound.phase

    @property
    def response_phase(self) -> Phase:
        return self._outbound.phase

    @property
    def expects_body(self) -> bool:
        """Whether more of the current request's body is to come."""
        return self._inbound.phase is Phase.BODY

    @property
    def must_close(self) -> bool:
        """Whether the connection ends with the current response (or now, if none is under way).

        Ask when the response is complete. It may be True then only because the request's body is
        not: reading that to its end (`receive`) makes the connection usable again.
        """
        if self._closing or self._failed or (self._peer_ended and not self._intake.left_bytes):
            return True
        return self._outbound.phase is Phase.DONE and self._inbound.phase is Phase.BODY

    @property
    def is_closing(self) -> bool:
        """Whether the connection ends whatever else is read: reading on would be a waste."""
        return self._closing or self._failed or (self._peer_ended and not self._intake.left_bytes)

    def close_after_response(self) -> None:
        """Let the connection end with the current or next response, which says so if it can."""
        self._closing = True

    def next_request(self) -> list[Event]:
        """Go on to the next request; events of bytes that had already come.

        Call it when a response is complete and unless `must_close`; else LocalProtocolError.
        """
        if self.must_close:
            raise LocalProtocolError("the connection must close after this response")
        self._outbound.advance(Step.NEXT)
        self._inbound.advance(Step.NEXT)
        self._head = None
        return self._read() if self._intake.left_bytes or self._peer_ended else []

    def take_leftover(self) -> bytes:
        """After a 101 was sent: the bytes that came after the request, for the tunnel's machine."""
        if self._inbound.phase is not Phase.RAW:
            raise LocalProtocolError("the connection has not switched protocols")
        return self._intake.take(self._intake.left_bytes)

    def send(self, *events: Event) -> None:
        """Queue events of the response.

        The head's `content_length`, or an exact content-length header, frames the body; without
        either it is chunked. An answer to HEAD is written without the body given; 204 and 304 have
        none. InformationalHead is written only where the client waits for it. Raises
        LocalProtocolError out of order, for a body of another length, for a malformed field; the
        connection is then to be closed without another byte.
        """
        for event in events:
            if isinstance(event, BodyChunk):
                self._send_chunk(event)
            elif isinstance(event, EndOfBody):
                self._send_end()
            elif isinstance(event, ResponseHead):
                self._send_head(event)
            elif isinstance(event, InformationalHead) and event.status == 100:
                self._send_continue()
            else:
                raise LocalProtocolError(f"an HTTP/1.1 server does not send {type(event).__name__}")

    # --- receiving

    def _parse(self, events: list[Event]) -> None:
        if self._inbound.phase is Phase.HEAD:
            head = self._read_head()
            if head is None:
                return
            events.append(head)
            self._begin_request(head, events)
        if self._inbound.phase is Phase.BODY:
            self._read_body(events)
        if self._inbound.phase is Phase.DONE and self._intake.left_bytes > self._limits.max_pipelined_bytes:
            raise TooLarge("the client sends requests without waiting for responses", status_hint=400)

    def _read_head(self) -> RequestHead | None:
        if self._line is None:
            # TLS or garbage on this port never has a line end: tell at the first byte
            first = self._intake.first_byte()
            if first is not None and first not in _LETTERS:
                raise RemoteProtocolError("this does not begin as an HTTP/1.1 request")
            limit = self._limits.max_target_bytes + _LINE_AROUND_TARGET
            whole = self._intake.take_head(self._limits.max_head_bytes, limit)
            if whole is not None:
                method, target = parse_request_line(whole[0], self._limits)
                return parse_request_head(method, target, whole[1:], self._limits)
            line = self._intake.take_line(limit, status_hint=414)
            if line is None:
                return None
            self._line = parse_request_line(line, self._limits)
            self._fields_limit = self._limits.max_head_bytes - len(line) - 2
        lines = self._intake.take_fields(self._fields_limit)
        if lines is None:
            return None
        method, target = self._line
        self._line = None
        return parse_request_head(method, target, lines, self._limits)

    def _begin_request(self, head: RequestHead, events: list[Event]) -> None:
        self._outbound.advance(Step.ASKED)
        self._head = head
        self._owes_continue = head.expects_continue
        # Unless it becomes a tunnel, a connection that was to become one ends: the client may
        # already have sent it bytes that are no request (CVE-2018-1002105 was a pipe left open).
        self._closing = self._closing or head.wants_close or bool(head.upgrade)
        length = head.content_length
        if length == 0:
            self._inbound.advance(Step.WHOLE)
            events.append(END_OF_BODY)
        else:
            self._inbound.advance(Step.HEAD)
            self._reader = ChunkedReader(from_client=True) if length is None else LengthReader(length)

    def _read(self) -> list[Event]:
        events = super()._read()
        if self._failed and self._outbound.phase is Phase.IDLE:
            self._outbound.advance(Step.ASKED)  # a broken request may be answered
        return events

    def _end_input(self, events: list[Event]) -> None:
        phase = self._inbound.phase
        if phase is Phase.BODY or self._line is not None or (phase is Phase.HEAD and self._intake.left_bytes):
            raise RemoteProtocolError("the client ended the connection within a request")
        if not self._intake.left_bytes:
            events.append(PeerClosed())

    # --- sending

    def _send_continue(self) -> None:
        self._outbound.advance(Step.INTERIM)
        if self._owes_continue:
            self._owes_continue = False
            self._to_send.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _send_head(self, head: ResponseHead) -> None:
        if head.status == 101:
            self._send_switch(head)
            return
        if head.status < 200:
            raise LocalProtocolError(f"{head.status} is not a final status")
        head, length = split_length(head)
        if head.status == 204 and length:
            raise LocalProtocolError("a 204 has no body and no Content-Length")
        if self._outbound.phase is Phase.IDLE and head.status >= 400:
            self._stop_reading()
        # a client still waiting for a 100 may or may not send its body now: no telling what is next
        closing = self.must_close or (self._owes_continue and self.expects_body)
        asked_by_head = self._head is not None and self._head.method == b"HEAD"
        bodiless = asked_by_head or head.status in _BODILESS_STATUSES
        data = encode_response_head(
            head,
            length=None if head.status == 204 else length,
            chunked=length is None and not bodiless,
            close=closing,
        )
        self._outbound.advance(Step.HEAD)
        self._closing = closing
        if asked_by_head:
            self._writer = HeadOnlyWriter()
        elif length is None and not bodiless:
            self._writer = ChunkedWriter()
        else:
            self._writer = LengthWriter(0 if bodiless else length or 0)
        self._to_send.append(data)

    def _stop_reading(self) -> None:
        """This response answers no request (408 for a slow head): the last word on the connection."""
        self._inbound.advance(Step.STOP)
        self._outbound.advance(Step.ASKED)
        self._failed = True

    def _send_switch(self, head: ResponseHead) -> None:
        if self._head is None or not self._head.upgrade:
            raise LocalProtocolError("a 101 answers an upgrade request only")
        data = encode_response_head(head, length=None, chunked=False, close=False)
        self._outbound.advance(Step.SWITCH)
        self._inbound.advance(Step.SWITCH)
        self._to_send.append(data)


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

    def __init__(self, limits: Limits = RESPONSE_LIMITS) -> None:
        super().__init__()
        self._limits = limits
        self._inbound = Direction(RESPONSE, Phase.IDLE)
        self._outbound = Direction(REQUEST, Phase.HEAD)
        self._status: int | None = None  # while the fields of its head are awaited
        self._fields_limit = 0  # bytes they may have
        self._method = b""
        self._upgrade = b""  # the token asked for
        self._interim_heads = 0
        self._last = False  # no further request on this connection
        self._response_begun = False

    @property
    def request_phase(self) -> Phase:
        return self._outbound.phase

    @property
    def response_phase(self) -> Phase:
        return self._inbound.phase

    @property
    def reusable(self) -> bool:
        """Whether a request may be sent now: on a new connection, and after an exchange in which
        both messages are complete, nobody wants to close and no stray byte came."""
        if self._last or self._failed or self._peer_ended:
            return False
        if self._outbound.phase is Phase.DONE:
            return self._inbound.phase is Phase.DONE
        return self._outbound.phase is Phase.HEAD and self._inbound.phase is Phase.IDLE

    @property
    def response_begun(self) -> bool:
        """Whether any byte came since the last RequestHead. If none did, the server may have closed
        an idle connection before it saw the request, which a caller may then repeat if it is safe."""
        return self._response_begun

    @property
    def body_left_bytes(self) -> int | None:
        """What is still to come of the response's body; None before its head, and where no length was announced."""
        if self._inbound.phase is Phase.BODY and isinstance(self._reader, LengthReader):
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
        if self._outbound.phase is Phase.DONE:
            self._outbound.advance(Step.NEXT)
            self._inbound.advance(Step.NEXT)
        self._outbound.advance(Step.HEAD)
        self._inbound.advance(Step.ASKED)
        self._method, self._upgrade = head.method, head.upgrade
        # a connection that was to become a tunnel is not returned to others
        self._last = head.wants_close or bool(head.upgrade)
        self._interim_heads = 0
        self._response_begun = False
        self._writer = ChunkedWriter() if head.content_length is None else LengthWriter(head.content_length)
        self._to_send.append(data)

    def _parse(self, events: list[Event]) -> None:
        while self._inbound.phase is Phase.HEAD:
            if not self._read_head(events):
                return
        if self._inbound.phase is Phase.BODY:
            self._read_body(events)
        if self._intake.left_bytes and self._inbound.phase is Phase.DONE:
            # The response stands, its end is beyond doubt; what follows is nobody's. A server that
            # closes an idle connection may say 408 here.
            self._intake.take(self._intake.left_bytes)
            self._last = True
        if self._intake.left_bytes and self._inbound.phase is Phase.IDLE:
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
            self._inbound.advance(Step.INTERIM)
        else:
            self._inbound.advance(Step.HEAD)
            self._reader = self._choose_reader(head, received.chunked)
            self._last = self._last or received.closes or self._reader.may_end_at_eof
            events.append(head)
        return True

    def _choose_reader(self, head: ResponseHead, chunked: bool) -> BodyReader:
        if self._method == b"HEAD" or head.status in _BODILESS_STATUSES:
            return LengthReader(0)
        if chunked:
            return ChunkedReader(from_client=False)
        return UntilCloseReader() if head.content_length is None else LengthReader(head.content_length)

    def _switch(self, head: ResponseHead, token: bytes, events: list[Event]) -> None:
        if not self._upgrade:
            raise RemoteProtocolError("the server switches protocols and was not asked to")
        if token != self._upgrade:
            raise RemoteProtocolError("the server switches to another protocol than asked for")
        self._inbound.advance(Step.SWITCH)
        self._outbound.advance(Step.SWITCH)
        events.append(Upgraded(head, self._intake.take(self._intake.left_bytes)))

    def _end_input(self, events: list[Event]) -> None:
        phase = self._inbound.phase
        if phase is Phase.BODY and self._reader.may_end_at_eof:
            self._inbound.advance(Step.END)
            events.append(END_OF_BODY)
        elif phase is Phase.HEAD or phase is Phase.BODY:
            raise RemoteProtocolError("the server ended the connection within a response")
        else:
            events.append(PeerClosed())
