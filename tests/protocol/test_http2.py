"""Requests and answers through one connection; rules by RFC section are in test_http2_rfc9113.py."""

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Decoder
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from protocol.errors import LocalProtocolError
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    GoAway,
    InformationalHead,
    PeerClosed,
    Ping,
    RequestHead,
    ResponseHead,
    StreamRefused,
    StreamReset,
    WindowOpened,
)
from protocol.http2 import MAX_STREAMS, Http2Server
from protocol.http2_sending import MAX_QUEUED_BODY_BYTES
from protocol.http2_setup import CONNECTION_WINDOW_BYTES, MAX_CONCURRENT_STREAMS, STREAM_WINDOW_BYTES
from tests.kit import h2_wire as wire

HEAD = RequestHead(
    method=b"GET",
    target=b"/api/v1/namespaces/default/pods?limit=500",
    authority=b"gw.example:6443",
    headers=(),
    http_version=b"2",
    stream_id=1,
    content_length=0,
)


def answer(server: Http2Server, stream_id: int, body: bytes = b"ok") -> bytes:
    server.send(ResponseHead(200, stream_id=stream_id))
    server.send(BodyChunk(body, stream_id))
    server.send(EndOfBody(stream_id))
    return server.data_to_send()


def test_our_settings_are_the_first_bytes_we_send() -> None:
    first = wire.frames_of(Http2Server().data_to_send())
    assert isinstance(first[0], SettingsFrame)
    assert first[0].settings == {1: 4096, 3: 100, 4: 262144, 5: 65536, 6: 65536, 9: 1}
    assert (first[1].stream_id, first[1].window_increment) == (0, CONNECTION_WINDOW_BYTES - 65535)


def test_the_clients_settings_are_acknowledged() -> None:
    server = Http2Server()
    server.data_to_send()
    assert server.receive(wire.PREFACE + wire.settings({3: 7})) == []
    (ack,) = wire.frames_of(server.data_to_send())
    assert "ACK" in ack.flags


def test_a_get_is_a_head_and_its_end() -> None:
    assert wire.open_server().receive(wire.headers(1, wire.GET)) == [HEAD, EndOfBody(1)]


def test_a_body_comes_in_chunks_with_the_credit_each_took() -> None:
    server = wire.open_server()
    fields = [*wire.POST, (b"content-length", b"5"), (b"content-type", b"application/json")]
    head, *rest = server.receive(
        wire.headers(1, fields, end=False) + wire.data(1, b"abc") + wire.data(1, b"de", end=True, padding=10)
    )
    assert isinstance(head, RequestHead)
    assert head.content_length == 5
    assert rest == [BodyChunk(b"abc", 1, 3), BodyChunk(b"de", 1, 13), EndOfBody(1)]


def test_a_body_without_content_length_has_unknown_length() -> None:
    (head,) = wire.open_server().receive(wire.headers(1, wire.POST, end=False))
    assert isinstance(head, RequestHead)
    assert head.content_length is None


def test_good_frames_before_a_bad_one_of_the_same_read_survive() -> None:
    server = wire.open_server()
    events = server.receive(
        wire.headers(1, wire.POST, end=False) + wire.data(1, b"x" * 100) + wire.raw(6, 0, 0, b"short")
    )
    assert [type(event) for event in events] == [RequestHead, BodyChunk, Failed]
    assert server.receive(wire.headers(3, wire.GET)) == []


def test_end_stream_joins_the_last_data_frame() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    sent = wire.frames_of(answer(server, 1))
    assert [type(frame) for frame in sent] == [HeadersFrame, DataFrame]
    assert "END_STREAM" in sent[1].flags


def test_end_stream_joins_the_head_of_an_empty_answer() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(204, stream_id=1))
    server.send(EndOfBody(1))
    (sent,) = wire.frames_of(server.data_to_send())
    assert sent.flags == {"END_STREAM", "END_HEADERS"}


def test_end_stream_after_the_data_left_is_a_frame_of_its_own() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"x", 1))
    server.data_to_send()
    server.send(EndOfBody(1))
    (sent,) = wire.frames_of(server.data_to_send())
    assert (sent.data, sent.flags) == (b"", {"END_STREAM"})


