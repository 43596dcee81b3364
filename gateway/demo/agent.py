"""Runs a step of the demo: by the real kubectl when there is one, else over HTTP and WebSocket by ourselves."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Final

import trio

from gateway.demo.steps import Step
from gateway.tls_stream import TlsStream, take_socket
from gateway.upstream.credentials import UpstreamCluster, load_kubeconfig
from protocol.channels import open_channel_machine
from protocol.events import (
    BodyChunk,
    Channel,
    ChannelData,
    ChannelEnded,
    EndOfBody,
    Event,
    Headers,
    RequestHead,
    TunnelClosed,
    Upgraded,
)
from protocol.http1 import Http1Client
from protocol.query import encode_query
from protocol.side import Side

STEP_TIMEOUT_S: Final = 60.0
TYPING_S: Final = 0.04
WEBSOCKET_KEY: Final = b"a2V5IG9mIHRoZSBkZW1vIQ=="


class KubectlAgent:
    """Types kubectl commands. A -it session gets a real pseudo-terminal and is typed into."""

    def __init__(self, kubectl: str, kubeconfig: Path, home: Path, *, pace: float) -> None:
        self._kubectl, self._pace = kubectl, pace
        # A HOME of its own: kubectl caches discovery there, by host and port.
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home), "TERM": "xterm"}

    async def run(self, step: Step) -> str:
        """What the command printed. Its exit code is for the record to show."""
        with trio.fail_after(STEP_TIMEOUT_S):
            if step.terminal:
                return await self._in_terminal(step)
            finished = await trio.run_process(
                [self._kubectl, *step.words],
                stdin=step.stdin,
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
                env=self._environment,
            )
            return finished.stdout.decode("utf-8", "replace")

    async def _in_terminal(self, step: Step) -> str:
        ours, theirs = pty.openpty()
        process = await trio.lowlevel.open_process(
            [self._kubectl, *step.words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environment,
            start_new_session=True,
        )
        os.close(theirs)
        seen = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._type, ours, step.terminal)
            while data := await self._read(ours):
                seen += data
            await process.wait()
            nursery.cancel_scope.cancel()
        os.close(ours)
        return seen.decode("utf-8", "replace")

    async def _type(self, terminal: int, lines: tuple[str, ...]) -> None:
        """Like a person: think, then one key after the other."""
        for line in lines:
            await trio.sleep(max(0.6 * self._pace, 0.3))  # the prompt of the line before is there by then
            for character in line + "\r":
                os.write(terminal, character.encode())
                await trio.sleep(TYPING_S * self._pace)

    async def _read(self, terminal: int) -> bytes:
        await trio.lowlevel.wait_readable(terminal)
        try:
            return os.read(terminal, 65536)
        except OSError:  # EIO: the other end is closed
            return b""


class HttpAgent:
    """The same without kubectl: plain requests, and exec over WebSocket."""

    def __init__(self, kubeconfig: Path) -> None:
        self._cluster = load_kubeconfig(kubeconfig)

    async def run(self, step: Step) -> str:
        with trio.fail_after(STEP_TIMEOUT_S):
            if step.http is not None:
                return await self._call(*step.http)
            return await self._exec(step)

    async def _call(self, method: str, target: str, body: bytes) -> str:
        stream = await _connect(self._cluster)
        machine = Http1Client()
        machine.send(self._head(method, target, (), content_length=len(body)))
        for event in [BodyChunk(body), EndOfBody()] if body else [EndOfBody()]:
            machine.send(event)
        await stream.send_all(machine.data_to_send())
        answer = b""
        events: list[Event] = []
        while not (events and isinstance(events[-1], EndOfBody)):
            events = machine.receive(await stream.receive_some())
            answer += b"".join(event.data for event in events if isinstance(event, BodyChunk))
        stream.close()
        return _shown(answer)

    async def _exec(self, step: Step) -> str:
        pod, argv = "api", step.words[step.words.index("--") + 1 :]
        query = [
            ("container", pod),
            ("stdout", "true"),
            ("stderr", "true"),
            *(("command", word) for word in argv),
        ]
        if step.terminal:
            query += [("stdin", "true"), ("tty", "true")]
        target = f"/api/v1/namespaces/payments/pods/{pod}/exec?" + encode_query(query).decode()
        handshake = (
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", WEBSOCKET_KEY),
            (b"sec-websocket-protocol", b"v5.channel.k8s.io"),
        )
        stream = await _connect(self._cluster)
        http = Http1Client()
        http.send(self._head("GET", target, handshake, upgrade=b"websocket"))
        http.send(EndOfBody())
        await stream.send_all(http.data_to_send())
        events: list[Event] = []
        while not events:
            events = http.receive(await stream.receive_some())
        if not isinstance(events[-1], Upgraded):
            return f"exec was answered with {getattr(events[0], 'status', 'nothing')}"
        machine = open_channel_machine("exec", "websocket", "v5.channel.k8s.io", Side.CLIENT)
        typed = "".join(line + "\r" for line in step.terminal).encode() + step.stdin
        if typed:
            machine.send(ChannelData(Channel.STDIN, typed))
        machine.send(ChannelEnded(Channel.STDIN))
        await stream.send_all(machine.data_to_send())
        shown = bytearray()
        data = events[-1].leftover
        while True:
            channel_events = machine.receive(data) if data else []
            shown += b"".join(
                event.data
                for event in channel_events
                if isinstance(event, ChannelData) and event.channel in (Channel.STDOUT, Channel.STDERR)
            )
            if any(isinstance(event, TunnelClosed) for event in channel_events):
                break
            data = await stream.receive_some()
            if not data:
                break
        stream.close()
        return shown.decode("utf-8", "replace")

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
                (b"user-agent", b"demo-agent/1 (no kubectl here)"),
            ),
            content_length=content_length,
            upgrade=upgrade,
        )


async def _connect(cluster: UpstreamCluster) -> TlsStream:
    transport = await trio.open_tcp_stream(cluster.host, cluster.port)
    stream = TlsStream(
        take_socket(transport), cluster.ssl_context(), server_side=False, server_hostname=cluster.server_name
    )
    await stream.do_handshake()
    return stream


def _shown(answer: bytes) -> str:
    """A JSON answer in a few words; anything else as it is."""
    try:
        found = json.loads(answer)
    except ValueError:
        return answer.decode("utf-8", "replace")
    names = [item.get("metadata", {}).get("name", "") for item in found.get("items", [])]
    if names:
        return f"{found.get('kind')}: {', '.join(names)}"
    return (
        f"{found.get('kind')} {found.get('metadata', {}).get('name', '')} {found.get('message', '')}".strip()
    )
