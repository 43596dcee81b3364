"""Records of one exchange -> row and texts: what is text, how it is cut, what a command is."""

import hashlib

import pytest

from protocol.events import Channel, Headers
from storage.index_rows import (
    IndexSettings,
    OpenCall,
    call_row,
    call_text,
    command_id,
    day_of,
)
from storage.index_text import MAX_PIECE_CHARS, PIECE_SPAN_US, Piece
from storage.records import (
    CallRecord,
    ChannelChunk,
    Exited,
    Intent,
    Outcome,
    RequestBody,
    RequestEnded,
    ResponseBody,
    ResponseStarted,
    VerdictRecord,
)
from tests.kit.recorded import ANN, START_NS

X = bytes(range(16))
SETTINGS = IndexSettings()


def intent(
    call: CallRecord | None = None,
    *,
    headers: Headers = (),
    run: str = "",
    connection: str = "c",
    who: bool = True,
) -> Intent:
    return Intent(
        X, START_NS, "", connection, "10.0.0.9:50100", "1.1", "GET", b"/\xff", headers, ANN if who else None, call,
        VerdictRecord("deny", "enforce", reason="bad target"), 2, kubectl_session=run,
    )  # fmt: skip


def taken(
    *records: object,
    headers: Headers = (),
    call: CallRecord | None = None,
    settings: IndexSettings = SETTINGS,
) -> tuple[OpenCall, list[Piece]]:
    pieces: list[Piece] = []
    opened = OpenCall.begin(1, "a", 7, intent(call, headers=headers), settings)
    for record in records:
        opened.take(record, settings, pieces)  # type: ignore[arg-type]
    opened.flush(pieces)
    return opened, pieces


def started(content_type: bytes, *more: tuple[bytes, bytes]) -> ResponseStarted:
    return ResponseStarted(X, 1, 200, ((b"content-type", content_type), *more))


@pytest.mark.parametrize(
    ("content_type", "more", "is_text"),
    [
        (b"application/json", (), True),
        (b"application/json;as=Table;v=v1;g=meta.k8s.io", (), True),
        (b"Application/Strategic-Merge-Patch+JSON", (), True),
        (b"application/apply-patch+yaml", (), True),
        (b"text/plain; charset=utf-8", (), True),
        (b"application/json", ((b"content-encoding", b"identity"),), True),
        (b"application/json", ((b"content-encoding", b"gzip"),), False),
        (b"application/vnd.kubernetes.protobuf", (), False),
        (b"application/octet-stream", (), False),
    ],
)
def test_only_bodies_that_say_they_are_text_are_indexed(
    content_type: bytes, more: Headers, is_text: bool
) -> None:
    _, pieces = taken(
        started(content_type, *more), ResponseBody(X, 5, 0, b'{"a": 1}\n'), Outcome(X, 6, "completed", 200)
    )
    assert pieces == ([Piece(1, "response", 5, '{"a": 1}\n')] if is_text else [])


def test_a_body_before_any_head_is_not_guessed_at() -> None:
    assert taken(ResponseBody(X, 5, 0, b"text\n"), RequestBody(X, 0, b"text\n"))[1] == []


def test_a_body_is_cut_at_the_limit_and_says_so() -> None:
    settings = IndexSettings(max_body_bytes=10)
    opened, pieces = taken(
        RequestBody(X, 0, b"12345 "), RequestBody(X, 6, b"7890 lost\n"), Outcome(X, 6, "completed", 200),
        headers=((b"content-type", b"application/json"),), settings=settings,
    )  # fmt: skip
    assert [piece.text for piece in pieces] == ["12345 7890"]
    assert opened.row.text_cut


def test_log_output_has_the_larger_limit() -> None:
    settings = IndexSettings(max_body_bytes=5)
    call = CallRecord("get", "", "v1", "pods", "log", "prod", "web")
    opened, pieces = taken(
        started(b"text/plain"), ResponseBody(X, 9, 0, b"more than five\n"), call=call, settings=settings
    )
    assert pieces == [Piece(1, "log", 9, "more than five\n")]
    assert not opened.row.text_cut


def chunk(data: bytes) -> ChannelChunk:
    return ChannelChunk(X, 5, Channel.STDOUT, False, data)


def test_binary_output_is_left_out_and_said_to_be_missing() -> None:
    compressed = hashlib.shake_128(b"a compressed file").digest(32 * 1024)
    opened, pieces = taken(chunk(b"before\n"), chunk(compressed), chunk(b"after\n"))
    assert "".join(piece.text for piece in pieces) == "before\nafter\n"
    assert opened.row.text_cut
    assert opened.row.output_bytes == len(b"before\n") + len(compressed) + len(b"after\n")


def test_text_in_a_tar_archive_is_indexed_and_its_padding_costs_nothing() -> None:
    archive = b"data/customers.csv" + bytes(494) + b"id,name\n7,Ada\n" + bytes(10 * 1024)
    settings = IndexSettings(max_stream_bytes=100)
    opened, pieces = taken(chunk(archive), settings=settings)
    assert "7,Ada" in "".join(piece.text for piece in pieces)
    assert not opened.row.text_cut


def test_coloured_output_and_short_chunks_are_text() -> None:
    coloured = b"\x1b[31mred\x1b[0m \r\n" * 200
    opened, pieces = taken(chunk(coloured), chunk(b"\x01\x02 odd \x03\n"))
    assert "red" in pieces[0].text
    assert "odd" in pieces[-1].text
    assert not opened.row.text_cut