def test_end_stream_does_not_join_a_frame_of_another_stream() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET) + wire.headers(3, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    server.send(ResponseHead(200, stream_id=3))
    server.send(EndOfBody(1))
    sent = [(frame.stream_id, "END_STREAM" in frame.flags) for frame in wire.frames_of(server.data_to_send())]
    assert sent == [(1, False), (3, False), (1, True)]


def test_response_blocks_decode_to_what_was_sent_and_leave_no_state() -> None:
    server = wire.open_server({1: 0})  # SETTINGS_HEADER_TABLE_SIZE 0: such a client insists on a size update
    decoder = Decoder()
    decoder.max_allowed_table_size = 0
    for stream_id in (1, 3):
        server.receive(wire.headers(stream_id, wire.GET))
        long = (b"x-long", b"v" * 300)
        server.send(
            ResponseHead(200, ((b"content-type", b"application/json"), long), stream_id, content_length=2)
        )
        server.send(BodyChunk(b"ok", stream_id))
        server.send(EndOfBody(stream_id))
        block = wire.frames_of(server.data_to_send())[0].data
        assert decoder.decode(block, raw=True) == [
            (b":status", b"200"),
            (b"content-type", b"application/json"),
            long,
            (b"content-length", b"2"),
        ]


def test_a_large_body_is_cut_to_the_clients_frame_size() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"x" * 40000, 1))
    server.send(EndOfBody(1))
    sent = wire.frames_of(server.data_to_send())[1:]
    assert [len(frame.data) for frame in sent] == [16384, 16384, 7232]
    assert ["END_STREAM" in frame.flags for frame in sent] == [False, False, True]


def test_sendable_follows_the_stream_window_the_connection_window_and_what_is_queued() -> None:
    server = wire.open_server({4: 1000})
    server.receive(wire.headers(1, wire.GET) + wire.headers(3, wire.GET))
    assert server.sendable(1) == 1000
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"x" * 600, 1))
    assert server.sendable(1) == 400
    assert server.sendable(3) == 1000
    server.data_to_send()
    assert (server.sendable(1), server.sendable(3)) == (400, 1000)
    assert server.receive(wire.window_update(1, 50)) == [WindowOpened(1)]
    assert server.sendable(1) == 450


def test_raising_the_initial_window_opens_every_stream() -> None:
    server = wire.open_server({4: 0})
    server.receive(wire.headers(1, wire.GET))
    assert server.sendable(1) == 0
    assert server.receive(wire.settings({4: 70000})) == [WindowOpened(0)]
    assert server.sendable(1) == 65535  # now the connection's window is the smaller one
    assert server.receive(wire.window_update(0, 10)) == [WindowOpened(0)]
    assert server.sendable(1) == 65545


def test_a_shrunk_initial_window_may_go_below_zero() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"x" * 1000, 1))
    assert server.receive(wire.settings({4: 10})) == []
    assert server.sendable(1) == 0


def test_no_more_is_sendable_than_may_be_queued() -> None:
    server = wire.open_server({4: 2**31 - 1})
    server.receive(wire.headers(1, wire.GET) + wire.window_update(0, 2**30))
    assert server.sendable(1) == MAX_QUEUED_BODY_BYTES
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"x" * 200_000, 1))
    assert server.sendable(1) < MAX_QUEUED_BODY_BYTES - 200_000
    server.data_to_send()
    assert server.sendable(1) == MAX_QUEUED_BODY_BYTES


def test_more_than_sendable_is_a_bug_of_ours() -> None:
    server = wire.open_server({4: 10})
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    with pytest.raises(LocalProtocolError, match="sendable"):
        server.send(BodyChunk(b"x" * 11, 1))


