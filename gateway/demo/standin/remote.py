"""exec and attach on a toy pod: channels on one side, the toy shell on the other.

The trap is the end: status first, then the streams, then goodbye, as kubelets do; and over SPDY nothing
is said before the client has opened every channel its query implies.
Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand.
"""

import json
from typing import Final

import msgspec
import trio

from gateway.demo.standin.cluster import Cluster
from gateway.demo.standin.pod import podlog
from gateway.demo.standin.pod.process import Process, UnknownCommand
from gateway.demo.standin.pod.shell import run_argv
from gateway.demo.standin.pod.streams import Pipe, Sink, discard, empty_source
from gateway.demo.standin.pod.terminal import Terminal
from gateway.demo.standin.replies import JsonObject, bad_request
from gateway.demo.standin.target import Target
from gateway.demo.standin.wire import GOODBYE_S, Wire
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
    TunnelClosed,
)
from protocol.remotecommand_messages import ResizeReader

CREATION_TIMEOUT_S: Final = 30.0
INTERRUPTED: Final = 130


class RemoteOptions(msgspec.Struct, frozen=True):
    """What the query asks for. version: of the channel protocol, 1 to 5."""

    command: tuple[str, ...]  # empty for attach
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool
    version: int
    over_spdy: bool

    def channels(self) -> frozenset[Channel]:
        """The streams a SPDY client must open before anything starts."""
        wanted = {Channel.ERROR}
        wanted |= {Channel.STDIN} if self.stdin else set()
        wanted |= {Channel.STDOUT} if self.stdout else set()
        wanted |= {Channel.STDERR} if self.stderr and not self.tty else set()
        wanted |= {Channel.RESIZE} if self.tty and self.version >= 3 else set()
        return frozenset(wanted)


def parse_options(target: Target, protocol: str, over_spdy: bool) -> RemoteOptions:
    """Raises Failure 400 when the query asks for no stream, or exec for no command."""
    version = next((number for number in (5, 4, 3, 2) if f"v{number}." in protocol), 1)
    options = RemoteOptions(
        tuple(target.query.get("command", ())) if target.subresource == "exec" else (),
        target.flag("stdin"),
        target.flag("stdout"),
        target.flag("stderr"),
        target.flag("tty"),
        version,
        over_spdy,
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if target.subresource == "exec" and not options.command:
        raise bad_request("you must specify at least one command for the container")
    return options


async def serve_remote(wire: Wire, options: RemoteOptions, pod: JsonObject, cluster: Cluster) -> bool:
    """Run one session to its end; True if its result reached the client."""
    session = _Session(wire, options, pod, cluster)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.listen, nursery.cancel_scope)
        await session.run()
        nursery.cancel_scope.cancel()
    return session.is_over


