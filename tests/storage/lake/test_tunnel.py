"""Streams of one tunnel: connections, bounds, and where a piece of text began."""

import msgspec

from protocol.events import Channel
from storage.index_text import Piece
from storage.lake.place import Place, SegmentRef
from storage.lake.tunnel import MAX_CONNECTIONS, MAX_MARKS, Happening, Tunnel, TunnelState
from storage.records import AnyRecord, ChannelChanged, ChannelChunk, TunnelEnded

E = b"e" * 16
SEGMENT = SegmentRef("stem", "id", "gw")


def place(rec_off: int) -> Place:
    return Place(SEGMENT, 0, rec_off, rec_off, 0)


def take(tunnel: Tunnel, record: AnyRecord, rec_off: int = 0) -> list[Happening]:
    tunnel.mark(record, place(rec_off))
    return list(tunnel.take(record, place(rec_off), []))


def opened(number: int, channel: int = Channel.DATA) -> ChannelChanged:
    return ChannelChanged(E, 1, "opened", channel, True, number, 5432)


def ended(number: int, *, from_client: bool, what: str = "ended") -> ChannelChanged:
    return ChannelChanged(E, 9, what, Channel.DATA, from_client, number)


def data(number: int, size: int) -> ChannelChunk:
    return ChannelChunk(E, 2, Channel.DATA, True, bytes(size), number)


def test_a_connection_closes_when_both_sides_have_ended() -> None:
    tunnel = Tunnel()
    take(tunnel, opened(1))
    take(tunnel, data(1, 7))
    assert take(tunnel, ended(1, from_client=True)) == []
    (close,) = take(tunnel, ended(1, from_client=False))
    assert (close.event, close.connection, close.port, close.bytes) == ("close", 1, 5432, 7)
    assert take(tunnel, ended(1, from_client=False)) == []


def test_a_reset_closes_at_once_and_acceptance_closes_nothing() -> None:
    tunnel = Tunnel()
    take(tunnel, opened(1))
    assert take(tunnel, ended(1, from_client=False, what="accepted")) == []
    assert [event.event for event in take(tunnel, ended(1, from_client=False, what="reset"))] == ["close"]


def test_error_channels_are_no_connections() -> None:
    tunnel = Tunnel()
    assert take(tunnel, opened(1, Channel.FORWARD_ERROR)) == []
    assert tunnel.state.connections == {}


def test_connections_beyond_the_limit_have_no_rows_and_that_is_said() -> None:
    tunnel = Tunnel()
    for number in range(MAX_CONNECTIONS):
        assert len(take(tunnel, opened(number))) == 1
    assert not tunnel.state.cut
    assert take(tunnel, opened(MAX_CONNECTIONS)) == []
    assert take(tunnel, data(MAX_CONNECTIONS, 5)) == []
    assert tunnel.state.cut
    assert (
        len(list(tunnel.close(9, place(1), 0))) == MAX_CONNECTIONS
    )  # never opened itself: no close of its own


def test_a_state_goes_on_where_it_was_stored() -> None:
    tunnel = Tunnel()
    take(tunnel, opened(1))
    take(tunnel, data(1, 7))
    take(tunnel, ended(1, from_client=True))
    stored = msgspec.msgpack.encode(tunnel.state)
    again = Tunnel(msgspec.msgpack.decode(stored, type=TunnelState))
    (close,) = take(again, ended(1, from_client=False))
    assert (close.seq, close.bytes) == (1, 7)


def test_a_piece_points_at_the_record_of_its_time() -> None:
    tunnel = Tunnel()
    for index, at_us in enumerate((10, 20, 20, 30)):
        take(tunnel, ChannelChunk(E, at_us, Channel.STDOUT, False, b"x"), index)
    pieces = [Piece(0, "stdout", at_us, "x") for at_us in (10, 20, 25, 30)]
    assert [event.at.rec_off for event in tunnel.texts(pieces)] == [0, 1, 1, 3]


def test_marks_are_bounded_and_a_piece_without_its_own_points_earlier() -> None:
    tunnel = Tunnel()
    for at_us in range(3 * MAX_MARKS):
        take(tunnel, ChannelChunk(E, at_us, Channel.STDIN, True, b"x"), at_us)
    assert len(tunnel.state.marks["stdin"]) == MAX_MARKS
    (first,) = tunnel.texts([Piece(0, "stdin", 0, "x")])
    assert first.at.rec_off == 0
    (late,) = tunnel.texts([Piece(0, "stdin", 2 * MAX_MARKS, "x")])
    assert late.at.rec_off <= 2 * MAX_MARKS


def test_records_without_news_make_nothing() -> None:
    assert take(Tunnel(), TunnelEnded(E, 9, "client")) == []


def test_text_is_never_cut_within_a_character() -> None:
    tunnel = Tunnel()
    take(tunnel, ChannelChunk(E, 1, Channel.STDOUT, False, b"x"))
    text = "a" + "ü" * 5000 + "\U0001f600" * 1000
    parts = [event.text or "" for event in tunnel.texts([Piece(0, "stdout", 1, text)])]
    assert "".join(parts) == text
    assert [len(part.encode()) for part in parts] == [8191, 5810]