def test_credit_returns_in_batches_when_bodies_are_consumed() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.POST, end=False))
    half = STREAM_WINDOW_BYTES // 2
    step = 32768
    for _ in range(half // step):
        (chunk,) = server.receive(wire.data(1, b"x" * step))
        assert isinstance(chunk, BodyChunk)
        assert server.data_to_send() == b""
        server.consumed(1, chunk.flow_bytes)
    assert wire.credit_of(server.data_to_send()) == {1: half}


def test_nothing_consumed_means_no_credit_and_no_more_than_a_window_unread() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.POST, end=False))
    for _ in range(STREAM_WINDOW_BYTES // 65536):
        server.receive(wire.data(1, b"x" * 65536))
    assert server.data_to_send() == b""
    assert "flow-control window" in wire.why_failed(server.receive(wire.data(1, b"x")))


def test_credit_of_an_abandoned_body_returns_when_its_stream_ends() -> None:
    server = wire.open_server()
    for stream_id in range(1, 2 * 20, 2):  # 20 x 128 KiB: more than the connection's window
        server.receive(wire.headers(stream_id, wire.POST, end=False) + wire.data(stream_id, b"x" * 65536))
        server.receive(wire.data(stream_id, b"x" * 65536))
        assert [type(e) for e in server.receive(wire.reset(stream_id))] == [StreamReset]
        server.consumed(stream_id, 131072)  # too late, and harmless
        server.release(stream_id)
    assert wire.credit_of(server.data_to_send())[0] >= 20 * 131072 - CONNECTION_WINDOW_BYTES // 2


def test_a_client_cannot_be_credited_more_than_it_sent() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.POST, end=False) + wire.data(1, b"x" * 1000))
    server.consumed(1, 10**9)
    assert server.data_to_send() == b""


def test_padding_alone_returns_its_credit_and_is_no_event() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.POST, end=False))
    for _ in range(150):
        assert server.receive(wire.data(1, b"", padding=255)) == []
    for _ in range(4):
        (chunk,) = server.receive(wire.data(1, b"x" * 50000))
        assert isinstance(chunk, BodyChunk)
        server.consumed(1, chunk.flow_bytes)
    assert wire.credit_of(server.data_to_send())[1] >= 131072


def test_an_answer_before_the_end_of_the_request_resets_the_rest_without_error() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.POST, end=False))
    sent = answer(server, 1)
    assert wire.resets_of(sent) == [(1, 0)]
    assert server.live_streams == 0
    # what was in flight is swallowed, its credit returned
    for _ in range(8):
        assert server.receive(wire.data(1, b"x" * 16384)) == []
    assert server.receive(wire.data(1, b"", end=True)) == []
    assert wire.credit_of(server.data_to_send()) == {0: 8 * 16384}
    assert server.receive(wire.headers(3, wire.GET))[1:] == [EndOfBody(3)]


def test_a_reset_by_the_client_is_an_event_and_what_we_send_after_it_is_dropped() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    assert server.receive(wire.reset(1, 8)) == [StreamReset(1, 8)]
    assert answer(server, 1) == b""
    server.send(StreamReset(1))
    assert server.data_to_send() == b""
    assert server.sendable(1) == 0


def test_a_place_stays_taken_until_a_reset_stream_is_released() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    assert server.live_streams == 1
    server.release(1)  # not over: no effect
    assert server.live_streams == 1
    server.receive(wire.reset(1))
    assert server.live_streams == 1
    server.release(1)
    server.release(1)
    assert server.live_streams == 0


def test_one_stream_too_many_is_refused_and_the_others_live() -> None:
    server = wire.open_server()
    for index in range(MAX_CONCURRENT_STREAMS):
        assert len(server.receive(wire.headers(2 * index + 1, wire.GET))) == 2
    over = 2 * MAX_CONCURRENT_STREAMS + 1
    assert server.receive(wire.headers(over, wire.GET)) == []
    assert (
        server.receive(wire.headers(over + 2, wire.POST, end=False) + wire.data(over + 2, b"body", end=True))
        == []
    )
    assert wire.resets_of(server.data_to_send()) == [(over, 7), (over + 2, 7)]
    answer(server, 1)
    assert len(server.receive(wire.headers(over + 4, wire.GET))) == 2


def test_our_reset_frees_the_place_at_once() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.POST, end=False) + wire.data(1, b"x" * 100))
    server.send(ResponseHead(200, stream_id=1))
    server.send(StreamReset(1, 2))
    assert wire.resets_of(server.data_to_send()) == [(1, 2)]
    assert server.live_streams == 0
    assert server.receive(wire.data(1, b"late")) == []


