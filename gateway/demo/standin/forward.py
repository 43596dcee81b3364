"""port-forward to a toy pod: port 7 echoes, ports 80 and 8080 answer HTTP, others refuse.

`GET /bytes/N` answers N computed bytes, anything else a short page. No port of the host is opened.
Source: k8s.io/kubelet/pkg/cri/streaming/portforward.
"""

import re
from typing import Final

import h11
import trio

from gateway.demo.standin.pod.filetree import computed_blocks
from gateway.demo.standin.pod.streams import Pipe
from gateway.demo.standin.replies import bad_request
from gateway.demo.standin.target import Target
from gateway.demo.standin.wire import Wire
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
)

ECHO_PORT: Final = 7
HTTP_PORTS: Final = frozenset({80, 8080})
MAX_ANSWER_BYTES: Final = 4 << 30


def parse_ports(target: Target) -> tuple[int, ...]:
    """The ports of a legacy WebSocket request: repeated or a comma list. Raises Failure 400."""
    words = [word for value in target.query.get("ports", ()) for word in value.split(",")]
    if not words or not all(word.isascii() and word.isdigit() and 0 < int(word) < 65536 for word in words):
        raise bad_request("query parameter ports must hold port numbers")
    return tuple(int(word) for word in words)


async def serve_forward(wire: Wire, pod: str, ports: tuple[int, ...]) -> bool:
    """Serve forwarded connections until the client leaves. ports: of legacy WebSocket, else empty."""
    forwarder = _Forwarder(wire, pod)
    async with trio.open_nursery() as nursery:
        for index, port in enumerate(ports):
            await wire.say(
                ChannelAccepted(Channel.DATA, index), ChannelAccepted(Channel.FORWARD_ERROR, index)
            )
            forwarder.connect(nursery, index, port)
        await forwarder.listen(nursery)
        nursery.cancel_scope.cancel()
    return True


class _Forwarder:
    def __init__(self, wire: Wire, pod: str) -> None:
        self._wire, self._pod = wire, pod
        self._half_open: dict[int, Channel] = {}
        self._incoming: dict[int, Pipe] = {}

    async def listen(self, nursery: trio.Nursery) -> None:
        """Open connections as the client asks for them and hand each its data."""
        while events := await self._wire.hear():
            for event in events:
                await self._take(event, nursery)

    async def _take(self, event: Event, nursery: trio.Nursery) -> None:
        match event:
            case ChannelOpened():
                await self._wire.say(ChannelAccepted(event.channel, event.connection))
                other = self._half_open.pop(event.connection, None)
                if other is None:
                    self._half_open[event.connection] = event.channel
                else:
                    self.connect(nursery, event.connection, event.port)
            case ChannelData(channel=Channel.DATA) if event.connection in self._incoming:
                try:
                    await self._incoming[event.connection].write(event.data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass  # the toy server has closed; what still comes goes nowhere
            case ChannelEnded(channel=Channel.DATA) | ChannelReset(channel=Channel.DATA):
                if event.connection in self._incoming:
                    self._incoming[event.connection].end()

    def connect(self, nursery: trio.Nursery, connection: int, port: int) -> None:
        """Start the toy server behind one forwarded connection."""
        pipe = self._incoming[connection] = Pipe()
        nursery.start_soon(self._serve, connection, port, pipe)

    async def _serve(self, connection: int, port: int, pipe: Pipe) -> None:
        if port == ECHO_PORT:
            while data := await pipe.source.read():
                await self._wire.say(ChannelData(Channel.DATA, data, connection))
        elif port in HTTP_PORTS:
            await self._serve_http(connection, pipe)
        else:
            why = f"dial tcp4 127.0.0.1:{port}: connect: connection refused"
            text = f"error forwarding port {port} to pod {self._pod}, uid : failed to connect to localhost:{port}: {why}"
            await self._wire.say(ChannelData(Channel.FORWARD_ERROR, text.encode(), connection))
        pipe.abandon()
        del self._incoming[connection]
        await self._wire.say(
            ChannelEnded(Channel.FORWARD_ERROR, connection), ChannelEnded(Channel.DATA, connection)
        )

    async def _serve_http(self, connection: int, pipe: Pipe) -> None:
        parser = h11.Connection(h11.SERVER)
        try:
            while (event := parser.next_event()) is h11.NEED_DATA:
                parser.receive_data(await pipe.source.read())
        except h11.RemoteProtocolError:
            await self._wire.say(ChannelData(Channel.DATA, b"HTTP/1.1 400 Bad Request\r\n\r\n", connection))
            return
        if not isinstance(event, h11.Request):
            return
        page = f"hello from pod {self._pod}: a stand-in, not Kubernetes\n".encode()
        wanted = re.fullmatch(rb"/bytes/([0-9]{1,10})", event.target)
        size = min(int(wanted[1]), MAX_ANSWER_BYTES) if wanted else len(page)
        head = h11.Response(status_code=200, headers=[("content-length", str(size)), ("connection", "close")])
        await self._send(parser, head, connection)
        for block in computed_blocks(size) if wanted else (page,):
            await self._send(parser, h11.Data(block), connection)
        await self._send(parser, h11.EndOfMessage(), connection)

    async def _send(self, parser: h11.Connection, event: h11.Event, connection: int) -> None:
        if data := parser.send(event):
            await self._wire.say(ChannelData(Channel.DATA, data, connection))
