import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import portforward
from protocol.errors import Flooding, LocalProtocolError
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
    Failed,
    MessageChunk,
    PeerClosed,
    Ping,
    Pong,
    TunnelClosed,
    WebSocketClosed,
)
from protocol.portforward import (
    MAX_CONNECTIONS,
    MAX_LEGACY_BASE64_PORTS,
    MAX_LEGACY_PORTS,
    LegacyWebSocketPortForward,
    SpdyPortForward,
    WebSocketTunnelPortForward,
)
from protocol.remotecommand_messages import closing_events
from protocol.side import Side
from protocol.spdy_headers import HeaderDecoder
from protocol.websocket import WebSocketConnection
from protocol.websocket_channels import MAX_SENT_DATA_BYTES
from tests.kit.cutting import cut, joined, receive_all
from tests.kit.fake_websocket import FakeWebSocket
from tests.kit.spdy_bytes import BlockWriter, data_frame, goaway, ping, reset
from tests.kit.tunnel_relay import Relay, stream_ids

ERROR, DATA = Channel.FORWARD_ERROR, Channel.DATA


def stream(
    writer: BlockWriter, stream_id: int, kind: bytes, port: bytes = b"80", request_id: bytes | None = b"0"
) -> bytes:
    pairs = [(b"streamtype", kind), (b"port", port)]
    if request_id is not None:
        pairs.append((b"requestid", request_id))
    return writer.syn_stream(stream_id, *pairs)


def pair(writer: BlockWriter, number: int) -> bytes:
    """The two streams kubectl opens for its n-th connection, as ids 4n + 1 and 4n + 3."""
    request_id = b"%d" % number
    return stream(writer, 4 * number + 1, b"error", b"80", request_id) + stream(
        writer, 4 * number + 3, b"data", b"80", request_id
    )


# --- SPDY -----------------------------------------------------------------------------------------


def test_connection_of_kubectl_is_read() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    assert machine.receive(stream(writer, 1, b"error", b"8080")) == [ChannelOpened(ERROR, 0, 8080)]
    machine.send(ChannelAccepted(ERROR, 0))
    assert machine.receive(data_frame(1, b"", 1) + stream(writer, 3, b"data", b"8080")) == [
        ChannelEnded(ERROR, 0),
        ChannelOpened(DATA, 0, 8080),
    ]
    machine.send(ChannelAccepted(DATA, 0))
    assert machine.receive(data_frame(3, b"HELLO") + data_frame(3, b"", 1) + ping(1)) == [
        ChannelData(DATA, b"HELLO", 0),
        ChannelEnded(DATA, 0),
        Ping(bytes.fromhex("00000001")),
    ]


def test_what_is_sent_to_a_cluster_is_what_kubectl_sends() -> None:
    machine = SpdyPortForward(Side.CLIENT)
    machine.send(ChannelOpened(ERROR, 7, 443))
    machine.send(ChannelOpened(DATA, 7, 443))
    sent = machine.data_to_send()
    assert stream_ids(sent) == [1, 3]
    decoder, position = HeaderDecoder(), 0
    for kind in (b"error", b"data"):
        length = int.from_bytes(sent[position + 5 : position + 8])
        headers = decoder.decode(sent[position + 18 : position + 8 + length])
        assert headers == ((b"streamtype", kind), (b"port", b"443"), (b"requestid", b"7"))
        position += 8 + length


def test_failure_text_of_a_cluster_is_told() -> None:
    machine, writer = SpdyPortForward(Side.CLIENT), BlockWriter()
    machine.send(ChannelOpened(ERROR, 0, 80))
    machine.send(ChannelOpened(DATA, 0, 80))
    answers = writer.syn_reply(1) + writer.syn_reply(3) + data_frame(1, b"error forwarding port 80")
    assert machine.receive(answers + reset(1) + reset(3)) == [
        ChannelAccepted(ERROR, 0),
        ChannelAccepted(DATA, 0),
        ChannelData(ERROR, b"error forwarding port 80", 0),
        ChannelReset(ERROR, 0, 5),
        ChannelReset(DATA, 0, 5),
    ]


