import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol import spdy
from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import (
    ChannelEnded,
    Event,
    Failed,
    PeerClosed,
    Ping,
    Pong,
    SpdyData,
    SpdyGoAway,
    SpdyReset,
    SpdyStreamOpened,
    SpdyStreamReplied,
)
from protocol.side import Side
from protocol.spdy import MAX_HELD_BYTES, MAX_SENT_DATA_BYTES, SpdyConnection
from protocol.spdy_headers import DICTIONARY
from tests.kit import spdy_bytes
from tests.kit.cutting import cut, cut_evenly, joined, receive_all
from tests.kit.spdy_bytes import BlockWriter, control, data_frame, goaway, ping, reset

STDIN = ((b"streamtype", b"stdin"),)


def server(**options: int) -> SpdyConnection:
    return SpdyConnection(Side.SERVER, **options)


def client() -> SpdyConnection:
    return SpdyConnection(Side.CLIENT)


def open_server(*stream_ids: int) -> tuple[SpdyConnection, BlockWriter]:
    """A server whose client opened these streams, all replied to."""
    machine, writer = server(), BlockWriter()
    for stream_id in stream_ids:
        machine.receive(writer.syn_stream(stream_id, *STDIN))
        machine.send(SpdyStreamReplied(stream_id))
    machine.data_to_send()
    return machine, writer


def open_client(*stream_ids: int) -> tuple[SpdyConnection, BlockWriter]:
    """A client whose streams the server replied to."""
    machine, writer = client(), BlockWriter()
    for stream_id in stream_ids:
        machine.send(SpdyStreamOpened(stream_id, STDIN))
        machine.receive(writer.syn_reply(stream_id))
    machine.data_to_send()
    return machine, writer


def failure(machine: SpdyConnection, data: bytes) -> RemoteProtocolError:
    last = machine.receive(data)[-1]
    assert isinstance(last, Failed)
    return last.error


# --- what kubectl sends ------------------------------------------------------------------------


def test_exec_of_kubectl_is_read() -> None:
    machine = server()
    opened = machine.receive(spdy_bytes.KUBECTL_EXEC)
    kinds = (b"error", b"stdin", b"stdout", b"stderr")
    assert opened == [
        SpdyStreamOpened(stream_id, ((b"streamtype", kind),))
        for stream_id, kind in zip((1, 3, 5, 7), kinds, strict=True)
    ]
    for stream_id in (1, 3, 5, 7):
        machine.send(SpdyStreamReplied(stream_id))
    rest = spdy_bytes.DATA_ON_3 + spdy_bytes.FIN_ON_3 + spdy_bytes.RESET_7 + spdy_bytes.GOAWAY
    assert machine.receive(rest) == [
        SpdyData(3, b"abc\n"),
        SpdyData(3, b"", True),
        SpdyReset(7, 5),
        SpdyGoAway(0, 0),
    ]


def test_what_a_client_sends_is_what_kubectl_sends() -> None:
    machine, _ = open_client(1, 3, 5, 7)
    machine.send(SpdyData(3, b"abc\n"))
    machine.send(SpdyData(3, b"", True))
    machine.send(SpdyReset(7))
    machine.send(SpdyGoAway())
    expected = spdy_bytes.DATA_ON_3 + spdy_bytes.FIN_ON_3 + spdy_bytes.RESET_7 + spdy_bytes.GOAWAY
    assert machine.data_to_send() == expected


def test_syn_reply_has_the_layout_of_the_draft() -> None:
    machine, _ = open_server()
    machine.receive(BlockWriter().syn_stream(1, *STDIN))
    machine.send(SpdyStreamReplied(1, fin=True))
    reply = machine.data_to_send()
    assert reply[:4] == bytes.fromhex("80030002")
    assert (reply[4], int.from_bytes(reply[5:8])) == (1, len(reply) - 8)
    assert reply[8:12] == bytes.fromhex("00000001")
    assert zlib.decompressobj(zdict=DICTIONARY).decompress(reply[12:]) == bytes(4)


