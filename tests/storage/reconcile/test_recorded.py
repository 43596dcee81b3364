"""Which calls of ours a cluster's audit log can know, and of which time the record can speak."""

import uuid

import msgspec
import pytest

from storage.reconcile.audit_log import Answered, AuditEvent, Person
from storage.reconcile.compare import Judge, differences, is_expected
from storage.reconcile.recorded import MARGIN_NS, NO_TIME, RecordedCall, RecordedCalls, Span
from storage.records import AnyRecord, CallRecord, Held, LogStopped, Outcome, SubRequest, UnknownRecord
from tests.kit.audited import forwarded, log_started, story
from tests.kit.governed import APPROVED_HOLD, DRY_RUN_ID, governed_story, held_delete
from tests.kit.recorded import START_NS, Tape, whole_story


def collected(records: list[AnyRecord]) -> tuple[RecordedCalls, list[RecordedCall]]:
    calls = RecordedCalls()
    found = [one for seq, record in enumerate(records) for one in calls.take(seq, record)]
    return calls, found + list(calls.finish())


# --- our record ---------------------------------------------------------------------------------


def test_forwarded_calls_are_collected_with_how_far_they_came() -> None:
    calls, found = collected(story(calls=2))
    assert [(one.verb, one.target, one.status, one.is_answered) for one in found] == [
        ("delete", f"/api/v1/namespaces/prod/pods/pod-{number}", 200, True) for number in range(2)
    ]
    assert found[0].audit_id == str(uuid.UUID(bytes=found[0].exchange))
    assert calls.holes == []
    assert calls.span == Span(START_NS, START_NS + 180 * 10**9 + 8_000_000)


def test_calls_that_went_nowhere_are_not_collected() -> None:
    tape = Tape()
    tape.denied()
    assert collected(forwarded(tape.records))[1] == []
    assert collected([Outcome(b"?" * 16, 5, "completed", 200)])[1] == []


@pytest.mark.parametrize(("ending", "result"), [(LogStopped(START_NS, "drained"), "unknown"), (None, "open")])
def test_calls_without_an_end_are_collected_as_such(ending: LogStopped | None, result: str) -> None:
    tape = Tape()
    tape.crashed()
    records = [*forwarded(tape.records), *([ending] if ending else [])]
    _, (one,) = collected(records)
    assert (one.result, one.ended_ns, one.is_sent) == (result, 0, False)
    assert not is_expected(one)


def test_the_path_of_a_cluster_behind_a_proxy_is_not_part_of_the_target() -> None:
    tape = Tape()
    tape.delete()
    records = [log_started("https://rancher.example.com/k8s/clusters/c-1/"), *forwarded(tape.records)]
    behind = [
        msgspec.structs.replace(one, upstream_target=b"/k8s/clusters/c-1" + one.upstream_target)  # type: ignore[union-attr]
        if getattr(one, "upstream_target", b"")
        else one
        for one in records
    ]
    _, (one,) = collected(behind)
    assert one.target == "/api/v1/namespaces/prod/pods/web-1"
    assert collected([log_started("https://api:6443"), *forwarded(tape.records)])[1][0].target == one.target


def test_records_of_newer_versions_and_refused_targets_do_no_harm() -> None:
    calls = RecordedCalls()
    assert list(calls.take(0, UnknownRecord(99, b""))) == []
    assert calls.span == NO_TIME
    records = forwarded(whole_story().records)
    intents = [
        msgspec.structs.replace(one, call=None, principal=None) if hasattr(one, "call") else one
        for one in records
    ]
    found = collected(intents)[1]  # type: ignore[arg-type]
    assert {(one.verb, one.user) for one in found} == {("", "")}


def test_records_that_are_gone_are_holes_as_wide_as_is_known() -> None:
    records = story(calls=3)
    kept = [(seq, record) for seq, record in enumerate(records, 100) if seq not in range(105, 110)]
    calls = RecordedCalls()
    for seq, record in kept:
        list(calls.take(seq, record))
    minute = 60 * 10**9
    (first, second) = calls.holes
    assert first == Span(-MARGIN_NS, START_NS + MARGIN_NS), "numbers that do not begin with 0: retention"
    assert second.start_ns == START_NS + minute - MARGIN_NS
    assert second.end_ns >= START_NS + 2 * minute + MARGIN_NS
    assert Judge(Span(0, 10**19), {"gw"}, holes=[second]).judge_stranger("gw", START_NS + minute) == "outside"
    assert Judge(Span(0, 10**19), {"gw"}, holes=[second]).judge_stranger("gw", START_NS) == "unrecorded"


