"""A client of exec and port-forward, made of the project's own machines: what it costs is the same everywhere.

Opens a tunnel over WebSocket or SPDY to any cluster (an API server or a gateway in front of one) and hands
its channel events out.
"""

import os
from dataclasses import dataclass, field
from typing import Final

import trio

from gateway.tls_stream import TlsStream, take_socket
from gateway.upstream.credentials import UpstreamCluster
from protocol.channels import open_channel_machine
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    EndOfBody,
    Event,
    Failed,
    Headers,
    Machine,
    PeerClosed,
    RequestHead,
    TunnelClosed,
    Upgraded,
)
from protocol.http1_client import Http1Client
from protocol.query import encode_query
from protocol.side import Side
from protocol.upgrade import UpgradeRequest, upstream_upgrade_headers

EXEC_PROTOCOL: Final = {"websocket": "v5.channel.k8s.io", "spdy": "v4.channel.k8s.io"}
FORWARD_PROTOCOL: Final = {"websocket": "SPDY/3.1+portforward.k8s.io", "spdy": "portforward.k8s.io"}


class TunnelRefused(Exception):
    """The answer was no 101; the message says what it was."""


@dataclass
class Tunnel:
    """An upgraded connection. One task may send while another receives."""

    stream: TlsStream
    machine: Machine
    leftover: bytes
    pending: list[Event] = field(default_factory=list)

    async def open(self, *channels: ChannelOpened) -> None:
        """Open SPDY channels and wait until the server has taken them: data sent before goes nowhere."""
        await self.send(*channels)
        missing = {opened.channel for opened in channels}
        heard: list[Event] = []
        while missing:
            events = await self.receive()
            missing -= {event.channel for event in events if isinstance(event, ChannelAccepted)}
            heard += events
            if any(isinstance(event, Failed | PeerClosed | TunnelClosed) for event in events):
                break
        self.pending = heard

    async def send(self, *events: Event) -> None:
        for event in events:
            self.machine.send(event)
        await self.stream.send_all(self.machine.data_to_send())

    async def receive(self) -> list[Event]:
        """The events of one read, maybe none; the end of the connection is PeerClosed or Failed."""
        if self.pending:
            events, self.pending = self.pending, []
            return events
        data, self.leftover = self.leftover, b""
        return self.machine.receive(data or await self.stream.receive_some())

    def close(self) -> None:
        self.stream.close()


async def connect(cluster: UpstreamCluster, *alpn: str) -> TlsStream:
    """TCP and TLS to a cluster. alpn: default http/1.1."""
    transport = await trio.open_tcp_stream(cluster.host, cluster.port)
    stream = TlsStream(
        take_socket(transport),
        cluster.ssl_context(*alpn),
        server_side=False,
        server_hostname=cluster.server_name,
    )
    await stream.do_handshake()
    return stream


def request_headers(cluster: UpstreamCluster, mark: str = "") -> Headers:
    """Authorization, and a mark: it is forwarded and recorded, so that both ends' records can be joined."""
    headers: Headers = ((b"user-agent", b"kubetape-benchmark"),)
    authorization = cluster.credential.authorization()
    if authorization is not None:
        headers += ((b"authorization", authorization),)
    return (*headers, (b"kubectl-session", mark.encode())) if mark else headers


async def open_exec(
    cluster: UpstreamCluster,
    transport: str,
    *command: str,
    pod: str = "web",
    tty: bool = False,
    mark: str = "",
) -> Tunnel:
    """Run a command in a pod of namespace default, with all its streams. Raises TunnelRefused."""
    query = [("command", word) for word in command]
    query += [("stdin", "true"), ("stdout", "true"), ("tty" if tty else "stderr", "true")]
    target = f"/api/v1/namespaces/default/pods/{pod}/exec?".encode() + encode_query(query)
    tunnel = await _upgrade(cluster, target, "exec", transport, EXEC_PROTOCOL[transport], mark)
    if transport == "spdy":
        channels = [Channel.ERROR, Channel.STDIN, Channel.STDOUT, Channel.RESIZE if tty else Channel.STDERR]
        await tunnel.open(*(ChannelOpened(channel) for channel in channels))
    return tunnel


async def open_forward(cluster: UpstreamCluster, transport: str, port: int, *, pod: str = "web") -> Tunnel:
    """Forward one connection, number 0, to a port of a pod. Raises TunnelRefused."""
    target = f"/api/v1/namespaces/default/pods/{pod}/portforward".encode()
    tunnel = await _upgrade(cluster, target, "portforward", transport, FORWARD_PROTOCOL[transport], "")
    await tunnel.open(ChannelOpened(Channel.FORWARD_ERROR, 0, port), ChannelOpened(Channel.DATA, 0, port))
    await tunnel.send(ChannelEnded(Channel.FORWARD_ERROR, 0))
    return tunnel


def received(events: list[Event], *channels: Channel) -> bytes:
    """The bytes these events carry on these channels."""
    return b"".join(e.data for e in events if isinstance(e, ChannelData) and e.channel in channels)


async def _upgrade(
    cluster: UpstreamCluster, target: bytes, kind: str, transport: str, protocol: str, mark: str
) -> Tunnel:
    wanted = UpgradeRequest(transport, (protocol,))  # type: ignore[arg-type]
    http = Http1Client()
    head = RequestHead(
        method=b"GET" if transport == "websocket" else b"POST",
        target=target,
        authority=cluster.authority,
        headers=request_headers(cluster, mark) + upstream_upgrade_headers(wanted, os.urandom(16)),
        upgrade={"websocket": b"websocket", "spdy": b"spdy/3.1"}[transport],
    )
    stream = await connect(cluster)
    http.send(head)
    http.send(EndOfBody())
    await stream.send_all(http.data_to_send())
    events: list[Event] = []
    while not events:
        events = http.receive(await stream.receive_some())
    answer = events[0]
    if not isinstance(answer, Upgraded):
        stream.close()
        raise TunnelRefused(f"{target.decode()}: {answer}")
    return Tunnel(stream, open_channel_machine(kind, transport, protocol, Side.CLIENT), answer.leftover)
