"""Everything about one call is read from the log, and checked to be of that call."""

import gzip
import sqlite3
from pathlib import Path

import msgspec
import pytest

from protocol.events import Channel
from storage.errors import CorruptFrame, StorageError
from storage.index import Indexer
from storage.index_schema import GarbledIndex, day_files
from storage.query import Query, parse_query
from storage.records import (
    BudgetCrossed,
    CallRecord,
    ChannelChanged,
    ChannelChunk,
    CommandSeen,
    Exited,
    FileCopied,
    Intent,
    Outcome,
    RequestBody,
    RequestEnded,
    ResponseBody,
    ResponseStarted,
    SubRequest,
)
from storage.search import Archive
from storage.search_rows import Found
from storage.sources import RecordSource, SegmentLogs
from storage.timeline import (
    MAX_SHOWN,
    Body,
    body_text,
    group_by_command,
    read_call,
    read_detail,
    transcript,
)
from tests.kit.governed import APPROVED_HOLD, governed_story
from tests.kit.recorded import ANN, SESSIONS, MemoryLogs, Tape, whole_story, write_log


def archive_of(directory: Path, source: RecordSource) -> Archive:
    indexer = Indexer(directory, source=source)
    while indexer.run_once(7):
        pass
    indexer.close()
    return Archive(indexer.directory, source)


def only(archive: Archive, expression: str):  # type: ignore[no-untyped-def]
    (row,) = archive.calls(parse_query(expression, now_ns=0), limit=9)
    return row


@pytest.mark.parametrize("real", [True, False])
def test_an_exec_in_full(tmp_path: Path, real: bool) -> None:
    tape = whole_story()
    if real:
        write_log(tmp_path, tape)
    source: RecordSource = SegmentLogs(tmp_path) if real else MemoryLogs(a=tape)
    archive = archive_of(tmp_path, source)
    detail = read_detail(source, archive, only(archive, "kind:exec"))
    assert isinstance(detail.intent, Intent)
    assert detail.sizes == [(5200, 120, 40), (30_000_000, 100, 30)]
    stdout = detail.streams["stdout"]
    assert (stdout.chunks, stdout.first_us, stdout.last_us) == (5, 700_000, 63_000_000)
    assert set(detail.streams) == {"resize", "stdout", "stdin"}
    assert isinstance(detail.exited, Exited)
    assert detail.outcome is not None
    assert detail.outcome.exit_code == 42
    assert detail.tunnel_ended is not None
    assert detail.timings == detail.outcome.timings


