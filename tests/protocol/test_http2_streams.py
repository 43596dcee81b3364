import pytest

from protocol.http2_frames import ConnectionFault, ErrorCode
from protocol.http2_streams import MAX_REMEMBERED_RESETS, Stream, StreamTable


def table_with(*stream_ids: int) -> StreamTable:
    table = StreamTable()
    for stream_id in stream_ids:
        table.open(stream_id)
    return table


def test_what_was_never_opened_is_idle() -> None:
    table = table_with(1, 5)
    assert [stream_id for stream_id in range(9) if table.is_idle(stream_id)] == [0, 2, 4, 6, 7, 8]


def test_an_even_id_is_none_of_a_client() -> None:
    with pytest.raises(ConnectionFault) as caught:
        StreamTable().open(2)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("opened", "stream_id", "code"),
    [
        ((1, 3), 1, ErrorCode.STREAM_CLOSED),
        ((1, 3), 2, ErrorCode.PROTOCOL_ERROR),
        ((3,), 1, ErrorCode.PROTOCOL_ERROR),
        ((1, 5), 3, ErrorCode.PROTOCOL_ERROR),
        ((1, 5), 1, ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_a_stream_cannot_be_opened_again(opened: tuple[int, ...], stream_id: int, code: ErrorCode) -> None:
    assert table_with(*opened).reopened(stream_id).code is code


def test_a_stream_that_is_gone_works_no_more() -> None:
    table = table_with(1)
    assert table.working(1) is None
    stream = table.live[1] = Stream(request_open=True, send_window=0)
    assert table.working(1) is stream
    stream.gone = True
    assert table.working(1) is None


def test_frames_may_be_under_way_after_a_reset_of_ours_until_the_client_ends_the_stream() -> None:
    table = table_with(1, 3)
    table.remember_reset(1, in_flight=True)
    table.remember_reset(3, in_flight=False)
    assert [table.was_reset(n) for n in (1, 3, 5)] == [True, True, False]
    assert [table.is_in_flight(n) for n in (1, 3, 5)] == [True, False, False]
    table.settle(1)
    table.settle(5)
    assert [table.was_reset(n) for n in (1, 3, 5)] == [True, True, False]
    assert not table.is_in_flight(1)


def test_only_the_last_resets_are_remembered() -> None:
    table = StreamTable()
    for number in range(MAX_REMEMBERED_RESETS + 1):
        table.remember_reset(2 * number + 1, in_flight=True)
    assert not table.was_reset(1)
    assert table.was_reset(3)


def test_a_content_length_is_a_promise_of_exactly_so_much() -> None:
    stream = Stream(request_open=True, send_window=0)
    assert not stream.breaks_promise(10**9, ends=True)
    stream.body_left = 5
    assert not stream.breaks_promise(3, ends=False)
    assert stream.breaks_promise(1, ends=True)
    assert stream.breaks_promise(2, ends=False)
    stream.body_left = 5
    assert not stream.breaks_promise(5, ends=True)