def test_syn_stream_has_the_layout_of_the_draft() -> None:
    machine = client()
    machine.send(SpdyStreamOpened(1, STDIN, fin=True))
    sent = machine.data_to_send()
    assert sent[:4] == bytes.fromhex("80030001")
    assert (sent[4], int.from_bytes(sent[5:8])) == (1, len(sent) - 8)
    assert sent[8:18] == bytes.fromhex("00000001 00000000 0000")
    assert server().receive(sent) == [SpdyStreamOpened(1, STDIN, True)]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_same_events_however_the_bytes_are_cut(places: list[int]) -> None:
    stream = BlockWriter().syn_stream(1, *STDIN)
    later = data_frame(1, b"x" * 3000) + ping(1) + data_frame(1, b"y") + data_frame(1, b"", 1) + goaway()
    machines = [server(), server()]
    for machine in machines:
        machine.receive(stream)
        machine.send(SpdyStreamReplied(1))
    whole = joined(machines[0].receive(later))
    assert joined(receive_all(machines[1], cut(later, places))) == whole
    assert machines[0].data_to_send() == machines[1].data_to_send()


def test_all_frames_of_one_read_are_drained() -> None:
    machine, _ = open_server(1)
    assert machine.receive(ping(1) + ping(3) + data_frame(1, b"a") + ping(5)) == [
        Ping(bytes.fromhex("00000001")),
        Ping(bytes.fromhex("00000003")),
        SpdyData(1, b"a"),
        Ping(bytes.fromhex("00000005")),
    ]
    assert machine.data_to_send() == ping(1) + ping(3) + ping(5)


# --- the server speaks second ---------------------------------------------------------------------


def test_server_sends_nothing_before_the_first_frame() -> None:
    machine = server()
    machine.send(Ping())
    machine.send(SpdyGoAway())
    assert machine.data_to_send() == b""
    machine.receive(ping(1)[:11])
    assert machine.data_to_send() == b""
    machine.receive(ping(1)[11:])
    assert machine.data_to_send() == ping(2) + goaway()


def test_client_speaks_first() -> None:
    machine = client()
    machine.send(Ping())
    assert machine.data_to_send() == ping(1)


def test_nothing_is_ever_said_about_windows_or_settings() -> None:
    machine, _ = open_server(1)
    machine.receive(data_frame(1, bytes(200_000)))
    assert machine.data_to_send() == b""


# --- pings ------------------------------------------------------------------------------------------


def test_ping_of_the_peer_is_echoed_and_answer_to_ours_is_told() -> None:
    machine, _ = open_server(1)
    machine.send(Ping())
    machine.send(Ping())
    assert machine.data_to_send() == ping(2) + ping(4)
    assert machine.receive(ping(2) + ping(7)) == [
        Pong(bytes.fromhex("00000002")),
        Ping(bytes.fromhex("00000007")),
    ]
    assert machine.data_to_send() == ping(7)


def test_ping_may_carry_an_id_of_ours() -> None:
    machine = client()
    machine.send(Ping(bytes.fromhex("0000000b")))
    assert machine.data_to_send() == ping(11)
    for wrong in (b"\0", bytes(5), bytes.fromhex("00000002")):
        with pytest.raises(LocalProtocolError, match="PING"):
            machine.send(Ping(wrong))


def test_ping_ids_begin_again_after_the_last() -> None:
    for machine, last, first in ((client(), 2**32 - 1, 1), (open_server(1)[0], 2**32 - 2, 2)):
        machine._next_ping_id = last
        machine.send(Ping())
        machine.send(Ping())
        assert machine.data_to_send() == ping(last) + ping(first)


def test_ping_0_is_refused() -> None:
    assert "PING" in failure(server(), ping(0)).why


def test_flood_of_pings_is_cut_at_the_same_frame_however_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "MAX_IDLE_FRAMES", 50)
    flood = b"".join(ping(number) for number in range(1, 201, 2))
    for size in (1, 7, 1000, len(flood)):
        events = receive_all(server(), cut_evenly(flood, size))
        assert [type(event) for event in events] == [Ping] * 50 + [Failed]
        assert isinstance(events[-1], Failed)
        assert isinstance(events[-1].error, Flooding)


def test_pings_between_data_are_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "MAX_IDLE_FRAMES", 5)
    machine, _ = open_server(1)
    for _ in range(20):
        events = machine.receive(ping(1) * 5 + data_frame(1, b"x"))
        assert events[-1] == SpdyData(1, b"x")
    assert isinstance(machine.receive(data_frame(1) * 6)[-1], Failed)


