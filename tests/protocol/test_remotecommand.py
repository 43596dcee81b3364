from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, TooLarge
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
    MessageChunk,
    PeerClosed,
    Ping,
    Pong,
    TunnelClosed,
    WebSocketClosed,
)
from protocol.remotecommand import (
    MAX_WHOLE_BYTES,
    WEBSOCKET_PROTOCOLS,
    SpdyRemoteCommand,
    WebSocketRemoteCommand,
)
from protocol.remotecommand_messages import closing_events
from protocol.side import Side
from protocol.websocket_channels import MAX_SENT_DATA_BYTES
from tests.kit.cutting import joined
from tests.kit.fake_websocket import FakeWebSocket
from tests.kit.spdy_bytes import BlockWriter, goaway, reset
from tests.kit.tunnel_relay import Relay, stream_ids

V4, V5, V4_BASE64 = "v4.channel.k8s.io", "v5.channel.k8s.io", "v4.base64.channel.k8s.io"

STDIN, STDOUT, STDERR = Channel.STDIN, Channel.STDOUT, Channel.STDERR


def over_fake(side: Side, subprotocol: str = V5) -> tuple[WebSocketRemoteCommand, FakeWebSocket]:
    below = FakeWebSocket()
    return WebSocketRemoteCommand(side, subprotocol, websocket=below), below


def told(side: Side, subprotocol: str, *incoming: Event | bytes) -> list[Event]:
    """What a machine makes of these messages (bytes: one whole binary message)."""
    machine, below = over_fake(side, subprotocol)
    below.incoming = [MessageChunk(each) if isinstance(each, bytes) else each for each in incoming]
    return machine.receive(b".")


def said(side: Side, subprotocol: str, *events: Event) -> list[Event]:
    machine, below = over_fake(side, subprotocol)
    for event in events:
        machine.send(event)
    return below.sent


# --- SPDY: which stream is which channel ----------------------------------------------------------