def test_a_long_text_is_cut_between_lines_then_words_then_anywhere() -> None:
    lines = b"x" * 80 + b"\n"
    words = b"word-1.x " * 2000
    for data in (lines * 300, words, b"y" * 20_000):
        _, pieces = taken(
            started(b"text/plain"), ResponseBody(X, 5, 0, data), Outcome(X, 6, "completed", 200)
        )
        assert "".join(piece.text for piece in pieces).strip() == data.decode().strip()
        assert all(len(piece.text) <= MAX_PIECE_CHARS for piece in pieces)
        if data is not words:
            continue
        assert all(piece.text.startswith("word") for piece in pieces)


def test_a_piece_spans_at_most_a_second_of_output() -> None:
    call = CallRecord("create", "", "v1", "pods", "exec", "prod", "web")
    chunks = [ChannelChunk(X, at * 400_000, Channel.STDERR, False, b"line %d\n" % at) for at in range(6)]
    _, pieces = taken(*chunks, call=call)
    assert [piece.at_us for piece in pieces] == [0, 1_200_000]
    assert pieces[0].text == "line 0\nline 1\nline 2\n"
    assert pieces[1].at_us - pieces[0].at_us >= PIECE_SPAN_US


def test_blank_output_makes_no_piece() -> None:
    assert taken(ChannelChunk(X, 1, Channel.STDOUT, False, b" \r\n\r\n"))[1] == []


def test_bytes_are_counted_by_direction() -> None:
    opened, _ = taken(
        ChannelChunk(X, 1, Channel.STDIN, True, b"12"),
        ChannelChunk(X, 1, Channel.STDOUT, False, b"345"),
        ChannelChunk(X, 1, Channel.STDERR, False, b"6"),
        ChannelChunk(X, 1, Channel.DATA, True, b"7890"),
        ChannelChunk(X, 1, Channel.DATA, False, b"12345"),
        ChannelChunk(X, 1, Channel.RESIZE, True, b"{}"),
        RequestEnded(X, 99, 3),
    )
    row = opened.row
    assert (row.stdin_bytes, row.output_bytes, row.sent_bytes, row.received_bytes) == (2, 4, 4, 5)
    assert (row.records, row.last_us) == (8, 99)


def test_the_outcome_wins_over_what_was_seen_before() -> None:
    opened, _ = taken(started(b"text/plain"), Exited(X, 5, 3), Outcome(X, 9, "failed", 0, "lost", 1, 2))
    row = opened.row
    assert (row.result, row.why, row.status, row.exit_code, row.request_bytes, row.response_bytes) == (
        "failed",
        "lost",
        200,
        3,
        1,
        2,
    )


def test_an_abandoned_call_gives_out_its_last_line() -> None:
    opened, pieces = taken(ChannelChunk(X, 1, Channel.STDOUT, False, b"no line end"))
    assert pieces == []
    opened.abandon("crash", pieces)
    assert [piece.text for piece in pieces] == ["no line end"]
    assert opened.row.result == "unknown"


def test_an_open_call_survives_being_stored() -> None:
    call = CallRecord("get", "", "v1", "pods", "log", "prod", "web")
    opened, pieces = taken(started(b"text/plain"), ResponseBody(X, 5, 0, b"half a li\xc3"), call=call)
    again = OpenCall.decode(opened.encode(), SETTINGS)
    again.take(ResponseBody(X, 9, 11, b"\xbce\n"), SETTINGS, pieces)
    again.flush(pieces)
    assert pieces == [Piece(1, "log", 5, "half a li\u00fce\n")]


def test_what_was_refused_before_it_was_a_call_has_a_row_too() -> None:
    row = call_row(1, "a", 7, intent(None, who=False))
    assert (row.verb, row.user, row.kind, row.target, row.decision) == ("get", "", "call", "/ÿ", "deny")
    assert call_text(intent(None)) == "GET /ÿ bad target"


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (CallRecord("create", "", "v1", "pods", "exec"), "exec"),
        (CallRecord("get", "", "v1", "pods", "attach"), "attach"),
        (CallRecord("create", "", "v1", "pods", "portforward"), "portforward"),
        (CallRecord("create", "x", "v1", "virtualmachines", "portforward"), "call"),
        (CallRecord("get", "", "v1", "pods", "log"), "log"),
        (CallRecord("watch", "", "v1", "pods"), "watch"),
        (CallRecord("list", "", "v1", "pods"), "call"),
    ],
)
def test_the_kind_of_a_call(call: CallRecord, kind: str) -> None:
    assert call_row(1, "a", 7, intent(call)).kind == kind


def test_a_run_of_kubectl_is_one_command_within_one_credential() -> None:
    assert command_id(intent(run="r", connection="1")) == command_id(intent(run="r", connection="2"))
    assert command_id(intent(run="r")) != command_id(intent(run="r", who=False))
    assert command_id(intent(connection="1")) != command_id(intent(connection="2"))
    assert command_id(intent(run="c")) != command_id(intent(connection="c"))


def test_days_are_utc() -> None:
    assert day_of(START_NS) == "2026-01-31"
    assert day_of(START_NS + 14 * 3600 * 10**9) == "2026-02-01"
