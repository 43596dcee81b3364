"""The API server behind the gateway under count: real sockets, real TLS, and it never blocks.

`Peer.receive` takes what has come, `Peer.flush` gives what is taken. What is said is made by the project's own machines.
A request is answered when it has come whole; what streams, an operation's script sends.
"""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import trustme

from protocol.channels import open_channel_machine
from protocol.events import (
    BodyChunk,
    ChannelAccepted,
    ChannelOpened,
    EndOfBody,
    Event,
    Machine,
    RequestHead,
    ResponseHead,
)
from protocol.http1 import Http1Server
from protocol.side import Side
from protocol.upgrade import client_upgrade_headers, parse_upgrade

READ_BYTES: Final = 1 << 18
NAMESPACE_BODY: Final = json.dumps(
    {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {
            "name": "default",
            "uid": "b4a5a7e0-6a3c-4a52-9ad2-0c2a1f4f5c11",
            "resourceVersion": "40",
            "creationTimestamp": "2026-01-05T09:00:00Z",
            "labels": {"kubernetes.io/metadata.name": "default"},
            "annotations": {"team": "payments", "contact": "payments@example.com"},
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
).encode()
_JSON: Final = (b"content-type", b"application/json")


class Peer:
    """One TLS connection that never blocks. is_waiting: bytes could not be sent yet."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.tls = context.wrap_socket(
            sock,
            server_side=server_side,
            do_handshake_on_connect=False,
            server_hostname=None if server_side else "localhost",
        )
        self._unsent = b""
        self._established = False
        self._ending = False
        self.is_over = False

    def send(self, data: bytes) -> None:
        self._unsent += data

    def flush(self) -> bool:
        """Send what the socket takes; whether anything went out."""
        sent = 0
        try:
            self._shake_hands()
            while sent < len(self._unsent):
                sent += self.tls.send(self._unsent[sent : sent + READ_BYTES])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        self._unsent = self._unsent[sent:]
        if self._ending and not self._unsent:
            self._ending = False
            with suppress(ssl.SSLWantReadError):
                self.tls.unwrap()  # our goodbye goes out; theirs is not waited for
            socket.socket.shutdown(self.tls, socket.SHUT_WR)  # SSLSocket's own would give up TLS
            return True
        return sent > 0

    def receive(self) -> bytes:
        """All that has come; sets is_over at the end of the connection."""
        pieces: list[bytes] = []
        try:
            self._shake_hands()
            while piece := self.tls.recv(READ_BYTES):
                pieces.append(piece)
            self.is_over = True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (ssl.SSLError, ConnectionError):
            self.is_over = True
        return b"".join(pieces)

    def close_soon(self) -> None:
        """End our direction once everything is sent, as a program that exits does."""
        self._ending = True

    def close(self) -> None:
        self.tls.close()

    def _shake_hands(self) -> None:
        if not self._established:
            self.tls.do_handshake()
            self._established = True


class ServedConnection:
    """One connection of the gateway to the API server. machine: HTTP, or the channels of a tunnel after its 101."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.peer = Peer(sock, context, server_side=True)
        self.machine: Machine = Http1Server()
        self.heard: list[Event] = []  # of a tunnel; a script takes them
        self.is_streaming = False
        self._body = b""
        self._head: RequestHead | None = None

    def say(self, *events: Event) -> None:
        for event in events:
            self.machine.send(event)
        self.peer.send(self.machine.data_to_send())

    def hear(self) -> None:
        """Take what has come, and answer a request that is whole."""
        data = self.peer.receive()
        if not data:
            return
        events = self.machine.receive(data)
        if not isinstance(self.machine, Http1Server):
            self.heard += events
            opened = [event for event in events if isinstance(event, ChannelOpened)]
            self.say(*(ChannelAccepted(event.channel, event.connection) for event in opened))
            return
        for event in events:
            if isinstance(event, RequestHead):
                self._head = event
            elif isinstance(event, EndOfBody):
                self._answer(self.machine)

    def _answer(self, http: Http1Server) -> None:
        assert self._head is not None
        head = self._head
        if head.upgrade:
            self._switch(http, head)
        elif b"watch=1" in head.target or b"/log" in head.target:
            self.is_streaming = True
            self.say(ResponseHead(200, (_JSON,)))
        else:
            status = 201 if head.method == b"POST" else 200
            answer = ResponseHead(status, (_JSON,), content_length=len(NAMESPACE_BODY))
            self.say(answer, BodyChunk(NAMESPACE_BODY), EndOfBody())
            http.next_request()

    def _switch(self, http: Http1Server, head: RequestHead) -> None:
        kind = "portforward" if b"/portforward" in head.target else "exec"
        wanted = parse_upgrade(head, kind)
        chosen = wanted.protocols[0]
        self.say(ResponseHead(101, client_upgrade_headers(wanted, chosen)))
        self.machine = open_channel_machine(kind, wanted.transport, chosen, Side.SERVER)
        self.is_streaming = True


class ApiServer:
    """Listens, accepts, answers. turn: everything it has to do now."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.set_alpn_protocols(["http/1.1"])
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.connections: list[ServedConnection] = []
        self.kubeconfig = directory / "upstream.kubeconfig"
        authority.cert_pem.write_to_path(str(directory / "upstream.crt"))
        port = self._listener.getsockname()[1]
        self.kubeconfig.write_text(_kubeconfig(f"https://127.0.0.1:{port}", directory / "upstream.crt"))

    def turn(self) -> bool:
        """Whether anything was sent."""
        self._accept()
        sent = False
        for connection in self.connections:
            connection.hear()
            sent = connection.peer.flush() or sent
        self.connections = [one for one in self.connections if not one.peer.is_over]
        return sent

    def sockets(self) -> Iterator[socket.socket]:
        """All that may have something to say."""
        yield self._listener
        for connection in self.connections:
            yield connection.peer.tls

    def streaming(self) -> ServedConnection | None:
        """The connection that carries a stream now, if any."""
        return next((one for one in self.connections if one.is_streaming), None)

    def close(self) -> None:
        self._listener.close()
        for connection in self.connections:
            connection.peer.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            self.connections.append(ServedConnection(sock, self._context))


def _kubeconfig(server: str, ca_file: Path) -> str:
    named = {"name": "counted"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{**named, "cluster": {"server": server, "certificate-authority": str(ca_file)}}],
            "users": [{**named, "user": {"token": "the-token-of-the-gateway"}}],
            "contexts": [{**named, "context": {"cluster": "counted", "user": "counted"}}],
            "current-context": "counted",
        }
    )