def test_a_patch_has_both_bodies_pretty(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    detail = read_detail(source, archive, only(archive, "verb:patch"))
    assert body_text(detail.request) == '{\n  "kind": "Deployment",\n  "spec": {\n    "replicas": 3\n  }\n}'
    assert detail.response.size == 23
    assert detail.response_headers


def test_a_port_forward_has_its_ports_and_directions(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    detail = read_detail(source, archive, only(archive, "kind:portforward"))
    assert detail.ports == [5432]
    assert set(detail.streams) == {"data 0 to cluster", "data 0 from cluster", "forward-error 1 from cluster"}


def test_a_crashed_call_has_what_there_is(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    detail = read_detail(source, archive, only(archive, "result:unknown"))
    assert detail.outcome is None
    assert detail.timings.upstream_sent_us is None


def test_a_long_stream_among_many_others_is_read_by_its_positions(tmp_path: Path) -> None:
    tape = Tape()
    stream = tape.logs(lines=1, end=False)
    size = 0
    for number in range(400):
        for _ in range(3):
            tape.delete(name=f"pod-{number}", run=str(number))
        tape.records.append(ResponseBody(stream, number * 1000, size, b"%d\n" % number))
        size += 4
    tape.records.append(Outcome(stream, 400_000, "completed", 200))
    source = MemoryLogs(a=tape)
    archive = archive_of(tmp_path, source)
    row = only(archive, "kind:log")
    records = [record for _, record in read_call(source, archive, row)]
    assert len(records) == row.records == 404
    positions = archive.positions(row)
    later = [record for _, record in read_call(source, archive, row, after_seq=positions[-3].record_seq)]
    assert later == records[-2:]


def test_an_index_that_points_elsewhere_is_caught(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    row = only(archive, "verb:patch")
    (path,) = day_files(tmp_path / "index").values()
    wrong = archive.positions(only(archive, "verb:list"))
    packed = msgspec.msgpack.encode([(1, at.offset, at.index_in_frame, at.record_seq) for at in wrong])
    with sqlite3.connect(path) as day:
        day.execute("DELETE FROM positions WHERE call = ?", (row.id,))
        day.execute("INSERT INTO positions VALUES (?, 0, ?)", (row.id, packed))
    day.close()
    with pytest.raises(GarbledIndex, match="another call"):
        read_detail(source, archive, row)


def test_an_index_that_points_between_frames_is_caught(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    row = only(archive, "verb:patch")
    (path,) = day_files(tmp_path / "index").values()
    with sqlite3.connect(path) as day:
        packed = msgspec.msgpack.encode([(1, 5000, 0, row.seq)])
        day.execute("UPDATE positions SET packed = ? WHERE call = ?", (packed, row.id))
    day.close()
    with pytest.raises(GarbledIndex):
        read_detail(source, archive, row)


def test_records_that_expired_are_said_to_be_gone(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    source.expired_before = 60
    with pytest.raises(StorageError, match="no longer in the log"):
        read_detail(source, archive, only(archive, "verb:list"))


def test_a_log_shorter_than_its_index_is_caught(tmp_path: Path) -> None:
    tape = whole_story()
    source = MemoryLogs(a=tape)
    archive = archive_of(tmp_path, source)
    row = only(archive, "result:client-left")
    del tape.records[row.seq + 2 :]
    with pytest.raises(GarbledIndex, match="ends before"):
        read_detail(source, archive, row)


def test_an_unreadable_record_is_caught(tmp_path: Path) -> None:
    class Unreadable(MemoryLogs):
        def records(self, log, start):  # type: ignore[no-untyped-def]
            for position, _ in super().records(log, start):
                yield position, b"\xc1"

    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    with pytest.raises(GarbledIndex, match="not readable"):
        read_detail(Unreadable(a=whole_story()), archive, only(archive, "verb:list"))


def test_calls_are_grouped_by_command_in_order(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, MemoryLogs(a=whole_story()))
    cards = group_by_command(archive.calls_of(Found("session", SESSIONS[ANN.user])))
    assert [len(card.calls) for card in cards] == [4, 2, 1, 2, 1, 1, 1]
    assert archive.calls(Query(), limit=1)[0].command == cards[-1].command


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (Body("application/json", data=b'{"a":1}'), '{\n  "a": 1\n}'),
        (Body("application/json;stream=watch", data=b'{"a":1}\n{"b"'), '{"a":1}\n{"b"'),
        (Body("application/apply-patch+yaml", data=b"a: \xff"), "a: \ufffd"),
        (Body("text/plain; charset=utf-8", data=b"ok"), "ok"),
        (Body("application/json", "gzip", data=gzip.compress(b'{"a":1}')), '{\n  "a": 1\n}'),
        (Body("application/json", "gzip", data=b"not gzip"), None),
        (Body("application/vnd.kubernetes.protobuf", data=b"k8s\x00"), None),
        (Body("", data=b"?"), None),
    ],
)
def test_a_body_is_text_if_its_type_says_so(body: Body, text: str | None) -> None:
    assert body_text(body) == text


def test_a_damaged_log_is_said_not_blamed_on_the_index(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    archive = archive_of(tmp_path, source)
    source.damaged_at = 15
    with pytest.raises(CorruptFrame):
        read_detail(source, archive, only(archive, "verb:list"))


def test_channels_and_records_this_version_does_not_know_are_shown_as_such(tmp_path: Path) -> None:
    tape = Tape()
    exchange = tape.exec(end=False)
    tape.records.append(ChannelChunk(exchange, 1, 99, False, b"?"))
    tape.records.append(ChannelChunk(exchange, 2, Channel.STDOUT, False, b"no end"))
    tape.records.append(ChannelChanged(exchange, 2, "ended", Channel.STDIN, True))
    tape.records.append(RequestEnded(exchange, 3, 0))
    source = MemoryLogs(a=tape)
    archive = archive_of(tmp_path, source)
    detail = read_detail(source, archive, only(archive, "kind:exec"))
    assert detail.streams["channel-99"].size == 1
    text = transcript(record for _, record in read_call(source, archive, detail.row))
    assert "".join(text).endswith("exit 42\nno end\n")


def test_a_zip_bomb_is_cut(tmp_path: Path) -> None:
    bomb = Body("text/plain", "gzip", data=gzip.compress(bytes(50_000_000)))
    text = body_text(bomb)
    assert text is not None
    assert len(text) == 1024 * 1024


def test_a_long_body_is_kept_up_to_the_limit_and_counted_whole(tmp_path: Path) -> None:
    tape = Tape()
    exchange = tape.intent(CallRecord("create", path="/x"), method="POST")
    for offset in range(0, 100, 10):
        tape.records.append(RequestBody(exchange, offset, b"x" * 10))
    tape.records.append(ResponseStarted(exchange, 1, 200, ((b"date", b"x"), (b"content-encoding", b"GZIP"))))
    source = MemoryLogs(a=tape)
    archive = archive_of(tmp_path, source)
    detail = read_detail(source, archive, archive.calls(Query(), limit=1)[0], body_bytes=25)
    assert (detail.request.size, len(detail.request.data), detail.response.encoding) == (100, 25, "gzip")


def test_a_transcript_is_what_was_seen_of_both_outputs() -> None:
    x = bytes(16)
    records = [
        ChannelChunk(x, 1, Channel.STDOUT, False, b"\x1b[1mout\r\n"),
        ChannelChunk(x, 2, Channel.STDIN, True, b"typed"),
        ChannelChunk(x, 3, Channel.STDERR, False, b"err"),
        ChannelChunk(x, 4, 99, False, b"?"),
        ResponseBody(x, 5, 0, b"line\n"),
    ]
    assert list(transcript(iter(records))) == ["out\n", "line\n", "err\n"]


def governed(directory: Path, tape: Tape) -> tuple[MemoryLogs, Archive]:
    source = MemoryLogs(a=tape)
    return source, archive_of(directory, source)


def test_a_held_call_in_full(tmp_path: Path) -> None:
    source, archive = governed(tmp_path, governed_story())
    detail = read_detail(source, archive, only(archive, "hold:approved"))
    (hold,) = detail.story.holds
    assert (hold.hold, hold.by, hold.note) == (APPROVED_HOLD, ("bob",), "approved, ticket 4711")
    (asked,) = detail.sub_requests
    assert (asked.purpose, asked.status) == ("dry-run", 200)
    lost = read_detail(source, archive, only(archive, "hold:unknown"))
    assert lost.story.hold_results == ("unknown",)


def test_a_guarded_exec_in_full_and_in_order(tmp_path: Path) -> None:
    source, archive = governed(tmp_path, governed_story())
    row = only(archive, "kind:exec")
    detail = read_detail(source, archive, row)
    assert [(one.line, one.action) for one in detail.commands] == [
        ("ls /srv", ""),
        ("rm -rf /srv/data", "hold"),
    ]
    assert [(one.direction, one.name) for one in detail.files] == [
        ("down", "/etc/passwd"),
        ("up", "tmp/[x]/key.pem"),
    ]
    assert [one.counter for one in detail.budgets] == ["execMinutes"]
    assert detail.story.masked == {"secrets/mask": 2}
    times = [getattr(record, "at_us", 0) for _, record in read_call(source, archive, row)]
    assert times == sorted(times)


def test_more_than_is_shown_is_counted(tmp_path: Path) -> None:
    tape = Tape()
    exchange = tape.intent(CallRecord("get", path="/x"))
    tape.records += [CommandSeen(exchange, 1, "l") for _ in range(MAX_SHOWN + 1)]
    tape.records += [FileCopied(exchange, 1, "up", "f", 1) for _ in range(MAX_SHOWN + 1)]
    tape.records += [BudgetCrossed(exchange, 1, "r", "c", 1, 1, "hold") for _ in range(MAX_SHOWN + 1)]
    tape.records += [
        SubRequest(exchange, 1, "old-object", "GET", b"/", 0, b"%016d" % at) for at in range(MAX_SHOWN + 1)
    ]
    source, archive = governed(tmp_path, tape)
    detail = read_detail(source, archive, only(archive, ""))
    kept = (detail.commands, detail.files, detail.budgets, detail.sub_requests)
    assert [len(shown) for shown in kept] == [MAX_SHOWN] * 4
    assert (detail.story.commands, detail.story.files) == (MAX_SHOWN + 1, MAX_SHOWN + 1)
