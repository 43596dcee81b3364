"""The client in front of the gateway under count: HTTP/1.1, HTTP/2 or a tunnel over one TLS connection.

Made of the project's own machines and, for HTTP/2, of h2. Never blocks: `hear` takes what has come.
"""

import os
import socket
import ssl
from typing import Final, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset

from benchmarks.work.peers import Peer
from protocol.channels import open_channel_machine
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    Headers,
    Machine,
    RequestHead,
    Upgraded,
)
from protocol.http1_client import Http1Client
from protocol.side import Side
from protocol.upgrade import UpgradeRequest, upstream_upgrade_headers

PROTOCOLS: Final = {
    ("exec", "websocket"): "v5.channel.k8s.io",
    ("exec", "spdy"): "v4.channel.k8s.io",
    ("portforward", "websocket"): "SPDY/3.1+portforward.k8s.io",
    ("portforward", "spdy"): "portforward.k8s.io",
}


class Caller(Protocol):
    """One HTTP connection from the client's side, one request at a time. body_bytes: of the answer so far."""

    body_bytes: int
    is_complete: bool

    def request(self, head: RequestHead, body: bytes) -> None: ...

    def receive(self, data: bytes) -> None: ...

    def data_to_send(self) -> bytes: ...


class Http1Caller:
    def __init__(self) -> None:
        self._http = Http1Client()
        self.body_bytes = 0
        self.is_complete = False

    def request(self, head: RequestHead, body: bytes) -> None:
        self.body_bytes, self.is_complete = 0, False
        self._http.send(head)
        if body:
            self._http.send(BodyChunk(body))
        self._http.send(EndOfBody())

    def receive(self, data: bytes) -> None:
        for event in self._http.receive(data):
            if isinstance(event, BodyChunk):
                self.body_bytes += len(event.data)
            elif isinstance(event, EndOfBody):
                self.is_complete = True
            elif isinstance(event, Failed):
                raise RuntimeError(f"the gateway's answer is broken: {event}")

    def data_to_send(self) -> bytes:
        return self._http.data_to_send()


class Http2Caller:
    def __init__(self) -> None:
        self._h2 = H2Connection(H2Configuration(header_encoding=None))
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window((1 << 24) - 65535)
        self.body_bytes = 0
        self.is_complete = False

    def request(self, head: RequestHead, body: bytes) -> None:
        self.body_bytes, self.is_complete = 0, False
        stream_id = self._h2.get_next_available_stream_id()
        pseudo = [(b":method", head.method), (b":scheme", b"https"), (b":authority", head.authority)]
        headers = [*pseudo, (b":path", head.target), *head.headers]
        self._h2.send_headers(stream_id, headers, end_stream=not body)
        if body:
            self._h2.send_data(stream_id, body, end_stream=True)

    def receive(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, DataReceived):
                self.body_bytes += len(event.data or b"")
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            elif isinstance(event, StreamEnded):
                self.is_complete = True
            elif isinstance(event, StreamReset):
                raise RuntimeError(f"the gateway reset a stream: {event}")

    def data_to_send(self) -> bytes:
        return self._h2.data_to_send()


class Client:
    """One connection to the gateway, with a credential. After `upgrade`, channel events come instead of an answer."""

    def __init__(
        self, port: int, context: ssl.SSLContext, token: bytes, *, protocol: str = "http/1.1"
    ) -> None:
        """protocol: http/1.1 or h2; the context offers it."""
        self.peer = Peer(socket.create_connection(("127.0.0.1", port)), context, server_side=False)
        self.http: Caller = Http2Caller() if protocol == "h2" else Http1Caller()
        self.channels: Machine | None = None
        self.heard: list[Event] = []
        self._authority = b"127.0.0.1:%d" % port
        self._headers: Headers = (
            (b"accept", b"application/json"),
            (b"user-agent", b"kubectl/v1.36.1 (linux/amd64) kubernetes/1c8d3c1"),
            (b"authorization", b"Bearer " + token),
        )
        self._upgrading: tuple[Http1Client, str, str] | None = None

    def call(self, method: bytes, target: bytes, body: bytes = b"") -> None:
        headers = self._headers + (((b"content-type", b"application/json"),) if body else ())
        self.http.request(
            RequestHead(method, target, self._authority, headers, content_length=len(body)), body
        )
        self.peer.send(self.http.data_to_send())

    def upgrade(self, kind: str, transport: str, target: bytes) -> None:
        protocol = PROTOCOLS[kind, transport]
        wanted = UpgradeRequest(transport, (protocol,))  # type: ignore[arg-type]
        http = Http1Client()
        http.send(
            RequestHead(
                b"GET" if transport == "websocket" else b"POST",
                target,
                self._authority,
                self._headers + upstream_upgrade_headers(wanted, os.urandom(16)),
                upgrade={"websocket": b"websocket", "spdy": b"spdy/3.1"}[transport],
            )
        )
        http.send(EndOfBody())
        self._upgrading = (http, kind, transport)
        self.peer.send(http.data_to_send())

    def say(self, *events: Event) -> None:
        """On the channels of a tunnel."""
        assert self.channels is not None
        for event in events:
            self.channels.send(event)
        self.peer.send(self.channels.data_to_send())

    def hear(self) -> None:
        data = self.peer.receive()
        if data and self._upgrading is not None:
            data = self._finish_upgrade(*self._upgrading, data)
        if not data:
            return
        if self.channels is None:
            self.http.receive(data)
            self.peer.send(self.http.data_to_send())
            return
        self.heard += self.channels.receive(data)
        self.peer.send(self.channels.data_to_send())

    def _finish_upgrade(self, http: Http1Client, kind: str, transport: str, data: bytes) -> bytes:
        """What came behind the 101."""
        for event in http.receive(data):
            if not isinstance(event, Upgraded):
                raise RuntimeError(f"no tunnel but {event}")
            self._upgrading = None
            self.channels = open_channel_machine(kind, transport, PROTOCOLS[kind, transport], Side.CLIENT)
            return event.leftover
        return b""