@pytest.mark.parametrize("protocol", ["", "channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io", V4, V5])
def test_each_version_has_its_channels(protocol: str) -> None:
    writer = BlockWriter()
    machine = SpdyRemoteCommand(Side.SERVER, protocol)
    names = (b"error", b"stdin", b"stdout", b"stderr")
    for stream_id, name in zip((1, 3, 5, 7), names, strict=True):
        (opened,) = machine.receive(writer.syn_stream(stream_id, (b"streamtype", name)))
        assert opened == ChannelOpened(Channel[name.decode().upper()])
    (resize,) = machine.receive(writer.syn_stream(9, (b"streamtype", b"resize")))
    has_resize = protocol.startswith(("v3", "v4", "v5"))
    assert (resize == ChannelOpened(Channel.RESIZE)) is has_resize
    assert isinstance(resize, Failed) is not has_resize


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"streamtype", b""),),
        ((b"streamtype", b"STDIN"),),
        ((b"streamtype", b"data"),),
        ((b"stream-type", b"stdin"),),
        ((b"streamtype", b"stdin\0stdout"),),
    ],
)
def test_stream_without_a_known_type_is_reset_and_the_session_cut(
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    machine, writer = SpdyRemoteCommand(Side.SERVER), BlockWriter()
    events = machine.receive(writer.syn_stream(1, (b"streamtype", b"error")) + writer.syn_stream(3, *headers))
    assert events[0] == ChannelOpened(Channel.ERROR)
    assert isinstance(events[1], Failed)
    assert machine.data_to_send() == reset(3, 1) + goaway(3, 1)
    assert machine.receive(writer.syn_stream(5, (b"streamtype", b"stdin"))) == []


def test_second_stream_of_a_type_is_reset_and_the_session_cut_even_after_the_first_is_gone() -> None:
    for is_gone in (False, True):
        machine, writer = SpdyRemoteCommand(Side.SERVER), BlockWriter()
        machine.receive(writer.syn_stream(1, (b"streamtype", b"stdin")) + (reset(1) if is_gone else b""))
        (failed,) = machine.receive(writer.syn_stream(3, (b"streamtype", b"stdin")))
        assert isinstance(failed, Failed)
        assert "before" in failed.error.why
        assert machine.data_to_send() == reset(3, 1) + goaway(3, 1)


def test_sixth_stream_is_cut_too() -> None:
    machine, writer = SpdyRemoteCommand(Side.SERVER), BlockWriter()
    for stream_id, name in enumerate((b"error", b"stdin", b"stdout", b"stderr", b"resize")):
        machine.receive(writer.syn_stream(2 * stream_id + 1, (b"streamtype", name)))
    assert isinstance(machine.receive(writer.syn_stream(11, (b"streamtype", b"stdin")))[-1], Failed)


@pytest.mark.parametrize(
    ("protocol", "channel"),
    [(V4, Channel.DATA), (V4, Channel.STDIN), ("v2.channel.k8s.io", Channel.RESIZE), (V4, Channel.ERROR)],
)
def test_opening_what_does_not_exist_or_twice_is_our_error(protocol: str, channel: Channel) -> None:
    machine = SpdyRemoteCommand(Side.CLIENT, protocol)
    machine.send(ChannelOpened(Channel.STDIN))
    machine.send(ChannelOpened(Channel.ERROR))
    machine.receive(reset(3))
    with pytest.raises(LocalProtocolError):
        machine.send(ChannelOpened(channel))


def test_unknown_protocol_is_our_error() -> None:
    for protocol in ("v9.channel.k8s.io", "v4.base64.channel.k8s.io", "portforward.k8s.io"):
        with pytest.raises(LocalProtocolError):
            SpdyRemoteCommand(Side.SERVER, protocol)
    for protocol in ("v2.channel.k8s.io", "v5.base64.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"):
        with pytest.raises(LocalProtocolError):
            WebSocketRemoteCommand(Side.SERVER, protocol, websocket=FakeWebSocket())


# --- WebSocket: receiving -------------------------------------------------------------------------


def test_messages_of_kubectl_are_read() -> None:
    size = b'{"Width":120,"Height":40}\n'
    messages = (
        b"\x04" + size,
        b"\x00ls\r",
        bytes.fromhex("006162630a"),
        b"\xff\x00",
        Ping(),
        WebSocketClosed(1000),
    )
    assert told(Side.SERVER, V5, *messages) == [
        ChannelData(Channel.RESIZE, size),
        ChannelData(STDIN, b"ls\r"),
        ChannelData(STDIN, b"abc\n"),
        ChannelEnded(STDIN),
        Ping(),
        TunnelClosed(1000),
    ]


def test_messages_of_a_cluster_are_read() -> None:
    status = b'{"metadata":{},"status":"Success"}'
    messages = (
        b"\x01",
        b"\x01hello\n",
        b"\x02",
        b"\x02oops",
        b"\x03" + status,
        Pong(b"1"),
        WebSocketClosed(1005),
    )
    assert told(Side.CLIENT, V5, *messages, PeerClosed()) == [
        ChannelData(STDOUT, b""),
        ChannelData(STDOUT, b"hello\n"),
        ChannelData(STDERR, b""),
        ChannelData(STDERR, b"oops"),
        ChannelData(Channel.ERROR, status),
        Pong(b"1"),
        TunnelClosed(1005),
        PeerClosed(),
    ]


@pytest.mark.parametrize("subprotocol", sorted(WEBSOCKET_PROTOCOLS))
def test_pieces_of_output_are_told_as_they_come(subprotocol: str) -> None:
    whole = b"0" * 5 + b"1" * 5
    is_base64 = "base64" in subprotocol
    message = b"1" + b64encode(whole) if is_base64 else b"\x01" + whole
    for place in range(1, len(message)):
        chunks = [
            MessageChunk(message[:place], is_base64, True, False),
            MessageChunk(message[place:], is_base64, False, True),
        ]
        events = told(Side.CLIENT, subprotocol, *chunks)
        assert all(isinstance(event, ChannelData) and event.data for event in events)
        assert joined(events) == [ChannelData(STDOUT, whole)]


def test_result_and_size_are_told_whole_however_they_come() -> None:
    for side, channel in ((Side.CLIENT, Channel.ERROR), (Side.SERVER, Channel.RESIZE)):
        message = bytes((channel,)) + b'{"a":1}'
        chunks = [
            MessageChunk(message[at : at + 1], False, at == 0, at == len(message) - 1)
            for at in range(len(message))
        ]
        assert told(side, V4, *chunks) == [ChannelData(channel, b'{"a":1}')]
        assert told(
            side,
            V4,
            *chunks[:-1],
            MessageChunk(chunks[-1].data, False, False, False),
            MessageChunk(b"", False, False, True),
        ) == [ChannelData(channel, b'{"a":1}')]
        assert told(side, V4, bytes((channel,)), message) == [
            ChannelData(channel, b""),
            ChannelData(channel, b'{"a":1}'),
        ]


def test_endless_result_is_cut() -> None:
    piece = MessageChunk(b"\x03" + b"x" * MAX_WHOLE_BYTES, False, True, False)
    assert told(Side.CLIENT, V4, piece) == []
    (failed,) = told(Side.CLIENT, V4, piece, MessageChunk(b"x", False, False, False))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, TooLarge)