@pytest.mark.parametrize(
    ("kind", "port", "request_id"),
    [
        (b"", b"80", b"0"),
        (b"Data", b"80", b"0"),
        (b"stdin", b"80", b"0"),
        (b"data\0error", b"80", b"0"),
        (b"data", b"", b"0"),
        (b"data", b"0", b"0"),
        (b"data", b"65536", b"0"),
        (b"data", b"-1", b"0"),
        (b"data", b"+80", b"0"),
        (b"data", b"8 0", b"0"),
        (b"data", b"000080", b"0"),
        (b"data", b"80\x0081", b"0"),
        (b"data", b"\xd9\xa1", b"0"),
        (b"data", b"80", b""),
        (b"data", b"80", b"00"),
        (b"data", b"80", b"-1"),
        (b"data", b"80", b"x"),
        (b"data", b"80", b"2147483648"),
        (b"data", b"80", b"99999999999"),
        (b"data", b"80", None),
    ],
)
def test_stream_that_makes_no_connection_is_reset_and_the_others_go_on(
    kind: bytes, port: bytes, request_id: bytes | None
) -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    bad = stream(writer, 1, kind, port, request_id)
    assert machine.receive(bad + data_frame(1, b"x")) == []
    assert machine.data_to_send() == reset(1, 1)
    assert machine.receive(stream(writer, 3, b"error")) == [ChannelOpened(ERROR, 0, 80)]


def test_largest_port_and_request_id_are_read() -> None:
    opened = SpdyPortForward(Side.SERVER).receive(stream(BlockWriter(), 1, b"data", b"65535", b"2147483647"))
    assert opened == [ChannelOpened(DATA, 2**31 - 1, 65535)]


def test_second_stream_of_a_kind_is_reset_while_the_first_lives() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    machine.receive(pair(writer, 0))
    assert machine.receive(stream(writer, 5, b"data", b"80", b"0")) == []
    assert machine.data_to_send() == reset(5, 1)
    machine.receive(reset(3))
    assert machine.receive(stream(writer, 7, b"data", b"80", b"0")) == [ChannelOpened(DATA, 0, 80)]


def test_pair_with_two_ports_is_not_made() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    machine.receive(stream(writer, 1, b"error", b"80"))
    assert machine.receive(stream(writer, 3, b"data", b"22")) == []
    assert machine.data_to_send() == reset(3, 1)
    assert machine.receive(stream(writer, 5, b"data", b"80")) == [ChannelOpened(DATA, 0, 80)]


def test_streams_without_request_id_pair_by_their_ids() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    opened = machine.receive(
        b"".join(
            stream(writer, n, kind, b"80", None)
            for n, kind in ((1, b"error"), (3, b"data"), (5, b"error"), (7, b"data"))
        )
    )
    assert opened == [ChannelOpened(kind, n, 80) for n in (1, 5) for kind in (ERROR, DATA)]


def test_bad_streams_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portforward, "MAX_BAD_STREAMS", 5)
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    for stream_id in range(1, 11, 2):
        assert machine.receive(stream(writer, stream_id, b"x")) == []
    (failed,) = machine.receive(stream(writer, 11, b"x"))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, Flooding)


def test_one_connection_too_many_is_refused_and_its_place_is_free_again_later() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    opened = machine.receive(b"".join(pair(writer, number) for number in range(MAX_CONNECTIONS)))
    assert len(opened) == 2 * MAX_CONNECTIONS
    assert machine.receive(pair(writer, MAX_CONNECTIONS)) == []
    assert machine.data_to_send() == reset(4 * MAX_CONNECTIONS + 1, 3) + reset(4 * MAX_CONNECTIONS + 3, 3)
    for channel in (ERROR, DATA):
        machine.send(ChannelReset(channel, 5))
    assert len(machine.receive(pair(writer, MAX_CONNECTIONS + 1))) == 2


def test_long_life_leaves_nothing_behind() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    for number in range(300):
        machine.receive(pair(writer, number))
        machine.send(ChannelAccepted(ERROR, number))
        machine.send(ChannelAccepted(DATA, number))
        machine.receive(data_frame(4 * number + 1, b"", 1) + data_frame(4 * number + 3, b"x", 1))
        machine.send(ChannelEnded(ERROR, number))
        machine.send(ChannelEnded(DATA, number))
        machine.data_to_send()
    assert not machine._by_id
    assert not machine._by_channel


def test_client_that_writes_on_an_error_stream_is_cut() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    machine.receive(pair(writer, 0))
    machine.send(ChannelAccepted(ERROR, 0))
    assert isinstance(machine.receive(data_frame(1, b"x"))[-1], Failed)