def test_a_ping_is_answered_ahead_of_queued_data() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"x" * 1000, 1))
    assert server.receive(wire.ping(b"pingpong")) == []
    first = wire.frames_of(server.data_to_send())[0]
    assert isinstance(first, PingFrame)
    assert (first.opaque_data, first.flags) == (b"pingpong", {"ACK"})


def test_an_answer_to_a_ping_is_ignored() -> None:
    server = wire.open_server()
    assert server.receive(wire.ping(ack=True)) == []
    assert server.data_to_send() == b""


def test_draining_lets_streams_under_way_finish_and_refuses_new_ones() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.POST, end=False))
    server.send(GoAway())
    assert server.is_draining
    assert wire.goaways_of(server.data_to_send()) == [(1, 0)]
    assert server.receive(wire.headers(3, wire.GET)) == []
    assert wire.resets_of(server.data_to_send()) == [(3, 7)]
    assert server.receive(wire.data(1, b"rest", end=True)) == [BodyChunk(b"rest", 1, 4), EndOfBody(1)]
    assert answer(server, 1)
    assert server.live_streams == 0
    server.send(GoAway(code=11))
    assert wire.goaways_of(server.data_to_send()) == [(1, 11)]  # never more than was promised before


def test_a_fault_while_draining_does_not_promise_more_streams() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(GoAway())
    server.receive(wire.headers(3, wire.GET))
    server.receive(wire.raw(6, 0, 0, b""))
    assert wire.goaways_of(server.data_to_send()) == [(1, 0), (1, 6)]


def test_a_goaway_of_the_client_does_not_end_what_is_under_way() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    assert server.receive(wire.goaway(5, 2, b"bye")) == [GoAway(5, 2)]
    assert [type(frame) for frame in wire.frames_of(answer(server, 1))] == [HeadersFrame, DataFrame]


@pytest.mark.slow
def test_a_connection_ends_gracefully_after_its_last_stream() -> None:
    server = wire.open_server()
    for index in range(MAX_STREAMS):
        assert not server.is_draining
        stream_id = 2 * index + 1
        assert len(server.receive(wire.headers(stream_id, wire.GET) + wire.window_update(0, 2))) == 3
        sent = answer(server, stream_id)
    assert wire.goaways_of(sent) == [(2 * MAX_STREAMS - 1, 0)]
    assert server.is_draining
    assert server.receive(wire.headers(2 * MAX_STREAMS + 1, wire.GET)) == []
    assert wire.resets_of(server.data_to_send()) == [(2 * MAX_STREAMS + 1, 7)]


def test_an_expectation_is_answered_with_100_and_then_the_answer() -> None:
    server = wire.open_server()
    (head,) = server.receive(wire.headers(1, [*wire.POST, (b"expect", b"100-continue")], end=False))
    assert isinstance(head, RequestHead)
    assert head.expects_continue
    server.send(InformationalHead(stream_id=1))
    assert len(server.receive(wire.data(1, b"x", end=True))) == 2
    sent = wire.frames_of(server.data_to_send() + answer(server, 1))
    assert [type(frame) for frame in sent] == [HeadersFrame, HeadersFrame, DataFrame]
    assert "END_STREAM" not in sent[0].flags


def test_a_head_answer_has_a_length_and_no_body() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, [(b":method", b"HEAD"), *wire.GET[1:]]))
    server.send(ResponseHead(200, stream_id=1, content_length=999))
    with pytest.raises(LocalProtocolError, match="content-length"):
        server.send(BodyChunk(b"x", 1))
    server.send(EndOfBody(1))
    (sent,) = wire.frames_of(server.data_to_send())
    assert "END_STREAM" in sent.flags


def test_a_refused_request_is_answered_like_any_other() -> None:
    server = wire.open_server()
    (refused,) = server.receive(wire.headers(1, [(b":method", b"BREW"), *wire.GET[1:]], end=False))
    assert isinstance(refused, StreamRefused)
    assert (refused.stream_id, refused.error.status_hint) == (1, 405)
    assert server.receive(wire.data(1, b"ignored body", end=True)) == []
    server.send(ResponseHead(405, stream_id=1, content_length=2))
    server.send(BodyChunk(b"no", 1))
    server.send(EndOfBody(1))
    assert [type(frame) for frame in wire.frames_of(server.data_to_send())] == [HeadersFrame, DataFrame]
    assert server.live_streams == 0


