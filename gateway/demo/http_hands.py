"""Runs steps of the demo without kubectl: HTTP, and exec over WebSocket, by ourselves."""

from pathlib import Path
from typing import Final

import trio

from gateway.demo.shown_answers import shown_answer, shown_refusal
from gateway.demo.steps import NAMESPACE, POD, Step
from gateway.tls_stream import TlsStream, take_socket
from gateway.upstream.credentials import UpstreamCluster, load_kubeconfig
from protocol.channels import open_channel_machine
from protocol.events import (
    BodyChunk,
    Channel,
    ChannelData,
    EndOfBody,
    Event,
    Headers,
    Machine,
    RequestHead,
    ResponseHead,
    TunnelClosed,
    Upgraded,
)
from protocol.http1_client import Http1Client
from protocol.query import encode_query
from protocol.side import Side
from protocol.status import parse_status

STEP_TIMEOUT_S: Final = 60.0
THINKING_S: Final = 0.5
"""The prompt of the line before is there by then."""
WEBSOCKET_KEY: Final = b"a2V5IG9mIHRoZSBkZW1vIQ=="
BROKEN_OFF: Final = "error: unexpected EOF"
"""kubectl's words for an answer that is broken off."""
_UPGRADE: Final = (
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", WEBSOCKET_KEY),
    (b"sec-websocket-protocol", b"v5.channel.k8s.io"),
)


class HttpHands:
    """One person's client. A connection a step."""

    def __init__(self, kubeconfig: Path) -> None:
        self._cluster = load_kubeconfig(kubeconfig)

    async def run(self, step: Step) -> str:
        """What a person would read. Raises trio.TooSlowError."""
        with trio.fail_after(STEP_TIMEOUT_S):
            stream = await _connect(self._cluster)
            try:
                return await (self._call(stream, *step.http) if step.http else self._exec(stream, step))
            finally:
                stream.close()

    async def _call(self, stream: TlsStream, method: str, target: str, body: bytes) -> str:
        machine = Http1Client()
        machine.send(self._head(method, target, (), content_length=len(body)))
        for event in [BodyChunk(body), EndOfBody()] if body else [EndOfBody()]:
            machine.send(event)
        await stream.send_all(machine.data_to_send())
        return await _read_answer(stream, machine, [])

    async def _exec(self, stream: TlsStream, step: Step) -> str:
        http = Http1Client()
        http.send(self._head("GET", _exec_target(step), _UPGRADE, upgrade=b"websocket"))
        http.send(EndOfBody())
        await stream.send_all(http.data_to_send())
        events: list[Event] = []
        while not events:
            events = http.receive(await stream.receive_some())
        if not isinstance(events[-1], Upgraded):
            return await _read_answer(stream, http, events)
        machine = open_channel_machine("exec", "websocket", "v5.channel.k8s.io", Side.CLIENT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_type, stream, machine, step.terminal)
            shown = await _read_channels(stream, machine, events[-1].leftover)
            nursery.cancel_scope.cancel()
        return shown

    def _head(
        self, method: str, target: str, headers: Headers, *, content_length: int = 0, upgrade: bytes = b""
    ) -> RequestHead:
        authorization = self._cluster.credential.authorization()
        assert authorization is not None
        if content_length:
            headers += ((b"content-type", b"application/json"),)
        return RequestHead(
            method=method.encode(),
            target=target.encode(),
            authority=self._cluster.authority,
            headers=(
                *headers,
                (b"authorization", authorization),
                (b"user-agent", b"kubetape-demo/1 (no kubectl here)"),
            ),
            content_length=content_length,
            upgrade=upgrade,
        )


def _exec_target(step: Step) -> str:
    argv = step.words[step.words.index("--") + 1 :]
    query = [
        ("container", POD),
        ("stdout", "true"),
        ("stderr", "true"),
        *(("command", word) for word in argv),
    ]
    if step.terminal:
        query += [("stdin", "true"), ("tty", "true")]
    return f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}/exec?" + encode_query(query).decode()


async def _read_answer(stream: TlsStream, machine: Http1Client, events: list[Event]) -> str:
    """The rest of an answer, of which `events` are here already."""
    answer, status, is_whole = bytearray(), 0, False
    while True:
        for event in events:
            if isinstance(event, ResponseHead):
                status = event.status
            elif isinstance(event, BodyChunk):
                answer += event.data
            is_whole = is_whole or isinstance(event, EndOfBody)
        data = b"" if is_whole else await _receive(stream)
        if not data:
            break
        events = machine.receive(data)
    if status >= 300:
        return shown_refusal(status, bytes(answer))
    return shown_answer(bytes(answer)) + ("" if is_whole else f"\n{BROKEN_OFF}")


async def _type(stream: TlsStream, machine: Machine, lines: tuple[str, ...]) -> None:
    """Line by line, like a person who reads before she goes on."""
    for line in lines:
        await trio.sleep(THINKING_S)
        machine.send(ChannelData(Channel.STDIN, line.encode() + b"\r"))
        await stream.send_all(machine.data_to_send())


async def _read_channels(stream: TlsStream, machine: Machine, data: bytes) -> str:
    """Both outputs of an exec, and the reason if it did not end well."""
    shown, error = bytearray(), bytearray()
    while True:
        events = machine.receive(data) if data else []
        for event in events:
            if isinstance(event, ChannelData):
                (error if event.channel is Channel.ERROR else shown).extend(event.data)
        if any(isinstance(event, TunnelClosed) for event in events):
            break
        data = await _receive(stream)
        if not data:
            break
    told = parse_status(bytes(error))
    why = f"\nerror: {told.message}" if told is not None and told.status == "Failure" else ""
    return shown.decode("utf-8", "replace") + why


async def _receive(stream: TlsStream) -> bytes:
    """b"" at the end, however it came: an answer that is broken off is a thing to show."""
    try:
        return await stream.receive_some()
    except trio.BrokenResourceError:
        return b""


async def _connect(cluster: UpstreamCluster) -> TlsStream:
    transport = await trio.open_tcp_stream(cluster.host, cluster.port)
    stream = TlsStream(
        take_socket(transport), cluster.ssl_context(), server_side=False, server_hostname=cluster.server_name
    )
    await stream.do_handshake()
    return stream