@pytest.mark.parametrize(
    "event",
    [
        ChannelOpened(Channel.STDIN, 0, 80),
        ChannelOpened(DATA, 0, 0),
        ChannelOpened(DATA, 0, 65536),
        ChannelOpened(DATA, -1, 80),
        ChannelOpened(ERROR, 1, 80),
        ChannelData(ERROR, b"x", 1),
    ],
)
def test_misuse_is_our_error(event: Event) -> None:
    machine = SpdyPortForward(Side.CLIENT)
    machine.send(ChannelOpened(ERROR, 1, 80))
    with pytest.raises(LocalProtocolError):
        machine.send(event)


def test_denied_port_is_answered_with_a_text() -> None:
    machine, writer = SpdyPortForward(Side.SERVER), BlockWriter()
    machine.receive(pair(writer, 0))
    machine.data_to_send()
    for event in closing_events("portforward", False, "port 80 is denied", connections=(0,)):
        machine.send(event)
    sent = machine.data_to_send()
    assert sent.count(bytes.fromhex("80030002")) == 2
    assert data_frame(1, b"port 80 is denied") + data_frame(1, b"", 1) in sent
    assert sent.endswith(data_frame(3, b"", 1) + goaway(3))


# --- the tunnel -----------------------------------------------------------------------------------


def tunnel(side: Side) -> tuple[WebSocketTunnelPortForward, FakeWebSocket]:
    below = FakeWebSocket()
    return WebSocketTunnelPortForward(side, websocket=below), below


def first_messages_of_kubectl() -> list[bytes]:
    """SYN_STREAM 1 field by field, FIN on 1 (with its empty message), SYN_STREAM 3, data on 3."""
    writer = BlockWriter()
    first, second = stream(writer, 1, b"error"), stream(writer, 3, b"data")
    places = (2, 4, 8, 12, 16, 17, 18)
    return [*cut(first, places), *cut(data_frame(1, b"", 1), (4,)), b"", *cut(second, places)]


def test_messages_of_kubectl_are_read_whatever_their_borders() -> None:
    machine, below = tunnel(Side.SERVER)
    below.incoming = [MessageChunk(message) for message in first_messages_of_kubectl()]
    # The FIN comes before our reply here, so it is lost, as it is in spdystream.
    assert machine.receive(b".") == [ChannelOpened(ERROR, 0, 80), ChannelOpened(DATA, 0, 80)]
    machine.send(ChannelAccepted(DATA, 0))
    below.incoming = [MessageChunk(part) for part in cut(data_frame(3, b"HELLO"), (4, 8))]
    below.incoming += [
        MessageChunk(ping(1)[:3], False, True, False),
        MessageChunk(ping(1)[3:], False, False, True),
    ]
    assert machine.receive(b".") == [ChannelData(DATA, b"HELLO", 0), Ping(bytes.fromhex("00000001"))]
    machine.data_to_send()
    (message,) = below.sent
    assert isinstance(message, MessageChunk)
    assert message.data.startswith(bytes.fromhex("80030002"))
    assert message.data.endswith(ping(1))
    assert (message.text, message.first, message.last) == (False, True, True)


def test_text_message_cuts_the_tunnel() -> None:
    machine, below = tunnel(Side.SERVER)
    below.incoming = [MessageChunk(ping(1), True), MessageChunk(ping(3))]
    (failed,) = machine.receive(b".")
    assert isinstance(failed, Failed)
    assert below.sent == [WebSocketClosed(1002)]
    assert machine.receive(b".") == []


def test_spdy_error_is_answered_inside_and_outside() -> None:
    machine, below = tunnel(Side.SERVER)
    below.incoming = [MessageChunk(ping(1) + data_frame(0)), MessageChunk(ping(3))]
    events = machine.receive(b".")
    assert [type(event) for event in events] == [Ping, Failed]
    assert below.sent == [MessageChunk(ping(1) + goaway(0, 1)), WebSocketClosed(1002)]
    machine.send(TunnelClosed())
    assert machine.data_to_send() == b""


def test_failure_below_is_passed_on_and_not_answered_again() -> None:
    machine = WebSocketTunnelPortForward(Side.SERVER)
    (failed,) = machine.receive(b"\x82\x00")  # not masked
    assert isinstance(failed, Failed)
    assert machine.data_to_send() == bytes.fromhex("8802 03ea")