def test_empty_messages_are_ignored() -> None:
    empty_in_pieces = (MessageChunk(b"", False, True, False), MessageChunk(b"", False, False, True))
    assert told(Side.SERVER, V5, b"", MessageChunk(b"", True), *empty_in_pieces, b"\x00x") == [
        ChannelData(STDIN, b"x")
    ]
    late = (MessageChunk(b"", False, True, False), MessageChunk(b"\x00x", False, False, True))
    assert told(Side.SERVER, V5, *late) == [ChannelData(STDIN, b"x")]


def test_text_messages_are_read_in_raw_forms_too() -> None:
    assert told(Side.SERVER, V4, MessageChunk(b"\x00ls", True)) == [ChannelData(STDIN, b"ls")]
    assert told(Side.SERVER, V4_BASE64, b"0bHM=") == [ChannelData(STDIN, b"ls")]


@pytest.mark.parametrize(
    ("side", "subprotocol", "message"),
    [
        (Side.SERVER, V5, b"\x05x"),
        (Side.SERVER, V5, b"\x05"),
        (Side.SERVER, V5, b"\xfex"),
        (Side.SERVER, V4, b"\xff\x00"),
        (Side.CLIENT, V5, b"\xff\x00"),
        (Side.SERVER, V5, b"\xff"),
        (Side.SERVER, V5, b"\xff\x00\x00"),
        (Side.SERVER, V5, b"\xff\x05"),
        (Side.SERVER, V5, b"\xff\xff"),
        (Side.SERVER, V5, b"\x01x"),
        (Side.SERVER, V5, b"\x02x"),
        (Side.SERVER, V5, b"\x03x"),
        (Side.CLIENT, V5, b"\x00x"),
        (Side.CLIENT, V5, b"\x04x"),
        (Side.SERVER, V4_BASE64, b"\x00bHM="),
        (Side.SERVER, V4_BASE64, b"5bHM="),
        (Side.SERVER, V4_BASE64, b"0bHM"),
        (Side.SERVER, V4_BASE64, b"0bH"),
        (Side.SERVER, V4_BASE64, b"0b=M="),
        (Side.SERVER, V4_BASE64, b"0bHM=bHM="),
        (Side.SERVER, V4_BASE64, b"0b-_="),
        (Side.SERVER, V4_BASE64, b"0===="),
    ],
)
def test_message_that_means_nothing_cuts_the_session(side: Side, subprotocol: str, message: bytes) -> None:
    machine, below = over_fake(side, subprotocol)
    below.incoming = [Ping(), MessageChunk(message), MessageChunk(b"\x00late")]
    before, failed = machine.receive(b".")
    assert before == Ping()
    assert isinstance(failed, Failed)
    assert below.sent == [WebSocketClosed(1002)]
    below.incoming = [MessageChunk(b"\x00late")]
    assert machine.receive(b".") == []
    machine.send(ChannelData(STDOUT, b"x"))
    assert len(below.sent) == 1


def test_channel_byte_alone_on_a_channel_of_the_other_direction_means_nothing() -> None:
    assert told(Side.SERVER, V5, b"\x01", b"\x00") == [ChannelData(STDIN, b"")]


def test_nothing_may_follow_the_end_of_a_channel() -> None:
    assert told(Side.SERVER, V5, b"\xff\x00", b"\xff\x00", b"\x00") == [
        ChannelEnded(STDIN),
        ChannelData(STDIN, b""),
    ]
    assert isinstance(told(Side.SERVER, V5, b"\xff\x00", b"\x00x")[-1], Failed)
    assert told(Side.SERVER, V5, b"\xff\x04", b"\x00x") == [
        ChannelEnded(Channel.RESIZE),
        ChannelData(STDIN, b"x"),
    ]


def test_close_signal_may_come_in_pieces() -> None:
    pieces = (b"\xff", b"\x00", b"")
    chunks = [MessageChunk(piece, False, at == 0, at == 2) for at, piece in enumerate(pieces)]
    assert told(Side.SERVER, V5, *chunks) == [ChannelEnded(STDIN)]