def test_frames_for_dead_streams_count_once_per_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "MAX_IDLE_FRAMES", 3)
    machine, _ = open_server(1)
    assert receive_all(machine, cut_evenly(data_frame(9, bytes(5000)) * 3, 10)) == []
    assert isinstance(failure(machine, data_frame(9, b"x")), Flooding)


# --- streams: ids and limits --------------------------------------------------------------------


def test_refused_stream_leaves_the_header_context_in_step() -> None:
    machine, writer = server(max_streams=1), BlockWriter()
    first = writer.syn_stream(1, (b"streamtype", b"error"))
    refused = writer.syn_stream(3, (b"streamtype", b"stdin"), (b"long", bytes(range(1, 256))))
    third = writer.syn_stream(5, (b"streamtype", b"stdout"), (b"long", bytes(range(1, 256))))
    assert machine.receive(first) == [SpdyStreamOpened(1, ((b"streamtype", b"error"),))]
    assert machine.receive(refused) == []
    assert machine.data_to_send() == reset(3, 3)
    machine.send(SpdyReset(1))
    opened = machine.receive(third)
    assert opened == [SpdyStreamOpened(5, ((b"streamtype", b"stdout"), (b"long", bytes(range(1, 256)))))]


@pytest.mark.parametrize("stream_id", [1, 2, 4, 5, 2**31 - 2])
def test_even_used_or_decreasing_id_is_reset_and_the_connection_goes_on(stream_id: int) -> None:
    machine, writer = open_server(1, 5)
    machine.send(SpdyReset(1))
    machine.send(SpdyReset(5))
    machine.data_to_send()
    assert machine.receive(writer.syn_stream(stream_id, *STDIN)) == []
    assert machine.data_to_send() == reset(stream_id, 1)
    assert machine.receive(writer.syn_stream(7, *STDIN)) == [SpdyStreamOpened(7, STDIN)]


def test_second_syn_stream_for_a_live_stream_ends_the_connection() -> None:
    machine, writer = open_server(1)
    assert "open" in failure(machine, writer.syn_stream(1, *STDIN)).why
    assert machine.data_to_send() == goaway(1, 1)


def test_id_may_jump_but_not_go_back() -> None:
    machine, writer = server(), BlockWriter()
    assert machine.receive(writer.syn_stream(9, *STDIN)) == [SpdyStreamOpened(9, STDIN)]
    assert machine.receive(writer.syn_stream(3, *STDIN)) == []
    assert machine.last_stream_id == 9


@pytest.mark.parametrize("stream_id", [0, 2**31, 2**32 - 1])
def test_impossible_stream_id_ends_the_connection(stream_id: int) -> None:
    payload = struct.pack(">I", stream_id)
    block = spdy_bytes.EMPTY_BLOCK
    for frame in (
        control(1, payload + bytes(6) + block),
        control(2, payload + block),
        control(3, payload + payload),
        control(8, payload + block),
    ):
        assert str(stream_id) in failure(server(), frame).why


def test_unidirectional_stream_is_refused() -> None:
    machine, writer = server(), BlockWriter()
    assert machine.receive(writer.syn_stream(1, *STDIN, flags=2)) == []
    assert machine.data_to_send() == reset(1, 3)
    assert machine.receive(writer.syn_stream(3, *STDIN)) == [SpdyStreamOpened(3, STDIN)]


def test_stream_of_a_server_is_refused_and_read() -> None:
    machine, writer = open_client(1)
    assert machine.receive(writer.syn_stream(2, (b"a", b"b"))) == []
    assert machine.data_to_send() == reset(2, 3)
    machine.send(SpdyStreamOpened(3, STDIN))
    assert machine.receive(writer.syn_reply(3, (b"a", b"b"))) == [SpdyStreamReplied(3, ((b"a", b"b"),))]


def test_stream_after_our_goaway_is_not_told() -> None:
    machine, writer = open_server(1)
    machine.send(SpdyGoAway(1))
    assert machine.receive(writer.syn_stream(3, *STDIN)) == []
    assert machine.data_to_send() == goaway(1)