@pytest.mark.parametrize(
    ("incoming", "closed"),
    [
        ([MessageChunk(goaway())], TunnelClosed(1000)),
        ([MessageChunk(goaway(0, 2)), WebSocketClosed(1000)], TunnelClosed(1011)),
        ([WebSocketClosed(1001, "bye")], TunnelClosed(1001, "bye")),
        ([MessageChunk(ping(1)[:5]), WebSocketClosed(1000)], TunnelClosed(1000)),
    ],
)
def test_goodbye_is_told_once_however_it_is_said(incoming: list[Event], closed: TunnelClosed) -> None:
    machine, below = tunnel(Side.CLIENT)
    below.incoming = [*incoming, PeerClosed()]
    assert machine.receive(b".") == [closed, PeerClosed()]
    below.incoming = [WebSocketClosed(1000)]
    assert machine.receive(b".") == []


def test_goodbye_is_said_in_both_protocols() -> None:
    machine, below = tunnel(Side.CLIENT)
    machine.send(Ping())
    machine.send(TunnelClosed(1005))
    machine.send(TunnelClosed())
    machine.send(Ping())
    machine.data_to_send()
    assert below.sent == [MessageChunk(ping(1) + goaway()), WebSocketClosed(1000)]


def test_answer_to_what_came_with_the_close_is_dropped() -> None:
    machine, below = tunnel(Side.SERVER)
    below.incoming = [MessageChunk(ping(1)), WebSocketClosed(1000)]
    machine.receive(b".")
    machine.send(TunnelClosed())
    assert machine.data_to_send() == b""
    assert below.sent == []


def test_much_data_is_several_messages() -> None:
    machine, below = tunnel(Side.CLIENT)
    machine.send(ChannelOpened(DATA, 0, 80))
    machine.data_to_send()
    below.incoming = [MessageChunk(BlockWriter().syn_reply(1))]
    machine.receive(b".")
    below.sent.clear()
    machine.send(ChannelData(DATA, bytes(3 * MAX_SENT_DATA_BYTES), 0))
    machine.data_to_send()
    chunks = [event for event in below.sent if isinstance(event, MessageChunk)]
    assert [len(chunk.data) for chunk in chunks] == [MAX_SENT_DATA_BYTES] * 3 + [24]


# --- legacy -----------------------------------------------------------------------------------------

RAW, BASE64 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io"


def legacy(
    side: Side, subprotocol: str = RAW, ports: tuple[int, ...] = (80, 443)
) -> tuple[LegacyWebSocketPortForward, FakeWebSocket]:
    below = FakeWebSocket()
    return LegacyWebSocketPortForward(side, ports, subprotocol, websocket=below), below


def test_server_begins_each_channel_with_its_port() -> None:
    machine, below = legacy(Side.SERVER)
    machine.send(ChannelAccepted(DATA, 0))
    machine.send(ChannelAccepted(ERROR, 0))
    machine.send(ChannelAccepted(DATA, 0))
    machine.send(ChannelData(DATA, b"hi", 0))
    machine.send(ChannelData(ERROR, b"refused", 1))
    machine.send(ChannelEnded(DATA, 0))
    machine.send(TunnelClosed())
    assert below.sent == [
        MessageChunk(b"\x00P\x00"),
        MessageChunk(b"\x01P\x00"),
        MessageChunk(b"\x00hi"),
        MessageChunk(b"\x03\xbb\x01"),
        MessageChunk(b"\x03refused"),
        WebSocketClosed(1000),
    ]


def test_client_reads_the_ports_as_acceptance() -> None:
    machine, below = legacy(Side.CLIENT)
    messages = (
        b"\x00",
        b"\x00P\x00",
        b"\x02\xbb\x01",
        b"\x01P\x00",
        b"\x03\xbb\x01",
        b"\x00hi",
        b"\x03refused",
        b"\x02",
    )
    below.incoming = [MessageChunk(message) for message in messages]
    assert machine.receive(b".") == [
        ChannelAccepted(DATA, 0),
        ChannelAccepted(DATA, 1),
        ChannelAccepted(ERROR, 0),
        ChannelAccepted(ERROR, 1),
        ChannelData(DATA, b"hi", 0),
        ChannelData(ERROR, b"refused", 1),
        ChannelData(DATA, b"", 1),
    ]
    machine.send(ChannelAccepted(DATA, 0))
    machine.send(ChannelData(DATA, b"up", 1))
    assert below.sent == [MessageChunk(b"\x02up")]