# --- requests of our own, and calls that people held -----------------------------------------------------


def test_a_dry_run_of_our_own_is_a_call_of_ours_under_its_own_id() -> None:
    tape = Tape()
    held_delete(tape, APPROVED_HOLD, "denied")
    (one,) = collected(tape.records)[1]
    assert (one.exchange, one.verb, one.target) == (
        DRY_RUN_ID,
        "delete",
        "/api/v1/namespaces/prod?dryRun=All",
    )
    assert (one.at_ns, one.ended_ns) == (START_NS + 400_000, START_NS + 900_000)
    assert (one.status, one.user, one.subresource) == (200, "the gateway, dry-run", "")
    assert is_expected(one)
    as_anybody = AuditEvent(
        one.audit_id, "ResponseComplete", one.target, "delete", Person("gw"), Person("agent-7"),
        response_status=Answered(200),
    )  # fmt: skip
    assert differences(one, as_anybody) == []


@pytest.mark.parametrize("ending", [LogStopped(START_NS, "drained"), None])
def test_a_request_of_our_own_without_an_answer_is_known_and_not_expected(ending: LogStopped | None) -> None:
    tape = Tape()
    held_delete(tape, APPROVED_HOLD, None)
    records = [record for record in tape.records if getattr(record, "status", 0) != 200]
    (one,) = collected([*records, *([ending] if ending else [])])[1]
    assert (one.exchange, one.result, one.is_sent) == (DRY_RUN_ID, "open", False)
    assert not is_expected(one)


def test_a_request_of_our_own_without_an_id_is_passed_over_and_one_nobody_understands_is_known() -> None:
    tape = Tape()
    exchange = tape.intent(whole_call())
    tape.records += [
        SubRequest(exchange, 1, "old-object", "GET", b"/api", 200, b"short"),
        SubRequest(exchange, 1, "old-object", "BREW", b"\xff", 200, b"b" * 16),
    ]
    (one,) = collected(tape.records)[1]
    assert (one.verb, one.target) == ("brew", "\xff")


def whole_call() -> CallRecord:
    return CallRecord("get", path="/api")


def test_a_held_call_that_was_never_let_go_is_not_missing_in_the_cluster() -> None:
    records = [
        msgspec.structs.replace(record, upstream_target=record.target)
        if hasattr(record, "upstream_target")
        else record
        for record in governed_story().records
    ]
    found = {one.exchange: one for one in collected(records)[1]}  # type: ignore[arg-type]
    held = [
        found[record.exchange] for record in records if isinstance(record, Held) and record.exchange in found
    ]
    assert held
    assert not any(map(is_expected, held))


def test_a_denied_call_that_the_cluster_saw_is_two_stories() -> None:
    call = RecordedCall(b"i" * 16, 10, 20, "get", "/x", "", "ann", "", 403, "denied", False, False)
    seen = AuditEvent("x", "ResponseComplete", "/x", "get", Person("gw"), response_status=Answered(200))
    assert differences(call, seen) == ["recorded as denied and not forwarded, audited all the same"]


# --- spans -----------------------------------------------------------------------------------------


def test_spans_hold_overlap_join_and_shrink() -> None:
    one, two = Span(10, 20), Span(15, 30)
    assert (one.overlap(two), one.joined(two), two.inner(5)) == (Span(15, 20), Span(10, 30), Span(20, 25))
    assert one.overlap(Span(21, 30)).is_empty
    assert NO_TIME.is_empty
    assert NO_TIME.joined(one) == one
    assert [one.holds(at) for at in (9, 10, 20, 21)] == [False, True, True, False]


@pytest.mark.parametrize("decided", [True, False])
def test_what_was_asked_in_order_to_decide_comes_before_the_intent(decided: bool) -> None:
    exchange = Tape().intent(whole_call())
    asked = SubRequest(exchange, 100, "old-object", "GET", b"/api/v1/namespaces/prod/pods/web", 0, b"o" * 16)
    records: list[AnyRecord] = [
        log_started("https://api:6443"),
        asked,
        msgspec.structs.replace(asked, at_us=900, status=404),
    ]
    if decided:
        tape = Tape()
        tape.intent(whole_call())
        records += tape.records
    (one,) = collected(records)[1]
    assert (one.verb, one.status, one.exchange) == ("get", 404, b"o" * 16)
    assert (one.at_ns, one.ended_ns) == (START_NS + 100_000, START_NS + 900_000)
