"""Clients of watches: one a connection over HTTP/1.1, many a connection over HTTP/2. Each counts what it got."""

import hashlib
from dataclasses import dataclass, field

import trio
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

from benchmarks.tunnel_client import connect, request_headers
from gateway.tls_stream import TlsStream
from gateway.upstream.credentials import UpstreamCluster
from protocol.events import BodyChunk, EndOfBody, Failed, PeerClosed, RequestHead, ResponseHead
from protocol.http1_client import Http1Client


@dataclass
class Tally:
    """Length and SHA-256 of bytes that passed by. lines: how many ended."""

    size: int = 0
    lines: int = 0
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.lines += data.count(b"\n")
        self._hash.update(data)

    def as_json(self) -> dict[str, object]:
        return {"bytes": self.size, "sha256": self._hash.hexdigest()}


@dataclass
class Watch:
    """One watch. problem: why it did not end as it should; "" once it did."""

    mark: str
    tally: Tally = field(default_factory=Tally)
    opened: trio.Event = field(default_factory=trio.Event)
    problem: str = "not complete"


async def watch_http1(cluster: UpstreamCluster, target: str, watch: Watch) -> None:
    """Watch until the server ends it."""
    stream = await connect(cluster)
    http = Http1Client()
    headers = request_headers(cluster, watch.mark)
    http.send(RequestHead(b"GET", target.encode(), cluster.authority, headers))
    http.send(EndOfBody())
    await stream.send_all(http.data_to_send())
    while watch.problem == "not complete":
        for event in http.receive(await stream.receive_some()):
            if isinstance(event, ResponseHead):
                watch.problem = watch.problem if event.status == 200 else f"status {event.status}"
                watch.opened.set()
            elif isinstance(event, BodyChunk):
                watch.tally.add(event.data)
            elif isinstance(event, EndOfBody):
                watch.problem = ""
            elif isinstance(event, Failed | PeerClosed):
                watch.problem = f"broken off: {event}"
    watch.opened.set()
    await stream.aclose()


class Http2Watches:
    """Several watches over one connection. `open` starts one; `run` reads until all have ended."""

    def __init__(self, cluster: UpstreamCluster, stream: TlsStream) -> None:
        self._cluster, self._stream = cluster, stream
        self._machine = H2Connection()
        self._machine.initiate_connection()
        self._machine.increment_flow_control_window((1 << 24) - 65535)
        self._watches: dict[int, Watch] = {}

    @classmethod
    async def connect(cls, cluster: UpstreamCluster) -> "Http2Watches":
        return cls(cluster, await connect(cluster, "h2"))

    async def open(self, target: str, watch: Watch) -> None:
        stream_id = self._machine.get_next_available_stream_id()
        self._watches[stream_id] = watch
        headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", target.encode())]
        headers += [(b":authority", self._cluster.authority), *request_headers(self._cluster, watch.mark)]
        self._machine.send_headers(stream_id, headers, end_stream=True)
        await self._flush()

    async def run(self) -> None:
        while any(watch.problem == "not complete" for watch in self._watches.values()):
            data = await self._stream.receive_some()
            if not data:
                break
            for event in self._machine.receive_data(data):
                if isinstance(event, ResponseReceived):
                    self._watches[event.stream_id or 0].opened.set()
                elif isinstance(event, DataReceived):
                    self._watches[event.stream_id or 0].tally.add(event.data or b"")
                    credit = event.flow_controlled_length or 0
                    self._machine.acknowledge_received_data(credit, event.stream_id or 0)
                elif isinstance(event, StreamEnded | StreamReset):
                    reset = isinstance(event, StreamReset)
                    self._watches[event.stream_id or 0].problem = "reset" if reset else ""
            await self._flush()
        await self._stream.aclose()

    async def _flush(self) -> None:
        if data := self._machine.data_to_send():
            await self._stream.send_all(data)
