"""exec and port-forward by a blocking client: the project's own machines on a plain socket, no event loop in between.

So that the time of a keystroke is the server's. One thread: sending while the other side sends, too, is for small
amounts only (window updates, pings), which the socket's buffer holds until they are read.
"""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.http_client import (
    READ_BYTES,
    BenchmarkFailed,
    Endpoint,
    Http1Client,
    connect,
)
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
    PeerClosed,
    RequestHead,
    TunnelClosed,
    Upgraded,
)
from protocol.http1_client import Http1Client as Http1Machine
from protocol.query import encode_query
from protocol.side import Side
from protocol.upgrade import UpgradeRequest, upstream_upgrade_headers

TRANSPORTS: Final = ("websocket", "spdy")
_EXEC: Final = {"websocket": "v5.channel.k8s.io", "spdy": "v4.channel.k8s.io"}
_FORWARD: Final = {"websocket": "SPDY/3.1+portforward.k8s.io", "spdy": "portforward.k8s.io"}
_ENDS: Final = (TunnelClosed, PeerClosed, Failed)


class UpgradeRefused(BenchmarkFailed):
    """The server does not speak this protocol."""


class BlockingTunnel:
    """An upgraded connection."""

    def __init__(
        self, sock: socket.socket, kind: str, transport: str, protocol: str, leftover: bytes
    ) -> None:
        self.sock = sock
        self._machine = open_channel_machine(kind, transport, protocol, Side.CLIENT)
        self._pending: list[Event] = self._machine.receive(leftover) if leftover else []

    def open(self, *channels: ChannelOpened) -> None:
        """Open SPDY channels and wait until the server has taken them."""
        self.send(*channels)
        missing = {one.channel for one in channels}
        heard: list[Event] = []
        while missing:
            events = self.receive()
            missing -= {event.channel for event in events if isinstance(event, ChannelAccepted)}
            heard += events
            if missing and any(
                isinstance(event, _ENDS) for event in events
            ):  # `true` is over in the same read
                raise BenchmarkFailed(f"the stream ended before it began: {events[-1]}")
        self._pending = heard

    def send(self, *events: Event) -> None:
        for event in events:
            self._machine.send(event)
        self.sock.sendall(self._machine.data_to_send())

    def receive(self) -> list[Event]:
        """The events of one read, maybe none."""
        if self._pending:
            events, self._pending = self._pending, []
            return events
        events = self._machine.receive(self.sock.recv(READ_BYTES))
        if answer := self._machine.data_to_send():  # pings and windows
            self.sock.sendall(answer)
        return events

    def press_key(self) -> None:
        """One byte to a `cat`, and back."""
        self.send(ChannelData(Channel.STDIN, b"x"))
        while not self.received(Channel.STDOUT):
            pass

    def received(self, channel: Channel) -> bytes:
        """What one read brought on a channel. Raises BenchmarkFailed at the end of the stream."""
        events = self.receive()
        if any(isinstance(event, _ENDS) for event in events):
            raise BenchmarkFailed(f"a stream ended too early: {events[-1]}")
        return b"".join(e.data for e in events if isinstance(e, ChannelData) and e.channel is channel)

    def run_to_end(self, *, keep: bool = False) -> tuple[int, bytes]:
        """Take everything until the stream is over: bytes of output, and the output itself if kept."""
        size, kept, result = 0, [], b""
        while True:
            events = self.receive()
            for event in events:
                if isinstance(event, ChannelData) and event.channel in (Channel.STDOUT, Channel.STDERR):
                    size += len(event.data)
                    kept += [event.data] if keep else []
                elif isinstance(event, ChannelData) and event.channel is Channel.ERROR:
                    result += event.data
            if any(isinstance(event, _ENDS) for event in events):
                self.close()
                if b'"Success"' not in result:
                    raise BenchmarkFailed(
                        f"a command in the pod failed: {result.decode(errors='replace')[:200]}"
                    )
                return size, b"".join(kept)

    def close(self) -> None:
        self.sock.close()


def open_exec(endpoint: Endpoint, target: str, transport: str, command: Sequence[str]) -> BlockingTunnel:
    """Run a command with stdin, stdout and stderr. target: path of the pod. Exits unless it starts."""
    query = [("command", word) for word in command]
    query += [("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    path = f"{target}/exec?".encode() + encode_query(query)
    tunnel = _upgrade(endpoint, path, "exec", transport, _EXEC[transport])
    if transport == "spdy":
        tunnel.open(
            *(ChannelOpened(one) for one in (Channel.ERROR, Channel.STDIN, Channel.STDOUT, Channel.STDERR))
        )
    return tunnel


def open_forward(endpoint: Endpoint, target: str, transport: str, port: int) -> BlockingTunnel:
    """Forward one connection to a port of a pod."""
    tunnel = _upgrade(
        endpoint, f"{target}/portforward".encode(), "portforward", transport, _FORWARD[transport]
    )
    tunnel.open(ChannelOpened(Channel.FORWARD_ERROR, 0, port), ChannelOpened(Channel.DATA, 0, port))
    tunnel.send(ChannelEnded(Channel.FORWARD_ERROR, 0))
    return tunnel


def spoken_execs(endpoint: Endpoint, target: str) -> tuple[str, ...]:
    """The transports over which a command can be run; SPDY must be among them."""
    return _spoken(lambda transport: open_exec(endpoint, target, transport, ["true"]))


def spoken_forwards(endpoint: Endpoint, target: str, port: int) -> tuple[str, ...]:
    """The same of a port-forward."""
    return _spoken(lambda transport: open_forward(endpoint, target, transport, port))


def _spoken(open_by: Callable[[str], BlockingTunnel]) -> tuple[str, ...]:
    found: list[str] = []
    for transport in TRANSPORTS:
        try:
            open_by(transport).close()
            found.append(transport)
        except UpgradeRefused:
            if transport == "spdy":
                raise
    return tuple(found)


def _upgrade(endpoint: Endpoint, path: bytes, kind: str, transport: str, protocol: str) -> BlockingTunnel:
    headers: Headers = ((b"user-agent", b"kubetape-bench"),)
    if endpoint.authorization:
        headers += ((b"authorization", endpoint.authorization),)
    wanted = UpgradeRequest(transport, (protocol,))  # type: ignore[arg-type]
    head = RequestHead(
        method=b"GET" if transport == "websocket" else b"POST",
        target=endpoint.prefix + path,
        authority=endpoint.authority,
        headers=headers + upstream_upgrade_headers(wanted, os.urandom(16)),
        upgrade={"websocket": b"websocket", "spdy": b"spdy/3.1"}[transport],
    )
    machine = Http1Machine()
    machine.send(head)
    machine.send(EndOfBody())
    client = connect(endpoint)
    assert isinstance(client, Http1Client)
    client.sock.sendall(machine.data_to_send())
    events: list[Event] = []
    while not events:
        events = machine.receive(client.sock.recv(READ_BYTES))
    if not isinstance(answer := events[0], Upgraded):
        client.close()
        raise UpgradeRefused(f"{kind} over {transport} ({protocol}) was refused: {answer}")
    return BlockingTunnel(client.sock, kind, transport, protocol, answer.leftover)
