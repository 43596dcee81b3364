"""Records: what is written is what is read, whatever version wrote it."""

import msgspec
import pytest

from storage.records import (
    KNOWN_NUMBERS,
    AnyRecord,
    BudgetCrossed,
    CallRecord,
    ChannelChanged,
    ChannelChunk,
    CommandSeen,
    Exited,
    FileCopied,
    Gap,
    Heartbeat,
    Held,
    HoldEnded,
    Intent,
    LogStarted,
    LogStopped,
    LossAccepted,
    Masked,
    Outcome,
    PolicyLoaded,
    PrincipalRecord,
    RequestBody,
    RequestEnded,
    Resized,
    ResponseBody,
    ResponseStarted,
    SegmentRecovered,
    SessionOpened,
    StateChanged,
    SubRequest,
    Timings,
    TunnelEnded,
    TunnelStarted,
    UnknownRecord,
    VerdictRecord,
    decode_record,
    encode_record,
)

ID = bytes(range(16))
ALICE = PrincipalRecord("alice", ("sre",), "oidc", "ab" * 16, extra=(("k", ("v",)),))

EVERY_RECORD: tuple[AnyRecord, ...] = (
    LogStarted(1, "gw", "0.1.0", 0, "observe"),
    LogStopped(2, "drained"),
    Gap(3, "why", ID),
    SegmentRecovered(4, "a.open", 4096, 12, "torn", b"v" * 32, b"t" * 32),
    Heartbeat(4),
    LossAccepted(4, "rolled back", "disk replaced"),
    SessionOpened("01M82RPHV9PPWCSFBRHFN6S896", 5, ALICE, "127.0.0.1:1"),
    Intent(
        ID, 6, "s", "c", "127.0.0.1:1", "2", "GET", b"/api", ((b"accept", b"x"),), ALICE,
        CallRecord("list", resource="pods", argv=("a", "b")), VerdictRecord("allow", "observe"), 2,
    ),
    RequestBody(ID, 0, b"\x00\xff"),
    ResponseStarted(ID, 7, 200, ()),
    ResponseBody(ID, 8, 0, b"body"),
    Outcome(ID, 9, "completed", 200, timings=Timings(upstream_sent_us=3)),
    RequestEnded(ID, 10, 70_000),
    TunnelStarted(ID, 11, "exec", "spdy", "v4.channel.k8s.io", True),
    ChannelChunk(ID, 12, 1, False, b"out"),
    ChannelChanged(ID, 13, "opened", 5, True, 0, 80),
    Resized(ID, 14, 120, 40),
    Exited(ID, 15, 42, "command terminated"),
    TunnelEnded(ID, 16, "client", 1000, "bye"),
    PolicyLoaded(17, "00", "enforce"),
    Masked(ID, 18, "answer", (("secrets/mask", 3),)),
    Held(ID, 19, "01M82RPHV9PPWCSFBRHFN6S896", ("prod/hold",), b"d" * 32),
    HoldEnded(ID, 20, "01M82RPHV9PPWCSFBRHFN6S896", "approved", ("bob",), "go on"),
    StateChanged(21, "HoldVoted", b"{}", b"signature"),
    CommandSeen(ID, 22, "rm -rf /", "deny", "prod/no-wipe"),
    FileCopied(ID, 23, "down", "etc/passwd", 1024, sha256=b"s" * 32),
    SubRequest(ID, 24, "dry-run", "DELETE", b"/api/v1/namespaces/x?dryRun=All", 200, b"a" * 16),
    BudgetCrossed(ID, 25, "agents/deletes", "deletes", 11, 10, "freeze"),
)  # fmt: skip


@pytest.mark.parametrize("record", EVERY_RECORD, ids=lambda record: type(record).__name__)
def test_every_record_is_read_as_it_was_written(record: AnyRecord) -> None:
    assert decode_record(encode_record(record)) == record
    assert decode_record(memoryview(encode_record(record))) == record


def test_every_number_is_used_once_and_known() -> None:
    numbers = [msgspec.msgpack.decode(encode_record(record))[0] for record in EVERY_RECORD]
    assert sorted(numbers) == sorted(KNOWN_NUMBERS)


def test_a_record_of_a_newer_version_is_kept_as_it_is() -> None:
    newer = msgspec.msgpack.encode([99, b"something"])
    assert decode_record(newer) == UnknownRecord(99, newer)


def test_fields_added_by_a_newer_version_are_passed_over() -> None:
    fields = msgspec.msgpack.decode(encode_record(LogStopped(2, "drained")))
    assert decode_record(msgspec.msgpack.encode([*fields, "new"])) == LogStopped(2, "drained")


@pytest.mark.parametrize("content", [[2, "not a time"], [2], {}, "text", []])
def test_what_is_no_record_is_an_error_and_not_an_unknown_record(content: object) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_record(msgspec.msgpack.encode(content))