def test_unwanted_header_blocks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "MAX_UNWANTED_BLOCKS", 10)
    writers: list[Callable[[BlockWriter], bytes]] = [
        lambda writer: writer.syn_stream(2, *STDIN),
        lambda writer: writer.syn_reply(1),
        lambda writer: writer.headers(1),
    ]
    for write in writers:
        machine, writer = open_server(1)
        for _ in range(10):
            assert machine.receive(write(writer)) == []
        assert isinstance(failure(machine, write(writer)), Flooding)


# --- streams: what vanishes -----------------------------------------------------------------------


def test_data_before_our_reply_vanishes_as_it_does_in_spdystream() -> None:
    machine, writer = server(), BlockWriter()
    machine.receive(writer.syn_stream(1, *STDIN))
    assert machine.receive(data_frame(1, b"early")) == []
    machine.send(SpdyStreamReplied(1))
    assert machine.receive(data_frame(1, b"late")) == [SpdyData(1, b"late")]


def test_data_for_unknown_closed_and_half_closed_streams_vanishes() -> None:
    machine, _ = open_server(1, 3)
    assert machine.receive(data_frame(1, b"", 1)) == [SpdyData(1, b"", True)]
    assert machine.receive(reset(3)) == [SpdyReset(3, 5)]
    later = data_frame(1, b"x") + data_frame(3, b"x") + data_frame(99, b"x") + data_frame(1, b"", 1)
    assert machine.receive(later + reset(3) + reset(99)) == []
    assert machine.data_to_send() == b""


def test_stream_reset_amid_a_frame_loses_the_rest_of_the_frame() -> None:
    machine, _ = open_server(1)
    frame = data_frame(1, b"abcdef")
    assert machine.receive(frame[:10]) == [SpdyData(1, b"ab")]
    machine.send(SpdyReset(1))
    assert machine.receive(frame[10:] + ping(1)) == [Ping(bytes.fromhex("00000001"))]


def test_second_reply_vanishes() -> None:
    machine, writer = open_client(1)
    assert machine.receive(writer.syn_reply(1)) == []
    assert machine.receive(writer.syn_reply(9)) == []


def test_headers_are_read_for_the_context_and_their_fin_counts() -> None:
    machine, writer = open_server(1)
    assert machine.receive(writer.headers(1, (b"x", b"1"))) == []
    assert machine.receive(writer.headers(1, (b"x", b"2"), flags=1)) == [SpdyData(1, b"", True)]
    assert machine.receive(writer.headers(1, flags=1)) == []
    assert machine.receive(writer.syn_stream(3, (b"x", b"2"))) == [SpdyStreamOpened(3, ((b"x", b"2"),))]


def test_fin_on_syn_stream_and_syn_reply_half_closes() -> None:
    here, there = client(), server()
    here.send(SpdyStreamOpened(1, STDIN, fin=True))
    assert there.receive(here.data_to_send()) == [SpdyStreamOpened(1, STDIN, True)]
    assert there.receive(data_frame(1, b"x")) == []
    there.send(SpdyStreamReplied(1))
    there.send(SpdyData(1, b"answer"))
    assert here.receive(there.data_to_send()) == [SpdyStreamReplied(1), SpdyData(1, b"answer")]
    with pytest.raises(LocalProtocolError):
        here.send(SpdyData(1, b"x"))
    here.send(SpdyStreamOpened(3, STDIN))
    there.receive(here.data_to_send())
    there.send(SpdyStreamReplied(3, fin=True))
    assert here.receive(there.data_to_send()) == [SpdyStreamReplied(3, (), True)]
    assert here.receive(data_frame(3, b"x")) == []
    here.send(SpdyData(3, b"up", True))
    assert there.receive(here.data_to_send()) == [SpdyData(3, b"up", True)]


# --- frames that are wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        control(6, bytes(4), version=2),
        control(5, b""),
        control(10, bytes(8)),
        reset(1, 0),
        control(4, struct.pack(">I", 2**32 - 1)),
        control(4, struct.pack(">I", 1)),
        control(4, struct.pack(">I", 0) + bytes(8)),
        control(9, struct.pack(">II", 1, 0)),
        control(9, struct.pack(">II", 1, 2**31)),
        control(9, struct.pack(">II", 2**31, 1)),
        data_frame(0, b"x"),
        control(1, struct.pack(">IIBB", 1, 0, 0, 0) + b"not zlib"),
        control(1, struct.pack(">IIBB", 1, 0, 0, 0)),
    ],
)
def test_bad_frame_ends_the_connection_with_a_goaway(frame: bytes) -> None:
    for machine in (open_server(1)[0], open_client(1)[0]):
        events = machine.receive(ping(1) + frame + ping(3))
        assert [type(event) for event in events[1:]] == [Failed]
        assert machine.data_to_send().endswith(goaway(1, 1))
        assert machine.receive(ping(5)) == []
        assert machine.receive(b"") == []
        machine.send(SpdyData(1, b"into the void"))
        assert machine.data_to_send() == b""


