"""What is counted: each operation a script of client and API server, repeated as often as asked.

A script's `yield` gives the gateway its turn (`lockstep`). `begin` opens what the operation needs and does it once or
twice, so that caches, pools and compression contexts are as they are in a connection that lives.
"""

import itertools
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from benchmarks.work.callers import Client
from benchmarks.work.lockstep import Turns
from benchmarks.work.peers import ApiServer, ServedConnection
from protocol.events import (
    BodyChunk,
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    Event,
    TunnelClosed,
)

PODS: Final = b"/api/v1/namespaces/default/pods"
EXEC: Final = PODS + b"/web/exec?command=cat&stdin=true&stdout=true&stderr=true"
FORWARD: Final = PODS + b"/web/portforward"
CONFIG_MAP: Final = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"},
        "data": {"key": "value " * 40},
    }
).encode()
WATCH_EVENT: Final = (
    json.dumps(
        {
            "type": "MODIFIED",
            "object": {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": {"name": "web", "namespace": "default", "resourceVersion": "1041"},
                "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "web:1.2.3"}]},
                "status": {"phase": "Running", "podIP": "10.0.0.17", "message": "ready " * 60},
            },
        }
    ).encode()
    + b"\n"
)
PIECE_BYTES: Final = 64 * 1024
"""As much as one read takes."""
PIECES_PER_MB: Final = 16
_NOISE: Final = random.Random(0).randbytes(4 << 20)
NOISE: Final = [_NOISE[start : start + PIECE_BYTES] for start in range(0, len(_NOISE), PIECE_BYTES)]
"""Does not compress: the writer's thread has as much to do as with a real copy."""
SUCCESS: Final = b'{"metadata":{},"status":"Success"}'


@dataclass
class Stage:
    """Where scripts play: connect(protocol) opens a client's connection."""

    api: ApiServer
    connect: Callable[[str], Client]


class Operation(Protocol):
    """begin: once. repeat: so many units."""

    def begin(self, stage: Stage) -> Turns: ...

    def repeat(self, stage: Stage, count: int) -> Turns: ...


@dataclass
class Calls:
    """Calls of one client, one after the other, on one connection."""

    protocol: str
    method: bytes = b"GET"
    target: bytes = b"/api/v1/namespaces/default"
    body: bytes = b""

    def begin(self, stage: Stage) -> Turns:
        self._client = stage.connect(self.protocol)
        yield from self.repeat(stage, 5)

    def repeat(self, stage: Stage, count: int) -> Turns:
        for _ in range(count):
            self._client.call(self.method, self.target, self.body)
            yield from until(lambda: self._client.http.is_complete)


@dataclass
class Answer:
    """One answer that streams: the events of a watch, or the bytes of a log. per_unit: pieces of a unit."""

    protocol: str
    target: bytes
    pieces: Sequence[bytes]
    per_unit: int = 1

    def begin(self, stage: Stage) -> Turns:
        self._client = stage.connect(self.protocol)
        self._client.call(b"GET", self.target)
        yield from until(lambda: stage.api.streaming() is not None)
        yield from self.repeat(stage, 5)

    def repeat(self, stage: Stage, count: int) -> Turns:
        served = streaming(stage)
        for piece in itertools.islice(itertools.cycle(self.pieces), count * self.per_unit):
            wanted = self._client.http.body_bytes + len(piece)
            served.say(BodyChunk(piece))
            yield from until(lambda wanted=wanted: self._client.http.body_bytes >= wanted)  # type: ignore[misc]


@dataclass
class Keys:
    """A person types: a key goes in, its echo comes out."""

    transport: str

    def begin(self, stage: Stage) -> Turns:
        self._client = stage.connect("http/1.1")
        yield from open_tunnel(stage, self._client, "exec", self.transport)
        yield from self.repeat(stage, 5)

    def repeat(self, stage: Stage, count: int) -> Turns:
        served = streaming(stage)
        for _ in range(count):
            self._client.say(ChannelData(Channel.STDIN, b"x"))
            yield from until(lambda: size(served.heard) > 0)
            served.heard.clear()
            served.say(ChannelData(Channel.STDOUT, b"x"))
            yield from until(lambda: size(self._client.heard) > 0)
            self._client.heard.clear()