def test_port_may_come_in_pieces() -> None:
    machine, below = legacy(Side.CLIENT)
    pieces = (b"\x02\xbb", b"\x01", b"")
    below.incoming = [MessageChunk(piece, False, at == 0, at == 2) for at, piece in enumerate(pieces)]
    assert machine.receive(b".") == [ChannelAccepted(DATA, 1)]


@pytest.mark.parametrize(
    "message", [b"\x00Q\x00", b"\x00P", b"\x00P\x00x", b"\x00HTTP/1.1 200 OK", b"\x04x", b"\xff\x00"]
)
def test_channel_that_does_not_begin_with_its_port_is_cut(message: bytes) -> None:
    machine, below = legacy(Side.CLIENT)
    below.incoming = [MessageChunk(message)]
    assert isinstance(machine.receive(b".")[-1], Failed)
    assert below.sent == [WebSocketClosed(1002)]


def test_server_reads_data_and_no_errors() -> None:
    machine, below = legacy(Side.SERVER)
    below.incoming = [MessageChunk(message) for message in (b"\x02up", b"\x01", b"\x00", b"\x01x")]
    events = machine.receive(b".")
    assert events[:2] == [ChannelData(DATA, b"up", 1), ChannelData(DATA, b"", 0)]
    assert isinstance(events[2], Failed)


def test_data_comes_in_pieces_and_an_empty_end_means_nothing() -> None:
    machine, below = legacy(Side.SERVER)
    pieces = (b"\x00GE", b"T /", b"")
    below.incoming = [MessageChunk(piece, False, at == 0, at == 2) for at, piece in enumerate(pieces)]
    assert machine.receive(b".") == [ChannelData(DATA, b"GE", 0), ChannelData(DATA, b"T /", 0)]


def test_base64_form_is_text() -> None:
    machine, below = legacy(Side.SERVER, BASE64)
    machine.send(ChannelData(DATA, b"hi", 1))
    assert below.sent == [MessageChunk(b"2uwE=", True), MessageChunk(b"2aGk=", True)]
    client, below = legacy(Side.CLIENT, BASE64)
    below.incoming = [MessageChunk(b"2uwE=", True), MessageChunk(b"2aGk=", True)]
    assert client.receive(b".") == [ChannelAccepted(DATA, 1), ChannelData(DATA, b"hi", 1)]


def test_as_many_ports_as_channel_bytes_allow() -> None:
    for subprotocol, most in (("", MAX_LEGACY_PORTS), (BASE64, MAX_LEGACY_BASE64_PORTS)):
        machine, below = legacy(Side.SERVER, subprotocol, tuple(range(1, most + 1)))
        machine.send(ChannelAccepted(ERROR, most - 1))
        (message,) = below.sent
        assert isinstance(message, MessageChunk)
        assert message.data[0] == (255 if not subprotocol else 127)
        with pytest.raises(LocalProtocolError):
            legacy(Side.SERVER, subprotocol, tuple(range(1, most + 2)))


def test_what_does_not_exist_is_our_error() -> None:
    for subprotocol, ports in (("channel.k8s.io", (80,)), (RAW, ()), (RAW, (0,)), (RAW, (65536,))):
        with pytest.raises(LocalProtocolError):
            legacy(Side.SERVER, subprotocol, ports)
    for side, event in (
        (Side.SERVER, ChannelData(Channel.STDOUT, b"x")),
        (Side.SERVER, ChannelData(DATA, b"x", 2)),
        (Side.SERVER, ChannelAccepted(DATA, -1)),
        (Side.CLIENT, ChannelData(ERROR, b"x", 0)),
    ):
        with pytest.raises(LocalProtocolError):
            legacy(side)[0].send(event)


# --- relays -----------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["client", "cluster", "pump"]), st.integers(0, 2), st.binary(min_size=1, max_size=400)
    ),
    max_size=20,
)
SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=8)