def test_server_that_hears_garbage_first_says_goodbye() -> None:
    machine = server()
    assert isinstance(machine.receive(b"GET / HTTP/1.1\r\n\r\n")[-1], Failed)
    assert machine.data_to_send() == goaway(0, 1)


def test_announced_settings_cost_no_memory() -> None:
    tracemalloc.start()
    try:
        failure(server(), control(4, struct.pack(">I", 2**32 - 1)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_settings_and_window_updates_are_ignored() -> None:
    machine, _ = open_server(1)
    settings_frame = control(4, struct.pack(">IIIII", 2, 4, 100, 7, 65536), 1)
    assert machine.receive(settings_frame + control(9, struct.pack(">II", 1, 2**31 - 1))) == []
    assert machine.data_to_send() == b""


def test_control_frame_above_the_limit_is_too_large() -> None:
    assert isinstance(failure(server(), control(1, b"", length=64 * 1024 + 1)), TooLarge)


def test_header_bomb_is_too_large() -> None:
    bomb = BlockWriter().compress(bytes(16 * 1024 * 1024))
    frame = control(1, struct.pack(">IIBB", 1, 0, 0, 0) + bomb)
    assert isinstance(failure(server(), frame), TooLarge)


# --- the end ------------------------------------------------------------------------------------


def test_end_between_frames_is_in_order_and_said_once() -> None:
    machine, _ = open_server(1)
    assert machine.receive(b"") == [PeerClosed()]
    assert machine.receive(b"") == []
    assert machine.receive(ping(1)) == []
    machine.send(SpdyData(1, b"still listening?"))
    assert machine.data_to_send() == data_frame(1, b"still listening?")


def test_end_inside_a_frame_is_a_failure() -> None:
    frames = spdy_bytes.OPEN_ERROR + data_frame(1, b"abc")
    borders = {len(spdy_bytes.OPEN_ERROR)}
    for place in range(1, len(frames)):
        machine = server()
        machine.receive(frames[:place])
        (end,) = machine.receive(b"")
        assert isinstance(end, PeerClosed if place in borders else Failed)
        machine.send(SpdyGoAway())
        assert (machine.data_to_send() == b"") is isinstance(end, Failed)


def test_nothing_is_read_after_the_peers_goaway() -> None:
    machine, _ = open_server(1)
    assert machine.receive(goaway(0, 2) + data_frame(1, b"x")) == [SpdyGoAway(0, 2)]
    assert machine.receive(data_frame(1, b"x") + b"garbage") == []
    assert machine.receive(b"") == [PeerClosed()]
    assert machine.receive(b"") == []


def test_goaway_is_the_last_thing_sent() -> None:
    machine, _ = open_server(1)
    machine.send(SpdyGoAway(1))
    machine.send(SpdyGoAway(1))
    machine.send(Ping())
    assert machine.receive(ping(1)) == [Ping(bytes.fromhex("00000001"))]
    assert machine.data_to_send() == goaway(1)
    with pytest.raises(LocalProtocolError, match="GOAWAY"):
        machine.send(SpdyData(1, b"x"))


# --- misuse, and what is held ---------------------------------------------------------------------


def test_server_opens_no_streams_and_a_client_only_odd_growing_ones() -> None:
    for machine, stream_id in ((server(), 2), (server(), 1), (client(), 2), (open_client(1)[0], 1)):
        with pytest.raises(LocalProtocolError):
            machine.send(SpdyStreamOpened(stream_id, STDIN))
    machine = client()
    machine.send(SpdyStreamOpened(2**31 - 1, STDIN))
    with pytest.raises(LocalProtocolError, match="used up"):
        machine.send(SpdyStreamOpened(machine.next_stream_id, STDIN))


@pytest.mark.parametrize(
    "event",
    [
        SpdyData(9, b"x"),
        SpdyReset(9),
        SpdyStreamReplied(9),
        SpdyReset(1, 0),
        SpdyStreamReplied(1),
        ChannelEnded(3),
    ],
)
def test_misuse_is_our_error(event: Event) -> None:
    machine, _ = open_server(1)
    with pytest.raises(LocalProtocolError):
        machine.send(event)


def test_what_is_sent_on_a_stream_that_was_reset_goes_nowhere() -> None:
    machine, _ = open_server(1)
    machine.receive(reset(1))
    for event in (SpdyData(1, b"x"), SpdyData(1, b"", True), SpdyReset(1)):
        machine.send(event)
    assert machine.data_to_send() == b""


def test_data_before_the_reply_is_held_for_it() -> None:
    machine, writer = client(), BlockWriter()
    machine.send(SpdyStreamOpened(1, STDIN))
    machine.data_to_send()
    machine.send(SpdyData(1, b"early"))
    machine.send(SpdyData(1, b"", True))
    assert machine.data_to_send() == b""
    assert machine.receive(writer.syn_reply(1)) == [SpdyStreamReplied(1)]
    assert machine.data_to_send() == data_frame(1, b"early") + data_frame(1, b"", 1)
    with pytest.raises(LocalProtocolError):
        machine.send(SpdyData(1, b"x"))


def test_held_data_is_bounded_and_forgotten_with_its_stream() -> None:
    machine, writer = client(), BlockWriter()
    machine.send(SpdyStreamOpened(1, STDIN))
    machine.send(SpdyStreamOpened(3, STDIN))
    machine.send(SpdyData(1, bytes(MAX_HELD_BYTES // 2)))
    with pytest.raises(LocalProtocolError, match="SYN_REPLY"):
        machine.send(SpdyData(3, bytes(MAX_HELD_BYTES // 2)))
    machine.receive(reset(1))
    machine.send(SpdyData(3, bytes(MAX_HELD_BYTES // 2)))
    machine.send(SpdyReset(3))
    machine.data_to_send()
    machine.receive(writer.syn_reply(1) + writer.syn_reply(3))
    assert machine.data_to_send() == b""
    assert machine._held_bytes == 0


def test_held_data_does_not_follow_our_goaway() -> None:
    machine, writer = client(), BlockWriter()
    machine.send(SpdyStreamOpened(1, STDIN))
    machine.send(SpdyData(1, b"early"))
    machine.send(SpdyGoAway())
    machine.data_to_send()
    assert machine.receive(writer.syn_reply(1)) == [SpdyStreamReplied(1)]
    assert machine.data_to_send() == b""


def test_long_data_is_split_and_the_fin_is_on_the_last_frame() -> None:
    machine, _ = open_client(1)
    machine.send(SpdyData(1, bytes(MAX_SENT_DATA_BYTES) + b"x", True))
    assert machine.data_to_send() == data_frame(1, bytes(MAX_SENT_DATA_BYTES)) + data_frame(1, b"x", 1)


def test_empty_data_without_fin_is_not_sent() -> None:
    machine, _ = open_client(1)
    machine.send(SpdyData(1, b""))
    assert machine.data_to_send() == b""


# --- properties ---------------------------------------------------------------------------------


@settings(max_examples=150)
@given(st.data())
def test_mutated_bytes_never_raise(data: st.DataObject) -> None:
    writer = BlockWriter()
    stream = bytearray(
        writer.syn_stream(1, *STDIN)
        + writer.syn_reply(1)
        + data_frame(1, b"abc")
        + ping(1)
        + control(4, struct.pack(">III", 1, 4, 100))
        + writer.headers(1, (b"a", b"b"))
        + reset(1)
        + goaway()
    )
    for _ in range(data.draw(st.integers(1, 6))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    places = data.draw(st.lists(st.integers(0, 1000), max_size=5))
    for side in Side:
        machine = SpdyConnection(side)
        events = receive_all(machine, [*cut(bytes(stream), places), b""])
        assert all(not isinstance(event, Failed) for event in events[:-1])
        machine.data_to_send()


class Streams(RuleBasedStateMachine):
    """A client and a server machine against a model: which half of which stream is still open."""

    def __init__(self) -> None:
        super().__init__()
        self.client, self.server = client(), server(max_streams=4)
        self.live: dict[int, dict[str, bool]] = {}  # stream -> {replied, client_open, server_open}
        self.sent: dict[tuple[int, str], bytes] = {}
        self.got: dict[tuple[int, str], bytes] = {}
        self.refused: set[int] = set()
        self.cut = 1

    def exchange(self) -> None:
        """Carry bytes both ways, in parts, until nobody has any more to say."""
        while True:
            up, down = self.client.data_to_send(), self.server.data_to_send()
            if not up and not down:
                return
            for part in cut_evenly(up, self.cut):
                for event in self.server.receive(part):
                    self.note(event, "client")
            for part in cut_evenly(down, self.cut):
                for event in self.client.receive(part):
                    self.note(event, "server")

    def note(self, event: Event, sender: str) -> None:
        assert not isinstance(event, Failed)
        if isinstance(event, SpdyData):
            key = (event.stream_id, sender)
            self.got[key] = self.got.get(key, b"") + event.data
        elif isinstance(event, SpdyReset) and event.code == 3:
            self.refused.add(event.stream_id)

    @rule(size=st.integers(1, 40))
    def choose_cut(self, size: int) -> None:
        self.cut = size

    @rule(kind=st.binary(min_size=1, max_size=5))
    def open_stream(self, kind: bytes) -> None:
        stream_id = self.client.next_stream_id
        too_many = len(self.live) >= 4
        self.client.send(SpdyStreamOpened(stream_id, ((b"kind", kind.hex().encode()),)))
        self.exchange()
        assert (stream_id in self.refused) is too_many
        if not too_many:
            self.live[stream_id] = {"replied": False, "client": True, "server": True}

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        stream_id = data.draw(st.sampled_from(sorted(self.live)))
        if self.live[stream_id]["replied"]:
            with pytest.raises(LocalProtocolError):
                self.server.send(SpdyStreamReplied(stream_id))
            return
        self.server.send(SpdyStreamReplied(stream_id))
        self.live[stream_id]["replied"] = True
        self.exchange()

    @precondition(lambda self: self.live)
    @rule(
        data=st.data(),
        sender=st.sampled_from(["client", "server"]),
        payload=st.binary(max_size=50),
        fin=st.booleans(),
    )
    def write(self, data: st.DataObject, sender: str, payload: bytes, fin: bool) -> None:
        stream_id = data.draw(st.sampled_from(sorted(self.live)))
        machine = self.client if sender == "client" else self.server
        state = self.live[stream_id]
        event = SpdyData(stream_id, payload, fin)
        if not state[sender] or (sender == "server" and not state["replied"]):
            with pytest.raises(LocalProtocolError):
                machine.send(event)
            return
        machine.send(event)
        self.sent[stream_id, sender] = self.sent.get((stream_id, sender), b"") + payload
        state[sender] = not fin
        self.exchange()
        if not state["client"] and not state["server"]:
            del self.live[stream_id]

    @precondition(lambda self: self.live)
    @rule(data=st.data(), sender=st.sampled_from(["client", "server"]))
    def reset_stream(self, data: st.DataObject, sender: str) -> None:
        stream_id = data.draw(st.sampled_from(sorted(self.live)))
        replied = self.live.pop(stream_id)["replied"]
        (self.client if sender == "client" else self.server).send(SpdyReset(stream_id))
        if not replied:
            self.sent.pop((stream_id, "client"), None)  # it was held, and is lost with the stream
        self.exchange()

    @rule(sender=st.sampled_from(["client", "server"]))
    def probe(self, sender: str) -> None:
        (self.client if sender == "client" else self.server).send(Ping())
        self.exchange()

    @invariant()
    def bytes_arrive_once_the_stream_is_replied_to(self) -> None:
        for (stream_id, sender), payload in self.sent.items():
            if stream_id in self.live and not self.live[stream_id]["replied"]:
                assert (stream_id, sender) not in self.got
            else:
                assert self.got.get((stream_id, sender), b"") == payload

    @invariant()
    def both_ends_agree_on_what_lives(self) -> None:
        # A server that never spoke may hold a reset back: the client counts, it always can speak.
        assert len(self.client._streams) == len(self.server._streams) == len(self.live)


Streams.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestStreams = Streams.TestCase
