"""A client over WebSocket and an API server over SPDY understand each other."""

import pytest

from protocol.apicall import Call, parse_call
from protocol.channel_bridge import MAX_RESULT_BYTES, WebSocketToSpdy
from protocol.errors import RemoteProtocolError
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

EXEC = b"/api/v1/namespaces/a/pods/p/exec?command=sh&"
STATUS = b'{"status":"Success"}'


def call(flags: bytes) -> Call:
    return parse_call(b"GET", EXEC + flags)


@pytest.mark.parametrize(
    ("flags", "channels"),
    [
        (b"stdout=true", [Channel.ERROR, Channel.STDOUT]),
        (
            b"stdin=true&stdout=true&stderr=true",
            [Channel.ERROR, Channel.STDIN, Channel.STDOUT, Channel.STDERR],
        ),
        (
            b"stdin=true&stdout=true&stderr=true&tty=true",
            [Channel.ERROR, Channel.STDIN, Channel.STDOUT, Channel.RESIZE],
        ),
        (b"stdin=true", [Channel.ERROR, Channel.STDIN]),
    ],
)
def test_the_channels_of_a_call_are_opened_error_first(flags: bytes, channels: list[Channel]) -> None:
    assert WebSocketToSpdy(call(flags)).opening() == [ChannelOpened(channel) for channel in channels]


def test_what_the_client_types_passes_and_empty_messages_do_not() -> None:
    bridge = WebSocketToSpdy(call(b"stdin=true&stdout=true"))
    typed, ended = ChannelData(Channel.STDIN, b"ls\n"), ChannelEnded(Channel.STDIN)
    assert bridge.to_cluster(typed) == [typed]
    assert bridge.to_cluster(ended) == [ended]
    assert bridge.to_cluster(ChannelData(Channel.STDIN, b"")) == []


def through(bridge: WebSocketToSpdy, *events: Event) -> list[Event]:
    return [said for event in events for said in bridge.to_client(event)]


def test_the_result_is_one_message_behind_the_last_output_then_the_close() -> None:
    bridge = WebSocketToSpdy(call(b"stdout=true&stderr=true"))
    out = ChannelData(Channel.STDOUT, b"hello")
    assert through(
        bridge,
        ChannelAccepted(Channel.ERROR),
        out,
        ChannelData(Channel.ERROR, STATUS[:5]),
        ChannelData(Channel.ERROR, STATUS[5:]),
        ChannelEnded(Channel.ERROR),
        ChannelEnded(Channel.STDERR),
    ) == [out]
    assert through(bridge, ChannelEnded(Channel.STDOUT), TunnelClosed()) == [
        ChannelData(Channel.ERROR, STATUS),
        TunnelClosed(),
    ]


def test_a_goodbye_of_the_server_ends_it_with_what_was_said_of_the_result() -> None:
    bridge = WebSocketToSpdy(call(b"stdout=true"))
    assert through(bridge, ChannelData(Channel.ERROR, STATUS), TunnelClosed(1011)) == [
        ChannelData(Channel.ERROR, STATUS),
        TunnelClosed(1011),
    ]


def test_a_reset_channel_is_over_and_silence_about_the_result_stays_silence() -> None:
    bridge = WebSocketToSpdy(call(b"stdout=true"))
    assert through(bridge, ChannelReset(Channel.ERROR), ChannelReset(Channel.STDOUT)) == [TunnelClosed()]


def test_an_endless_result_is_refused() -> None:
    bridge = WebSocketToSpdy(call(b"stdout=true"))
    bridge.to_client(ChannelData(Channel.ERROR, b"x" * MAX_RESULT_BYTES))
    with pytest.raises(RemoteProtocolError, match="result above"):
        bridge.to_client(ChannelData(Channel.ERROR, b"x"))