@dataclass
class Transfer:
    """Many bytes through a tunnel, one way."""

    kind: str
    transport: str
    upload: bool = False

    def begin(self, stage: Stage) -> Turns:
        self._client = stage.connect("http/1.1")
        yield from open_tunnel(stage, self._client, self.kind, self.transport)
        yield from self.repeat(stage, 1)

    def repeat(self, stage: Stage, count: int) -> Turns:
        served = streaming(stage)
        heard = served.heard if self.upload else self._client.heard
        say = self._client.say if self.upload else served.say
        channel = Channel.STDIN if self.upload else Channel.STDOUT
        channel = Channel.DATA if self.kind == "portforward" else channel
        for piece in itertools.islice(itertools.cycle(NOISE), count * PIECES_PER_MB):
            heard.clear()
            say(ChannelData(channel, piece))
            yield from until(lambda: size(heard) >= PIECE_BYTES)


@dataclass
class Starts:
    """Whole commands: connect, exec, a line of output, success, close."""

    transport: str

    def begin(self, stage: Stage) -> Turns:
        yield from self.repeat(stage, 2)

    def repeat(self, stage: Stage, count: int) -> Turns:
        for _ in range(count):
            client = stage.connect("http/1.1")
            yield from open_tunnel(stage, client, "exec", self.transport)
            served = streaming(stage)
            served.say(ChannelData(Channel.STDOUT, b"done\n"), ChannelData(Channel.ERROR, SUCCESS))
            served.say(*(ChannelEnded(one) for one in (Channel.STDOUT, Channel.STDERR, Channel.ERROR)))
            served.say(TunnelClosed())
            yield from until(lambda client=client: size(client.heard) >= len(SUCCESS) + 5)  # type: ignore[misc]
            served.is_streaming = False
            served.peer.close_soon()
            client.peer.close_soon()
            yield from until(lambda client=client, served=served: client.peer.is_over and served.peer.is_over)  # type: ignore[misc]


def open_tunnel(stage: Stage, client: Client, kind: str, transport: str) -> Turns:
    client.upgrade(kind, transport, FORWARD if kind == "portforward" else EXEC)
    yield from until(lambda: client.channels is not None)
    if kind == "portforward":
        channels = [ChannelOpened(Channel.FORWARD_ERROR, 0, 8080), ChannelOpened(Channel.DATA, 0, 8080)]
    elif transport == "spdy":
        wanted = (Channel.ERROR, Channel.STDIN, Channel.STDOUT, Channel.STDERR)
        channels = [ChannelOpened(channel) for channel in wanted]
    else:
        return
    client.say(*channels)
    yield from until(
        lambda: sum(isinstance(event, ChannelAccepted) for event in client.heard) == len(channels)
    )
    client.heard.clear()
    streaming(stage).heard.clear()


def streaming(stage: Stage) -> ServedConnection:
    served = stage.api.streaming()
    assert served is not None
    return served


def until(condition: Callable[[], bool]) -> Turns:
    yield
    while not condition():
        yield


def size(events: Iterable[Event]) -> int:
    """Bytes these events carry."""
    return sum(len(event.data) for event in events if isinstance(event, ChannelData))


@dataclass(frozen=True)
class Work:
    """One row of the gate. unit: what figures are per. count: how many units a full run counts."""

    unit: str
    count: int
    operation: Callable[[], Operation]


def _answers(protocol: str) -> dict[str, Work]:
    name = {"http/1.1": "http1", "h2": "http2"}[protocol]
    log = PODS + b"/web/log"
    return {
        f"get {name}": Work("call", 200, lambda: Calls(protocol)),
        f"post {name}": Work(
            "call",
            50,
            lambda: Calls(protocol, b"POST", b"/api/v1/namespaces/default/configmaps", CONFIG_MAP),
        ),
        f"watch {name}": Work("event", 1000, lambda: Answer(protocol, PODS + b"?watch=1", [WATCH_EVENT])),
        f"download {name}": Work("MB", 20, lambda: Answer(protocol, log, NOISE, PIECES_PER_MB)),
    }


def _tunnels(transport: str) -> dict[str, Work]:
    return {
        f"exec start {transport}": Work("command", 20, lambda: Starts(transport)),
        f"exec key {transport}": Work("key", 1000, lambda: Keys(transport)),
        f"exec download {transport}": Work("MB", 20, lambda: Transfer("exec", transport)),
        f"exec upload {transport}": Work("MB", 20, lambda: Transfer("exec", transport, upload=True)),
        f"forward download {transport}": Work("MB", 20, lambda: Transfer("portforward", transport)),
    }


WORKS: Final = {
    **_answers("http/1.1"),
    **_answers("h2"),
    **_tunnels("websocket"),
    **_tunnels("spdy"),
}
