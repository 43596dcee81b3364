"""What exec and port-forward share over SPDY, tested through exec."""

import pytest

from protocol.errors import LocalProtocolError
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    EndOfBody,
    Event,
    Failed,
    PeerClosed,
    Ping,
    Pong,
    TunnelClosed,
)
from protocol.remotecommand import SpdyRemoteCommand
from protocol.side import Side
from tests.kit import spdy_bytes
from tests.kit.spdy_bytes import BlockWriter, data_frame, goaway, ping, reset

ORDER = (Channel.ERROR, Channel.STDIN, Channel.STDOUT, Channel.STDERR)


def facing_kubectl() -> SpdyRemoteCommand:
    """The side facing kubectl, after its four streams were opened and accepted."""
    machine = SpdyRemoteCommand(Side.SERVER)
    machine.receive(spdy_bytes.KUBECTL_EXEC)
    for channel in ORDER:
        machine.send(ChannelAccepted(channel))
    machine.data_to_send()
    return machine


def facing_cluster() -> SpdyRemoteCommand:
    machine, writer = SpdyRemoteCommand(Side.CLIENT), BlockWriter()
    for channel, stream_id in zip(ORDER, (1, 3, 5, 7), strict=True):
        machine.send(ChannelOpened(channel))
        machine.receive(writer.syn_reply(stream_id))
    machine.data_to_send()
    return machine


def test_what_a_client_does_is_told() -> None:
    machine = SpdyRemoteCommand(Side.SERVER)
    assert machine.receive(spdy_bytes.KUBECTL_EXEC) == [ChannelOpened(channel) for channel in ORDER]
    assert machine.data_to_send() == b""
    for channel in ORDER:
        machine.send(ChannelAccepted(channel))
    assert machine.data_to_send().count(bytes.fromhex("80030002")) == 4
    rest = spdy_bytes.DATA_ON_3 + spdy_bytes.FIN_ON_3 + ping(1) + spdy_bytes.RESET_7 + spdy_bytes.GOAWAY
    assert machine.receive(rest) == [
        ChannelData(Channel.STDIN, b"abc\n"),
        ChannelEnded(Channel.STDIN),
        Ping(bytes.fromhex("00000001")),
        ChannelReset(Channel.STDERR, 0, 5),
        TunnelClosed(1000),
    ]
    assert machine.receive(b"") == [PeerClosed()]


def test_what_a_cluster_does_is_told() -> None:
    machine, writer = SpdyRemoteCommand(Side.CLIENT), BlockWriter()
    machine.send(ChannelOpened(Channel.ERROR))
    machine.send(ChannelOpened(Channel.STDOUT))
    machine.send(Ping())
    answers = writer.syn_reply(1) + writer.syn_reply(3, flags=1) + data_frame(1, b"{}") + reset(1) + ping(1)
    assert machine.receive(answers + goaway(0, 2)) == [
        ChannelAccepted(Channel.ERROR),
        ChannelAccepted(Channel.STDOUT),
        ChannelEnded(Channel.STDOUT),
        ChannelData(Channel.ERROR, b"{}"),
        ChannelReset(Channel.ERROR, 0, 5),
        Pong(bytes.fromhex("00000001")),
        TunnelClosed(1011),
    ]


def test_stream_that_is_opened_ended_is_told_as_both() -> None:
    stream = BlockWriter().syn_stream(1, (b"streamtype", b"stdin"), flags=1)
    assert SpdyRemoteCommand(Side.SERVER).receive(stream) == [
        ChannelOpened(Channel.STDIN),
        ChannelEnded(Channel.STDIN),
    ]


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        (ChannelData(Channel.STDOUT, b"x"), data_frame(5, b"x")),
        (ChannelData(Channel.STDOUT, b""), b""),
        (ChannelData(Channel.STDIN, b""), b""),
        (ChannelEnded(Channel.STDOUT), data_frame(5, b"", 1)),
        (ChannelEnded(Channel.STDIN), data_frame(3, b"", 1)),
        (ChannelReset(Channel.ERROR, code=5), reset(1)),
        (ChannelData(Channel.ERROR, b"x", connection=9), b""),
        (ChannelReset(Channel.RESIZE), b""),
        (ChannelAccepted(Channel.STDOUT), b""),
        (ChannelAccepted(Channel.RESIZE), b""),
        (TunnelClosed(), goaway(7)),
        (TunnelClosed(1001), goaway(7)),
        (TunnelClosed(1005), goaway(7)),
        (TunnelClosed(1011), goaway(7, 2)),
        (TunnelClosed(1008, "denied"), goaway(7, 2)),
        (Ping(), ping(2)),
    ],
)
def test_what_is_sent_to_a_client(event: Event, frame: bytes) -> None:
    machine = facing_kubectl()
    machine.send(event)
    assert machine.data_to_send() == frame


