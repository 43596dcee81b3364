from h2.connection import H2Connection

from protocol.http2_output import Http2Output
from protocol.http2_setup import make_connection, ping_ack, window_update
from tests.kit import h2_wire as wire

HEAD = ((b":status", b"200"),)


def connection_with_request() -> H2Connection:
    connection = make_connection()
    connection.receive_data(wire.settings() + wire.headers(1, wire.GET) + wire.headers(3, wire.GET))
    connection.clear_outbound_data_buffer()
    return connection


def kinds(frames: bytes) -> list[tuple[int, int, bool]]:
    return [(f.type, f.stream_id, "END_STREAM" in f.flags) for f in wire.frames_of(frames)]


def test_the_last_frame_waits_for_the_end_of_its_stream() -> None:
    output = Http2Output(connection_with_request())
    output.hold(1, HEAD)
    output.hold(1, b"body")
    assert output.held_body_bytes == 4
    output.end(1)
    assert output.held_body_bytes == 0
    assert kinds(output.take()) == [(1, 1, False), (0, 1, True)]


def test_taking_the_queue_flushes_what_was_held() -> None:
    output = Http2Output(connection_with_request())
    output.hold(1, HEAD)
    assert kinds(output.take()) == [(1, 1, False)]
    output.end(1)
    assert kinds(output.take()) == [(0, 1, True)]
    assert output.take() == b""


def test_connection_frames_overtake_and_a_final_one_is_last() -> None:
    output = Http2Output(connection_with_request())
    output.hold(1, HEAD)
    output.put(ping_ack(b"12345678"))
    output.put_final(window_update(9))
    output.end(1)
    assert [kind[0] for kind in kinds(output.take())] == [6, 1, 8]


def test_queued_bytes_are_counted_and_forgotten_when_taken() -> None:
    connection = connection_with_request()
    output = Http2Output(connection)
    output.put(ping_ack(b"12345678"))
    output.hold(1, HEAD)
    output.hold(1, b"x" * 1000)
    output.end(1)
    assert output.queued_bytes == 17 + 9 + 10 + 1009
    output.collect()
    frames = output.take()
    assert output.queued_bytes == 0
    assert len(frames) > 1000
    connection.reset_stream(3)
    output.collect()
    assert output.queued_bytes == 13