def test_a_refused_request_that_is_reset_leaves_its_place_at_once() -> None:
    server = wire.open_server()
    bad = [(b":method", b"BREW"), *wire.GET[1:]]
    events = server.receive(wire.headers(1, bad, end=False) + wire.data(1, b"x" * 100) + wire.reset(1))
    assert [type(event) for event in events] == [StreamRefused]
    assert server.live_streams == 0
    assert answer(server, 1) == b""


def test_a_refused_head_request_gets_no_body() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, [(b":method", b"HEAD"), *wire.GET[1:], (b"upgrade", b"x")]))
    server.send(ResponseHead(400, stream_id=1, content_length=2))
    server.send(BodyChunk(b"no", 1))
    server.send(EndOfBody(1))
    sent = wire.frames_of(server.data_to_send())
    assert [type(frame) for frame in sent if not isinstance(frame, RstStreamFrame)] == [HeadersFrame]


@pytest.mark.parametrize("ended", [True, False])
def test_a_malformed_request_is_answered_and_its_stream_then_ends_with_an_error(ended: bool) -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, [*wire.GET, (b"X-Upper", b"x")], end=ended))
    server.send(ResponseHead(400, stream_id=1, content_length=2))
    server.send(BodyChunk(b"no", 1))
    server.send(EndOfBody(1))
    output = server.data_to_send()
    assert [type(frame) for frame in wire.frames_of(output)] == [HeadersFrame, DataFrame, RstStreamFrame]
    assert "END_STREAM" in wire.frames_of(output)[1].flags
    assert wire.resets_of(output) == [(1, 1)]
    assert server.live_streams == 0


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([BodyChunk(b"x", 1)], "before its head"),
        ([EndOfBody(1)], "before its head"),
        ([ResponseHead(200, stream_id=1), ResponseHead(200, stream_id=1)], "second head"),
        ([ResponseHead(200, stream_id=1), InformationalHead(stream_id=1)], "second head"),
        ([ResponseHead(200, stream_id=1, content_length=1), BodyChunk(b"xy", 1)], "more body"),
        ([ResponseHead(200, stream_id=1, content_length=3), BodyChunk(b"xy", 1), EndOfBody(1)], "less body"),
        ([ResponseHead(200, stream_id=3)], "never opened"),
        ([ResponseHead(200, stream_id=0)], "never opened"),
        ([ResponseHead(200, stream_id=2)], "never opened"),
        ([ResponseHead(101, stream_id=1)], "status 101"),
        ([ResponseHead(600, stream_id=1)], "status 600"),
        ([InformationalHead(103, 1)], "status 103"),
        ([ResponseHead(200, ((b"connection", b"close"),), 1)], "connection"),
        ([ResponseHead(200, ((b"X-Upper", b"v"),), 1)], "X-Upper"),
        ([ResponseHead(200, ((b"x-a", b"a\r\nb: c"),), 1)], "x-a"),
        ([Ping()], "Ping"),
    ],
)
def test_what_http2_does_not_allow_us_to_send_is_a_bug_of_ours(steps: list[Event], why: str) -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    for step in steps[:-1]:
        server.send(step)
    with pytest.raises(LocalProtocolError, match=why):
        server.send(steps[-1])


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_gets_no_content_length(status: int) -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(status, stream_id=1, content_length=0))
    server.send(EndOfBody(1))
    (sent,) = wire.frames_of(server.data_to_send())
    assert Decoder().decode(sent.data, raw=True) == [(b":status", str(status).encode())]


def test_a_content_length_among_the_headers_is_not_doubled() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, ((b"content-length", b"2"),), 1, content_length=2))
    (sent,) = wire.frames_of(server.data_to_send())
    assert Decoder().decode(sent.data, raw=True) == [(b":status", b"200"), (b"content-length", b"2")]


def test_an_empty_chunk_is_nothing() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"", 1))
    server.send(EndOfBody(1))
    (sent,) = wire.frames_of(server.data_to_send())
    assert "END_STREAM" in sent.flags


