import json

import pytest
import trio

from gateway.demo.standin.remote import encode_result
from gateway.demo.standin.server import Standin
from protocol.events import Channel, ChannelData, ChannelEnded, ChannelOpened, TunnelClosed
from tests.kit.standin_client import Tunnel, connect, upgrade

EXEC = "/api/v1/namespaces/default/pods/web/exec?container=web"
TRANSPORTS = [
    ("spdy", "v4.channel.k8s.io"),
    ("spdy", "v3.channel.k8s.io"),
    ("spdy", "channel.k8s.io"),
    ("websocket", "v5.channel.k8s.io"),
    ("websocket", "v4.channel.k8s.io"),
    ("websocket", "v4.base64.channel.k8s.io"),
    ("websocket", "base64.channel.k8s.io"),
    ("websocket", ""),
]


async def _collect(tunnel: Tunnel) -> dict[Channel, bytes]:
    """Everything each channel carried, until the server says goodbye."""
    collected: dict[Channel, bytes] = {}
    with trio.fail_after(20):
        while events := await tunnel.hear():
            for event in events:
                if isinstance(event, ChannelData):
                    collected[event.channel] = collected.get(event.channel, b"") + event.data
                if isinstance(event, TunnelClosed):
                    return collected
    raise AssertionError("the connection ended without a goodbye")


async def _open(tunnel: Tunnel, transport: str, *channels: Channel) -> None:
    if transport == "spdy":
        await tunnel.say(*(ChannelOpened(channel) for channel in (Channel.ERROR, *channels)))


@pytest.mark.parametrize(("transport", "protocol"), TRANSPORTS)
async def test_output_and_exit_code_come_over_every_protocol(
    standin: Standin, transport: str, protocol: str
) -> None:
    target = f"{EXEC}&command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+3&stdout=1&stderr=1"
    async with await connect(standin) as stream:
        tunnel = await upgrade(stream, standin, target, transport, protocol)
        await _open(tunnel, transport, Channel.STDOUT, Channel.STDERR)
        collected = await _collect(tunnel)
    assert (collected[Channel.STDOUT], collected[Channel.STDERR]) == (b"out\n", b"err\n")
    if protocol.startswith(("v4", "v5")):
        assert json.loads(collected[Channel.ERROR])["details"]["causes"][0]["message"] == "3"
    else:
        assert collected[Channel.ERROR].startswith(b"command terminated with non-zero exit code")


@pytest.mark.parametrize(
    ("transport", "protocol"), [("spdy", "v4.channel.k8s.io"), ("websocket", "v5.channel.k8s.io")]
)
async def test_the_end_of_stdin_reaches_the_command(standin: Standin, transport: str, protocol: str) -> None:
    async with await connect(standin) as stream:
        tunnel = await upgrade(stream, standin, f"{EXEC}&command=cat&stdin=1&stdout=1", transport, protocol)
        await _open(tunnel, transport, Channel.STDIN, Channel.STDOUT)
        await tunnel.say(ChannelData(Channel.STDIN, b"a" * 100_000), ChannelEnded(Channel.STDIN))
        collected = await _collect(tunnel)
    assert collected[Channel.STDOUT] == b"a" * 100_000
    assert json.loads(collected[Channel.ERROR])["status"] == "Success"


async def test_resizes_and_interrupts_reach_the_terminal(standin: Standin) -> None:
    async with await connect(standin) as stream:
        target = f"{EXEC}&command=sh&stdin=1&stdout=1&tty=1"
        tunnel = await upgrade(stream, standin, target, "websocket", "v5.channel.k8s.io")
        await tunnel.say(
            ChannelData(Channel.RESIZE, b'{"Width":80,"Height":25}\n'),
            ChannelData(Channel.STDIN, b"sleep 1000\r"),
        )
        shown = b""
        with trio.fail_after(20):
            while not shown.endswith(b"sleep 1000\r\n"):
                shown += b"".join(
                    event.data for event in await tunnel.hear() if isinstance(event, ChannelData)
                )
        await tunnel.say(
            ChannelData(Channel.STDIN, b"\x03"), ChannelData(Channel.STDIN, b"stty size; exit\r")
        )
        collected = await _collect(tunnel)
    assert b"25 80\r\n" in collected[Channel.STDOUT]