def test_base64_with_line_ends_and_padding_is_read() -> None:
    assert told(Side.SERVER, V4_BASE64, b"0bH\r\nM=\n") == [ChannelData(STDIN, b"ls")]
    chunks = (MessageChunk(b"0bHM=", True, True, False), MessageChunk(b"\n", True, False, True))
    assert told(Side.SERVER, V4_BASE64, *chunks) == [ChannelData(STDIN, b"ls")]
    more = (MessageChunk(b"0bHM=", True, True, False), MessageChunk(b"bHM=", True, False, True))
    assert isinstance(told(Side.SERVER, V4_BASE64, *more)[-1], Failed)


# --- WebSocket: sending ---------------------------------------------------------------------------


def test_what_is_sent_to_a_cluster() -> None:
    assert said(
        Side.CLIENT,
        V5,
        ChannelData(STDIN, b"ls\r"),
        ChannelData(STDIN, b""),
        ChannelData(Channel.RESIZE, b"{}"),
        Ping(b"1"),
        ChannelEnded(STDIN),
        ChannelEnded(STDIN),
        ChannelData(STDIN, b"late"),
        ChannelEnded(STDOUT),
        ChannelOpened(STDIN),
        ChannelReset(STDIN),
        TunnelClosed(1000),
        ChannelData(STDIN, b"late"),
    ) == [
        MessageChunk(b"\x00ls\r"),
        MessageChunk(b"\x00"),
        MessageChunk(b"\x04{}"),
        Ping(b"1"),
        MessageChunk(b"\xff\x00"),
        WebSocketClosed(1000),
    ]


def test_what_is_sent_to_a_client() -> None:
    for subprotocol in (V4, V5, "", "channel.k8s.io"):
        assert said(
            Side.SERVER,
            subprotocol,
            ChannelAccepted(STDIN),
            ChannelData(STDOUT, b""),
            ChannelData(STDERR, b"x"),
            ChannelEnded(STDOUT),
            ChannelData(Channel.ERROR, b"{}"),
            TunnelClosed(1005, ""),
        ) == [MessageChunk(b"\x01"), MessageChunk(b"\x02x"), MessageChunk(b"\x03{}"), WebSocketClosed(1000)]


def test_end_of_stdin_cannot_be_said_before_v5() -> None:
    assert said(Side.CLIENT, V4, ChannelEnded(STDIN), ChannelData(STDIN, b"x")) == [MessageChunk(b"\x00x")]


def test_base64_forms_are_text_with_a_digit_in_front() -> None:
    for subprotocol in ("base64.channel.k8s.io", V4_BASE64):
        assert said(Side.SERVER, subprotocol, ChannelData(STDOUT, b"hi"), ChannelData(STDOUT, b"")) == [
            MessageChunk(b"1aGk=", True),
            MessageChunk(b"1", True),
        ]


def test_long_output_is_several_whole_messages_and_a_result_is_one() -> None:
    long = b"x" * (MAX_SENT_DATA_BYTES + 1)
    sent = said(Side.SERVER, V5, ChannelData(STDOUT, long), ChannelData(Channel.ERROR, long))
    assert sent == [MessageChunk(b"\x01" + long[:-1]), MessageChunk(b"\x01x"), MessageChunk(b"\x03" + long)]


def test_writing_what_the_other_side_writes_is_our_error() -> None:
    for side, channel in ((Side.SERVER, STDIN), (Side.CLIENT, STDOUT), (Side.CLIENT, Channel.DATA)):
        with pytest.raises(LocalProtocolError):
            said(side, V5, ChannelData(channel, b"x"))
    with pytest.raises(LocalProtocolError):
        said(Side.CLIENT, V5, EndOfBody())


def test_nothing_is_sent_after_the_peers_close() -> None:
    machine, below = over_fake(Side.SERVER)
    below.incoming = [WebSocketClosed(1001, "going")]
    assert machine.receive(b".") == [TunnelClosed(1001, "going")]
    machine.send(ChannelData(STDOUT, b"late"))
    machine.send(TunnelClosed())
    assert below.sent == []


# --- relays ---------------------------------------------------------------------------------------

CLIENT_DATA = st.sampled_from([STDIN, Channel.RESIZE])
SERVER_DATA = st.sampled_from([STDOUT, STDERR, Channel.ERROR])
DATA = st.binary(min_size=1, max_size=300)
STEPS = st.lists(
    st.one_of(
        st.builds(lambda channel, data: ("client", ChannelData(channel, data)), CLIENT_DATA, DATA),
        st.builds(lambda channel, data: ("cluster", ChannelData(channel, data)), SERVER_DATA, DATA),
        st.sampled_from(
            [("client", ChannelEnded(STDIN)), ("client", Ping()), ("cluster", Ping()), ("pump", None)]
        ),
    ),
    max_size=25,
)