def test_goaway_of_a_client_names_no_stream() -> None:
    machine = facing_cluster()
    machine.send(TunnelClosed())
    assert machine.data_to_send() == goaway()


def test_data_implies_the_reply_because_clients_drop_data_before_it() -> None:
    machine = SpdyRemoteCommand(Side.SERVER)
    machine.receive(spdy_bytes.KUBECTL_EXEC)
    machine.send(ChannelData(Channel.STDERR, b"denied"))
    machine.send(ChannelEnded(Channel.STDERR))
    machine.send(ChannelAccepted(Channel.STDERR))
    sent = machine.data_to_send()
    assert sent.startswith(bytes.fromhex("80030002"))
    assert sent.endswith(data_frame(7, b"denied") + data_frame(7, b"", 1))
    assert sent.count(bytes.fromhex("80030002")) == 1


@pytest.mark.parametrize("channel", [Channel.STDOUT, Channel.STDERR, Channel.ERROR])
def test_client_that_writes_on_an_output_channel_is_cut(channel: Channel) -> None:
    machine = facing_kubectl()
    stream_id = 1 + 2 * ORDER.index(channel)
    before, failed = machine.receive(
        data_frame(3, b"ok") + data_frame(stream_id, b"x") + data_frame(3, b"late")
    )
    assert before == ChannelData(Channel.STDIN, b"ok")
    assert isinstance(failed, Failed)
    assert channel.name in failed.error.why
    assert machine.data_to_send() == goaway(7, 1)
    assert machine.receive(data_frame(3, b"late")) == []
    machine.send(ChannelData(Channel.STDOUT, b"x"))
    assert machine.data_to_send() == b""


def test_cluster_that_writes_on_stdin_is_cut() -> None:
    assert isinstance(facing_cluster().receive(data_frame(3, b"x"))[-1], Failed)


def test_either_side_may_half_close_any_channel() -> None:
    ends = b"".join(data_frame(stream_id, b"", 1) for stream_id in (1, 3, 5, 7))
    assert facing_kubectl().receive(ends) == [ChannelEnded(channel) for channel in ORDER]
    assert facing_cluster().receive(ends) == [ChannelEnded(channel) for channel in ORDER]


def test_writing_what_the_other_side_writes_is_our_error() -> None:
    with pytest.raises(LocalProtocolError, match="STDIN"):
        facing_kubectl().send(ChannelData(Channel.STDIN, b"x"))
    with pytest.raises(LocalProtocolError, match="STDOUT"):
        facing_cluster().send(ChannelData(Channel.STDOUT, b"x"))
    with pytest.raises(LocalProtocolError, match="EndOfBody"):
        facing_cluster().send(EndOfBody())
    with pytest.raises(LocalProtocolError, match="only clients"):
        SpdyRemoteCommand(Side.SERVER).send(ChannelOpened(Channel.STDIN))


def test_channel_that_ended_or_was_reset_swallows_what_is_sent() -> None:
    machine = facing_kubectl()
    machine.send(ChannelEnded(Channel.STDOUT))
    machine.receive(reset(7))
    machine.data_to_send()
    for channel in (Channel.STDOUT, Channel.STDERR):
        machine.send(ChannelData(channel, b"late"))
        machine.send(ChannelEnded(channel))
    assert machine.data_to_send() == b""


def test_channel_ended_both_ways_is_forgotten_in_either_order() -> None:
    for we_first in (True, False):
        machine = facing_kubectl()
        if we_first:
            machine.send(ChannelEnded(Channel.STDIN))
        assert machine.receive(data_frame(3, b"", 1)) == [ChannelEnded(Channel.STDIN)]
        machine.send(ChannelEnded(Channel.STDIN))
        assert len(machine._by_id) == len(machine._by_channel) == 3
        assert machine.receive(reset(3) + data_frame(3, b"x")) == []


def test_after_the_goodbye_nothing_is_sent() -> None:
    machine = facing_kubectl()
    machine.send(TunnelClosed())
    machine.send(ChannelData(Channel.STDOUT, b"the other task was late"))
    machine.send(TunnelClosed(1011))
    assert machine.data_to_send() == goaway(7)


def test_failure_below_is_passed_on() -> None:
    machine = facing_kubectl()
    assert isinstance(machine.receive(data_frame(0))[-1], Failed)
    assert machine.receive(b"") == []