def test_the_end_of_input_between_requests_is_orderly() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    assert server.receive(b"") == [PeerClosed()]
    assert server.receive(b"") == []
    assert server.receive(wire.headers(3, wire.GET)) == []
    assert answer(server, 1) == b""
    server.send(GoAway())
    server.consumed(1, 1)
    assert server.data_to_send() == b""
    assert server.sendable(1) == 0


def test_the_end_of_input_before_anything_is_orderly() -> None:
    assert Http2Server().receive(b"") == [PeerClosed()]


@pytest.mark.parametrize(
    "bytes_before",
    [
        wire.PREFACE[:10],
        wire.PREFACE + wire.settings() + wire.headers(1, wire.GET)[:20],
        wire.PREFACE + wire.settings() + wire.headers(1, wire.POST, end=False),
        wire.PREFACE + wire.settings() + wire.headers_frame(1, wire.plain_block(wire.GET), whole=False),
    ],
)
def test_the_end_of_input_inside_something_is_a_failure(bytes_before: bytes) -> None:
    server = Http2Server()
    server.receive(bytes_before)
    assert wire.why_failed(server.receive(b"")) == "the connection ended inside a frame or a request"


def test_a_response_survives_a_fault_that_follows_it() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, wire.GET))
    server.send(ResponseHead(200, stream_id=1))
    server.send(BodyChunk(b"ok", 1))
    server.send(EndOfBody(1))
    server.receive(wire.data(1, b"after the end"))
    sent = wire.frames_of(server.data_to_send())
    assert [type(frame) for frame in sent] == [HeadersFrame, DataFrame, GoAwayFrame]


def client() -> h2.connection.H2Connection:
    return h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))


def test_an_h2_client_has_a_conversation_with_us() -> None:
    server, peer = Http2Server(), client()
    peer.initiate_connection()
    peer.receive_data(server.data_to_send())
    received = b""
    for stream_id in range(1, 41, 2):
        fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "gw"),
            (":path", "/api"),
            ("x", "y" * 500),
        ]
        peer.send_headers(stream_id, fields)
        peer.send_data(stream_id, b"question", end_stream=True)
        events = server.receive(peer.data_to_send())
        assert [type(e) for e in events if not isinstance(e, WindowOpened)] == [
            RequestHead,
            BodyChunk,
            EndOfBody,
        ]
        server.consumed(stream_id, 8)
        body = b"answer" * 2000
        server.send(
            ResponseHead(200, ((b"content-type", b"text/plain"),), stream_id, content_length=len(body))
        )
        while body:
            part = body[: server.sendable(stream_id)]
            server.send(BodyChunk(part, stream_id))
            body = body[len(part) :]
        server.send(EndOfBody(stream_id))
        for event in peer.receive_data(server.data_to_send()):
            if isinstance(event, h2.events.DataReceived):
                received += event.data
                peer.acknowledge_received_data(event.flow_controlled_length, stream_id)
    assert received == b"answer" * 2000 * 20


def test_an_h2_client_with_a_tiny_window_gets_a_large_answer_in_the_end() -> None:
    server, peer = Http2Server(), client()
    peer.local_settings.initial_window_size = 5000
    peer.local_settings.acknowledge()
    peer.initiate_connection()
    peer.receive_data(server.data_to_send())
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", "gw"), (":path", "/api")]
    peer.send_headers(1, fields, end_stream=True)
    server.receive(peer.data_to_send())
    left, received = b"z" * 100_000, 0
    server.send(ResponseHead(200, stream_id=1))
    for _ in range(200):
        part = left[: server.sendable(1)]
        left = left[len(part) :]
        if part:
            server.send(BodyChunk(part, 1))
        if not left:
            server.send(EndOfBody(1))
        for event in peer.receive_data(server.data_to_send()):
            if isinstance(event, h2.events.DataReceived):
                received += len(event.data)
                peer.acknowledge_received_data(event.flow_controlled_length, 1)
            if isinstance(event, h2.events.StreamEnded):
                assert received == 100_000
                return
        server.receive(peer.data_to_send())
    raise AssertionError(received)