def run(relay: Relay, steps: list[tuple[str, Event | None]]) -> dict[str, list[Event]]:
    """Play the steps; what each end said, without pings and without what follows an end."""
    sent: dict[str, list[Event]] = {"client": [], "cluster": []}
    ended = False
    for who, event in steps:
        if event is None:
            relay.pump()
            continue
        is_late = ended and isinstance(event, ChannelData | ChannelEnded) and event.channel is STDIN
        if is_late:
            continue
        ended = ended or isinstance(event, ChannelEnded)
        (relay.client if who == "client" else relay.cluster).send(event)
        if not isinstance(event, Ping):
            sent[who].append(event)
    relay.pump()
    return sent


def without_pings(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Ping | Pong)]


@settings(max_examples=80, deadline=None)
@given(STEPS, st.permutations(list(Channel)[:5]), st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_spdy_relay_loses_and_changes_nothing(
    steps: list[tuple[str, Event | None]], order: list[Channel], sizes: list[int]
) -> None:
    relay = Relay(lambda side: SpdyRemoteCommand(side, V4), sizes)
    opened: list[Event] = [ChannelOpened(channel) for channel in order]
    for event in opened:
        relay.client.send(event)
    relay.pump()
    assert relay.at_cluster == opened
    accepted: list[Event] = [ChannelAccepted(channel) for channel in order]
    for event in accepted:
        relay.cluster.send(event)
    relay.pump()
    sent = run(relay, [*steps, ("cluster", ChannelReset(Channel.ERROR)), ("cluster", TunnelClosed())])
    assert joined(without_pings(relay.at_cluster)) == joined(opened + sent["client"])
    assert joined(without_pings(relay.at_client)) == joined(accepted + sent["cluster"])
    assert stream_ids(relay.from_client) == stream_ids(relay.to_cluster) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize("subprotocol", sorted(WEBSOCKET_PROTOCOLS))
def test_websocket_relay_loses_and_changes_nothing(subprotocol: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(STEPS, st.lists(st.integers(1, 200), min_size=1, max_size=8))
    def check(steps: list[tuple[str, Event | None]], sizes: list[int]) -> None:
        if subprotocol != V5:
            steps = [step for step in steps if step != ("client", ChannelEnded(STDIN))]
        relay = Relay(lambda side: WebSocketRemoteCommand(side, subprotocol), sizes)
        sent = run(
            relay, [("cluster", ChannelData(STDOUT, b"")), *steps, ("cluster", TunnelClosed(1000, "done"))]
        )
        assert joined(without_pings(relay.at_cluster))[: len(joined(sent["client"]))] == joined(
            sent["client"]
        )
        assert joined(without_pings(relay.at_client)) == joined(sent["cluster"])

    check()


def test_killed_session_tells_its_user_why_over_either_transport() -> None:
    events = closing_events("exec", False, "revoked by ops")
    spdy = Relay(lambda side: SpdyRemoteCommand(side, V4), [7])
    for channel in (Channel.ERROR, STDOUT, STDERR):
        spdy.client.send(ChannelOpened(channel))
    spdy.pump()
    websocket = Relay(lambda side: WebSocketRemoteCommand(side, V5), [7])
    for relay in (spdy, websocket):
        for event in events:
            relay.front.send(event)
        relay.pump()
    told_over_spdy = [event for event in spdy.at_client if not isinstance(event, ChannelAccepted)]
    assert joined(told_over_spdy) == events
    assert joined(websocket.at_client) == [event for event in events if not isinstance(event, ChannelEnded)]


def test_session_killed_twice_or_late_is_no_error() -> None:
    for machine in (SpdyRemoteCommand(Side.SERVER, V4), WebSocketRemoteCommand(Side.SERVER, V5)):
        for event in 2 * closing_events("exec", True, "bye"):
            machine.send(event)
        machine.data_to_send()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(sorted(WEBSOCKET_PROTOCOLS)), st.booleans())
def test_random_messages_never_raise(noise: bytes, subprotocol: str, is_text: bool) -> None:
    for side in Side:
        machine, below = over_fake(side, subprotocol)
        half = len(noise) // 2
        below.incoming = [
            MessageChunk(noise[:1], is_text),
            MessageChunk(noise[1:half], is_text, True, False),
            MessageChunk(noise[half:], is_text, False, True),
        ]
        assert all(not isinstance(event, Failed) for event in machine.receive(b".")[:-1])