def talk(relay: Relay, steps: list[tuple[str, int, bytes]]) -> dict[str, list[Event]]:
    sent: dict[str, list[Event]] = {"client": [], "cluster": []}
    for who, connection, data in steps:
        if who == "pump":
            relay.pump()
            continue
        event = ChannelData(DATA, data, connection)
        (relay.client if who == "client" else relay.cluster).send(event)
        sent[who].append(event)
    relay.pump()
    return sent


@pytest.mark.parametrize("make", [SpdyPortForward, WebSocketTunnelPortForward])
def test_relay_loses_and_changes_nothing(
    make: type[SpdyPortForward] | type[WebSocketTunnelPortForward],
) -> None:
    @settings(max_examples=40, deadline=None)
    @given(STEPS, SIZES)
    def check(steps: list[tuple[str, int, bytes]], sizes: list[int]) -> None:
        relay = Relay(make, sizes)
        opened: list[Event] = [
            ChannelOpened(channel, number, 8000 + number) for number in range(3) for channel in (ERROR, DATA)
        ]
        for event in opened:
            relay.client.send(event)
        relay.pump()
        assert relay.at_cluster == opened
        accepted = [ChannelAccepted(channel, number) for number in range(3) for channel in (ERROR, DATA)]
        for answer in accepted:
            relay.cluster.send(answer)
        relay.pump()
        sent = talk(relay, steps)
        ends: list[Event] = [ChannelEnded(DATA, 0), ChannelReset(DATA, 1), ChannelReset(ERROR, 2)]
        for event in ends:
            relay.client.send(event)
        relay.pump()
        relay.client.send(TunnelClosed())
        relay.pump()
        assert joined(relay.at_cluster) == joined(opened + sent["client"] + ends + [TunnelClosed()])
        assert joined(relay.at_client)[: len(accepted)] == accepted
        data = [event for event in relay.at_client[len(accepted) :] if isinstance(event, ChannelData)]
        assert joined(data) == joined(sent["cluster"])
        if make is SpdyPortForward:
            assert stream_ids(relay.from_client) == stream_ids(relay.to_cluster) == [1, 3, 5, 7, 9, 11]

    check()


@pytest.mark.parametrize("subprotocol", ["", RAW, BASE64])
def test_legacy_relay_loses_and_changes_nothing(subprotocol: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(STEPS, SIZES)
    def check(steps: list[tuple[str, int, bytes]], sizes: list[int]) -> None:
        relay = Relay(lambda side: LegacyWebSocketPortForward(side, (80, 443, 22), subprotocol), sizes)
        accepted: list[Event] = [
            ChannelAccepted(channel, number) for number in range(3) for channel in (DATA, ERROR)
        ]
        for event in accepted:
            relay.cluster.send(event)
        relay.pump()
        sent = talk(relay, steps)
        relay.cluster.send(TunnelClosed(1000, "done"))
        relay.pump()
        assert joined(relay.at_cluster)[: len(joined(sent["client"]))] == joined(sent["client"])
        assert joined(relay.at_client) == joined(accepted + sent["cluster"] + [TunnelClosed(1000, "done")])

    check()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_mutated_bytes_never_raise(data: st.DataObject) -> None:
    writer = BlockWriter()
    stream_bytes = bytearray(
        pair(writer, 0) + data_frame(3, b"abc") + ping(1) + pair(writer, 1) + reset(5) + goaway()
    )
    for _ in range(data.draw(st.integers(1, 6))):
        stream_bytes[data.draw(st.integers(0, len(stream_bytes) - 1))] = data.draw(st.integers(0, 255))
    parts = cut(bytes(stream_bytes), data.draw(st.lists(st.integers(0, 1000), max_size=5)))
    for side in Side:
        other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
        wire = WebSocketConnection(other)
        for part in parts:
            wire.send(MessageChunk(part))
        machines = (
            (SpdyPortForward(side), parts),
            (WebSocketTunnelPortForward(side), [wire.data_to_send()]),
            (LegacyWebSocketPortForward(side, (80,)), parts),
        )
        for machine, received in machines:
            events = receive_all(machine, [*received, b""])
            assert all(not isinstance(event, Failed) for event in events[:-1])
            machine.data_to_send()


def test_pongs_of_a_tunnel_are_told() -> None:
    machine, below = tunnel(Side.CLIENT)
    machine.send(Ping())
    below.incoming = [MessageChunk(ping(1)), Pong(b"outside")]
    assert machine.receive(b".") == [Pong(struct.pack(">I", 1)), Pong(b"outside")]
