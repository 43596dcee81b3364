from protocol.http2_frames import ping_ack, reset_frame, window_update
from protocol.http2_output import Http2Output
from tests.kit import h2_wire as wire

HEAD = b"\x88"


def kinds(frames: bytes) -> list[tuple[int, int, bool]]:
    return [(f.type, f.stream_id, "END_STREAM" in f.flags) for f in wire.frames_of(frames)]


def test_the_last_frame_waits_for_the_end_of_its_stream() -> None:
    output = Http2Output()
    output.hold_block(1, HEAD)
    output.hold_data(1, b"body")
    output.end(1)
    assert kinds(output.take()) == [(1, 1, False), (0, 1, True)]


def test_a_head_alone_takes_the_end_of_its_stream() -> None:
    output = Http2Output()
    output.hold_block(1, HEAD)
    output.end(1)
    assert kinds(output.take()) == [(1, 1, True)]


def test_taking_the_queue_flushes_what_was_held() -> None:
    output = Http2Output()
    output.hold_block(1, HEAD)
    assert kinds(output.take()) == [(1, 1, False)]
    output.end(1)
    assert kinds(output.take()) == [(0, 1, True)]
    assert output.take() == b""


def test_the_end_of_another_stream_does_not_join_the_held_frame() -> None:
    output = Http2Output()
    output.hold_data(3, b"x")
    output.end(1)
    assert kinds(output.take()) == [(0, 3, False), (0, 1, True)]


def test_what_is_released_gets_no_end() -> None:
    output = Http2Output()
    output.hold_block(1, HEAD)
    output.release()
    output.end(1)
    assert kinds(output.take()) == [(1, 1, False), (0, 1, True)]


def test_connection_frames_overtake_and_a_final_one_is_last() -> None:
    output = Http2Output()
    output.hold_block(1, HEAD)
    output.put(ping_ack(b"12345678"))
    output.put_final(window_update(0, 9))
    output.end(1)
    assert [kind[0] for kind in kinds(output.take())] == [6, 1, 8]


def test_a_reset_comes_after_what_its_stream_sent() -> None:
    output = Http2Output()
    output.hold_data(1, b"x")
    output.put_in_order(reset_frame(1, 2))
    assert [kind[0] for kind in kinds(output.take())] == [0, 3]


def test_a_final_frame_is_sent_with_nothing_else_queued() -> None:
    output = Http2Output()
    output.put_final(window_update(0, 9))
    assert kinds(output.take()) == [(8, 0, False)]


def test_queued_bytes_are_counted_and_forgotten_when_taken() -> None:
    output = Http2Output()
    output.put(ping_ack(b"12345678"))
    output.hold_block(1, HEAD)
    output.hold_data(1, b"x" * 1000)
    output.end(1)
    assert output.queued_bytes == 17 + 10 + 1009
    assert len(output.take()) == 17 + 10 + 1009
    assert output.queued_bytes == 0
    output.put_in_order(reset_frame(3, 0))
    assert output.queued_bytes == 13