class _Session:
    def __init__(self, wire: Wire, options: RemoteOptions, pod: JsonObject, cluster: Cluster) -> None:
        self._wire, self._options, self._pod, self._cluster = wire, options, pod, cluster
        self._terminal = Terminal() if options.tty else None
        self._stdin = Pipe()
        self._resizes = ResizeReader()
        self._complete, self._client_left = trio.Event(), trio.Event()
        self._missing = set(options.channels()) if options.over_spdy else set()
        self._process_scope = trio.CancelScope()
        self.is_over = False
        if not self._missing:
            self._complete.set()

    async def listen(self, session_scope: trio.CancelScope) -> None:
        """Take in what the client sends; its leaving ends the session."""
        while events := await self._wire.hear():
            for event in events:
                await self._take(event)
        self._client_left.set()
        if not self.is_over:
            session_scope.cancel()

    async def _take(self, event: Event) -> None:
        match event:
            case ChannelOpened():
                await self._wire.say(ChannelAccepted(event.channel))
                self._missing.discard(event.channel)
                if not self._missing:
                    self._complete.set()
            case ChannelData(channel=Channel.STDIN):
                await self._type(event.data)
            case ChannelData(channel=Channel.RESIZE):
                for columns, rows in self._resizes.feed(event.data):
                    if self._terminal:
                        self._terminal.columns, self._terminal.rows = columns, rows
            case ChannelEnded(channel=Channel.STDIN):
                self._stdin.end()
            case _:  # pings are answered below us; other channels carry nothing from a client
                pass

    async def _type(self, data: bytes) -> None:
        try:
            if self._terminal is None:
                await self._stdin.write(data)
                return
            typed = self._terminal.type(data)
            if typed.echo:
                await self._wire.say(ChannelData(Channel.STDOUT, typed.echo))
            for line in typed.lines:
                if line:
                    await self._stdin.write(line)
                else:
                    self._stdin.end()
            if typed.interrupted:
                (self._terminal.foreground or self._process_scope).cancel()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # nobody reads stdin any more: what is typed goes nowhere, as with a dead process

    async def run(self) -> None:
        """Start when all channels are there, end with the status."""
        with trio.fail_after(CREATION_TIMEOUT_S):
            await self._complete.wait()
        if not self._options.over_spdy:
            await self._wire.say(ChannelData(self._lowest_output(), b""))  # "ready"
        code, problem = INTERRUPTED, ""
        with self._process_scope:
            try:
                code = await self._run_process()
            except UnknownCommand as unknown:
                problem = f'exec: "{unknown}": executable file not found in $PATH: unknown'
        await self._finish(code, problem)

    def _lowest_output(self) -> Channel:
        return (
            Channel.STDOUT
            if self._options.stdout
            else Channel.STDERR
            if self._options.stderr
            else Channel.ERROR
        )

    async def _run_process(self) -> int:
        name = self._pod["metadata"]["name"]
        environ = {
            "HOME": "/root",
            "HOSTNAME": name,
            "PATH": "/usr/bin:/bin",
            "PWD": "/",
            "KUBERNETES_PORT": "443",
        }
        for container in self._pod["spec"]["containers"][:1]:
            environ |= {one["name"]: str(one.get("value", "")) for one in container.get("env", [])}
        stdout = self._sink(Channel.STDOUT) if self._options.stdout else discard
        stderr = (
            stdout if self._options.tty else self._sink(Channel.STDERR) if self._options.stderr else discard
        )
        stdin = self._stdin.source if self._options.stdin else empty_source()
        tree = self._cluster.tree(self._pod)
        process = Process(list(self._options.command), stdin, stdout, stderr, tree, environ, self._terminal)
        return await run_argv(process) if self._options.command else await self._run_main(process)

    def _sink(self, channel: Channel) -> Sink:
        async def write(data: bytes) -> None:
            if data:
                await self._wire.say(
                    ChannelData(channel, self._terminal.show(data) if self._terminal else data)
                )

        return write

    async def _run_main(self, process: Process) -> int:
        """What attach sees: the log as it grows, and an answer to each line typed; `exit N` ends it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_log, process)
            while line := await process.stdin.read_line():
                word, _, rest = line.decode(errors="replace").strip().partition(" ")
                if word == "exit":
                    nursery.cancel_scope.cancel()
                    return int(rest) & 0xFF if rest.isdigit() else 0
                await process.stdout(b"you said: " + line)
        return 0

    async def _show_log(self, process: Process) -> None:
        metadata = self._pod["metadata"]
        number = podlog.line_count(self._cluster.elapsed_s())
        while True:
            await trio.sleep(podlog.LINE_INTERVAL_S / 2)
            while number < podlog.line_count(self._cluster.elapsed_s()):
                await process.stdout(podlog.log_line(metadata["namespace"], metadata["name"], number))
                number += 1

    async def _finish(self, code: int, problem: str) -> None:
        self.is_over = True
        self._stdin.abandon()
        result = encode_result(code, problem, self._options.version)
        if result:
            await self._wire.say(ChannelData(Channel.ERROR, result))
        if self._options.over_spdy:
            ends = [
                ChannelEnded(one)
                for one in (Channel.STDOUT, Channel.STDERR)
                if one in self._options.channels()
            ]
            await self._wire.say(*ends)
            resets = [
                ChannelReset(one)
                for one in sorted(self._options.channels())
                if one in (Channel.STDIN, Channel.RESIZE, Channel.ERROR)
            ]
            await self._wire.say(*resets)
        await self._wire.say(TunnelClosed(1000))
        with trio.move_on_after(GOODBYE_S):
            await self._client_left.wait()


def encode_result(code: int, problem: str, version: int) -> bytes:
    """What the error channel says at the end: a Status from v4 on, before that text on failure only."""
    failed = f"command terminated with non-zero exit code: exit status {code}"
    if version < 4:
        return (problem or (failed if code else "")).encode()
    status: JsonObject = {"metadata": {}, "status": "Success"}
    if problem:
        message = f"Internal error occurred: error executing command in container: {problem}"
        status = {
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": "InternalError",
            "code": 500,
        }
    elif code:
        causes = [{"reason": "ExitCode", "message": str(code)}]
        status = {"metadata": {}, "status": "Failure", "message": failed, "reason": "NonZeroExitCode"}
        status["details"] = {"causes": causes}
    return json.dumps(status, separators=(",", ":")).encode()
