"""One client request as the exchange sees it, whatever HTTP version carries it."""

from typing import Protocol

import msgspec

from gateway.tls_stream import TlsStream
from protocol.events import Event, RequestHead, ResponseHead


class ConnectionFacts(msgspec.Struct, frozen=True):
    """What is known of a client connection before its first request."""

    connection_id: str
    source: str  # "address:port" of the socket, IPv6 in brackets
    source_address: str  # the address alone
    tls_version: str  # "TLSv1.3"
    peer_certificate_der: bytes | None = None  # verified by the TLS layer, if one was sent


class Cancellable(Protocol):
    """A scope, as far as others may use it."""

    def cancel(self) -> None: ...


class ClientRequest(Protocol):
    """A request and the way back. Errors of the client's connection are `ClientLeft`."""

    head: RequestHead
    facts: ConnectionFacts
    has_left: bool
    """Whether the client is known to have reset its stream, or its connection to have ended."""

    @property
    def scope(self) -> Cancellable:
        """Around all that serves this request, and perhaps later ones of its connection: once it is cancelled, and
        last words were said under a shield, its connection serves no other."""

    async def receive_body(self) -> bytes:
        """The next bytes of the body, as they arrived; b"" at its end. Asks for them if the client waits
        for 100 Continue. Raises ClientLeft, or RemoteProtocolError when the body is not acceptable."""

    async def send(self, *events: Event) -> None:
        """Send ResponseHead, BodyChunk and EndOfBody events in as few writes as the peer allows.
        Returns when they are handed to the socket: backpressure. Raises ClientLeft."""

    async def wait_left(self) -> None:
        """Return when the client has closed its connection or reset its stream."""

    def abort(self) -> None:
        """Break off the response so that the client cannot take it for complete."""

    async def upgrade(self, head: ResponseHead) -> tuple[TlsStream, bytes]:
        """Answer 101 and hand over the connection with what the client already sent on it."""
