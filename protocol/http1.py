"""HTTP/1.1 connections, server side: it faces clients, who are hostile. Strict where h11 is lenient.

Bytes in, events out, one exchange after the other. The machine owns its framing: a head says how its body ends, the
machine counts. No clock: deadlines for slow heads belong to the caller. The client side is `http1_client`.

Two traps. Bytes after a request are left unparsed until its response is complete (`next_request`):
they may be a pipelined request, or the first bytes of a tunnel. And a connection is worth keeping
only when both messages of an exchange were read and written to their ends: ask `must_close`, never the headers.
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
)
from protocol.http1_connection import BODILESS_STATUSES, END_OF_BODY, Connection
from protocol.http1_framing import (
    ChunkedReader,
    ChunkedWriter,
    HeadOnlyWriter,
    LengthReader,
    LengthWriter,
)
from protocol.http1_head_writing import encode_response_head, split_length
from protocol.http1_heads import (
    REQUEST_LIMITS,
    Limits,
    parse_request_head,
    parse_request_line,
)
from protocol.http1_states import REQUEST, REQUEST_WHOLE, RESPONSE, RESPONSE_ASKED, RESPONSE_INTERIM, Phase

_LINE_AROUND_TARGET: Final = len(b"OPTIONS  HTTP/1.1")
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

    _received, _sent = REQUEST, RESPONSE

    def __init__(self, limits: Limits = REQUEST_LIMITS) -> None:
        super().__init__()
        self._limits = limits
        self._inbound = Phase.HEAD
        self._outbound = Phase.IDLE
        self._line: tuple[bytes, bytes] | None = None  # method and target, while fields are awaited
        self._fields_limit = 0  # bytes the fields may have after that line
        self._head: RequestHead | None = None  # of the request under way
        self._closing = False
        self._owes_continue = False  # the client holds its body back until a 100

    @property
    def request_phase(self) -> Phase:
        return self._inbound

    @property
    def response_phase(self) -> Phase:
        return self._outbound

    @property
    def expects_body(self) -> bool:
        """Whether more of the current request's body is to come."""
        return self._inbound is Phase.BODY

    @property
    def must_close(self) -> bool:
        """Whether the connection ends with the current response (or now, if none is under way).

        Ask when the response is complete. It may be True then only because the request's body is
        not: reading that to its end (`receive`) makes the connection usable again.
        """
        if self._closing or self._failed or (self._peer_ended and not self._intake.left_bytes):
            return True
        return self._outbound is Phase.DONE and self._inbound is Phase.BODY

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
        self._outbound = RESPONSE.next[self._outbound]
        self._inbound = REQUEST.next[self._inbound]
        self._head = None
        return self._read() if self._intake.left_bytes or self._peer_ended else []

    def take_leftover(self) -> bytes:
        """After a 101 was sent: the bytes that came after the request, for the tunnel's machine."""
        if self._inbound is not Phase.RAW:
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
        if self._inbound is Phase.HEAD:
            head = self._read_head()
            if head is None:
                return
            events.append(head)
            self._begin_request(head, events)
        if self._inbound is Phase.BODY:
            self._read_body(events)
        if self._inbound is Phase.DONE and self._intake.left_bytes > self._limits.max_pipelined_bytes:
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
        self._outbound = RESPONSE_ASKED[self._outbound]
        self._head = head
        self._owes_continue = head.expects_continue
        # Unless it becomes a tunnel, a connection that was to become one ends: the client may
        # already have sent it bytes that are no request (CVE-2018-1002105 was a pipe left open).
        self._closing = self._closing or head.wants_close or bool(head.upgrade)
        length = head.content_length
        if length == 0:
            self._inbound = REQUEST_WHOLE[self._inbound]
            events.append(END_OF_BODY)
        else:
            self._inbound = REQUEST.head[self._inbound]
            self._reader = ChunkedReader(from_client=True) if length is None else LengthReader(length)

    def _fail(self) -> None:
        super()._fail()
        if self._outbound is Phase.IDLE:
            self._outbound = RESPONSE_ASKED[self._outbound]  # a broken request may be answered

    def _end_input(self, events: list[Event]) -> None:
        phase = self._inbound
        if phase is Phase.BODY or self._line is not None or (phase is Phase.HEAD and self._intake.left_bytes):
            raise RemoteProtocolError("the client ended the connection within a request")
        if not self._intake.left_bytes:
            events.append(PeerClosed())

    # --- sending

    def _send_continue(self) -> None:
        self._outbound = RESPONSE_INTERIM[self._outbound]
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
        if self._outbound is Phase.IDLE and head.status >= 400:
            self._stop_reading()
        # a client still waiting for a 100 may or may not send its body now: no telling what is next
        closing = self.must_close or (self._owes_continue and self.expects_body)
        asked_by_head = self._head is not None and self._head.method == b"HEAD"
        bodiless = asked_by_head or head.status in BODILESS_STATUSES
        data = encode_response_head(
            head,
            length=None if head.status == 204 else length,
            chunked=length is None and not bodiless,
            close=closing,
        )
        self._outbound = RESPONSE.head[self._outbound]
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
        self._inbound = REQUEST.stop[self._inbound]
        self._outbound = RESPONSE_ASKED[self._outbound]
        self._failed = True

    def _send_switch(self, head: ResponseHead) -> None:
        if self._head is None or not self._head.upgrade:
            raise LocalProtocolError("a 101 answers an upgrade request only")
        data = encode_response_head(head, length=None, chunked=False, close=False)
        self._outbound = RESPONSE.switch[self._outbound]
        self._inbound = REQUEST.switch[self._inbound]
        self._to_send.append(data)