async def test_a_command_no_pod_has_is_a_failure_without_a_code(standin: Standin) -> None:
    async with await connect(standin) as stream:
        tunnel = await upgrade(
            stream, standin, f"{EXEC}&command=gcc&stdout=1", "websocket", "v5.channel.k8s.io"
        )
        status = json.loads((await _collect(tunnel))[Channel.ERROR])
    assert status["reason"] == "InternalError"
    assert "executable file not found" in status["message"]


async def test_attach_shows_the_log_and_answers_lines(standin: Standin) -> None:
    target = "/api/v1/namespaces/default/pods/web/attach?stdin=1&stdout=1"
    async with await connect(standin) as stream:
        tunnel = await upgrade(stream, standin, target, "websocket", "v5.channel.k8s.io")
        shown = b""
        with trio.fail_after(20):
            while b"line=" not in shown:
                shown += b"".join(
                    event.data for event in await tunnel.hear() if isinstance(event, ChannelData)
                )
        await tunnel.say(ChannelData(Channel.STDIN, b"hello\nexit 4\n"))
        collected = await _collect(tunnel)
    assert b"you said: hello\n" in collected[Channel.STDOUT]
    assert b'"4"' in collected[Channel.ERROR]


@pytest.mark.parametrize(
    ("transport", "protocol", "ports"),
    [
        ("spdy", "portforward.k8s.io", ()),
        ("websocket", "SPDY/3.1+portforward.k8s.io", ()),
        ("websocket", "v4.channel.k8s.io", (7, 80)),
        ("websocket", "v4.base64.channel.k8s.io", (7, 80)),
    ],
)
async def test_forwarded_bytes_come_back_over_every_transport(
    standin: Standin, transport: str, protocol: str, ports: tuple[int, ...]
) -> None:
    query = "?" + "&".join(f"ports={port}" for port in ports) if ports else ""
    data, answer = bytes(range(256)) * 300, b""
    async with await connect(standin) as stream:
        target = f"/api/v1/namespaces/default/pods/web/portforward{query}"
        tunnel = await upgrade(stream, standin, target, transport, protocol, ports=ports)
        if not ports:
            await tunnel.say(ChannelOpened(Channel.FORWARD_ERROR, 0, 7), ChannelOpened(Channel.DATA, 0, 7))
        await tunnel.say(ChannelData(Channel.DATA, data, 0))
        with trio.fail_after(20):
            while len(answer) < len(data):
                answer += b"".join(
                    event.data for event in await tunnel.hear() if isinstance(event, ChannelData)
                )
        await tunnel.say(TunnelClosed(1000))
    assert answer == data


async def test_a_closed_port_says_so_on_the_error_channel(standin: Standin) -> None:
    async with await connect(standin) as stream:
        target = "/api/v1/namespaces/default/pods/web/portforward"
        tunnel = await upgrade(stream, standin, target, "spdy", "portforward.k8s.io")
        await tunnel.say(ChannelOpened(Channel.FORWARD_ERROR, 0, 9), ChannelOpened(Channel.DATA, 0, 9))
        said = b""
        with trio.fail_after(20):
            while b"refused" not in said:
                said += b"".join(
                    event.data
                    for event in await tunnel.hear()
                    if isinstance(event, ChannelData) and event.channel is Channel.FORWARD_ERROR
                )
    assert said.startswith(b"error forwarding port 9 to pod web")


async def test_an_old_server_answers_v5_with_a_bare_403(old_standin: Standin) -> None:
    async with await connect(old_standin) as stream:
        with pytest.raises(AssertionError, match="403"):
            await upgrade(
                stream, old_standin, f"{EXEC}&command=ls&stdout=1", "websocket", "v5.channel.k8s.io"
            )


def test_success_is_silent_before_v4() -> None:
    assert encode_result(0, "", 3) == b""
    assert json.loads(encode_result(0, "", 4)) == {"metadata": {}, "status": "Success"}
