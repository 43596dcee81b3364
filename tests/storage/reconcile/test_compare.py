"""What a call in one log and in the other proves."""

import uuid

import msgspec
import pytest

from storage.reconcile.audit_log import Answered, AuditEvent, Person
from storage.reconcile.compare import (
    MARGIN_NS,
    NO_TIME,
    Judge,
    RecordedCall,
    RecordedCalls,
    Span,
    differences,
    finding_of_event,
    is_expected,
    is_rarely_audited,
    is_system,
    matches,
    may_repeat,
    unseen_calls,
)
from storage.records import AnyRecord, LogStopped, Outcome, UnknownRecord
from tests.kit.audited import forwarded, log_started, story
from tests.kit.recorded import START_NS, Tape, whole_story

CALL = RecordedCall(
    b"i" * 16, 10, 20, "get", "/api/v1/pods", "", "ann", "shared", 200, "completed", True, True
)
EVENT = AuditEvent(
    "x", "ResponseComplete", "/api/v1/pods", "get", Person("gw"), response_status=Answered(200)
)


def call(**changes: object) -> RecordedCall:
    return msgspec.structs.replace(CALL, **changes)


def event(**changes: object) -> AuditEvent:
    return msgspec.structs.replace(EVENT, **changes)


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


# --- spans -----------------------------------------------------------------------------------------


def test_spans_hold_overlap_join_and_shrink() -> None:
    one, two = Span(10, 20), Span(15, 30)
    assert (one.overlap(two), one.joined(two), two.inner(5)) == (Span(15, 20), Span(10, 30), Span(20, 25))
    assert one.overlap(Span(21, 30)).is_empty
    assert NO_TIME.is_empty
    assert NO_TIME.joined(one) == one
    assert [one.holds(at) for at in (9, 10, 20, 21)] == [False, True, True, False]


# --- two stories of one call --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "audited"),
    [
        ({}, {}),
        ({"identity": "impersonate"}, {"impersonated_user": Person("ann")}),
        ({"identity": "impersonate", "user": "gw"}, {}),
        ({"status": 403, "subresource": "exec"}, {"response_status": Answered(101)}),
        ({"status": 403}, {"stage": "ResponseStarted", "response_status": Answered(200)}),
        ({"status": 0, "result": "client-left"}, {}),
        ({"status": 500}, {"response_status": None}),
        (
            {"target": "/api/v1/services/s/proxy/?access_token=REDACTED&a=1"},
            {"request_uri": "/api/v1/services/s/proxy/?access_token=secret&a=1"},
        ),
    ],
)
def test_the_same_story_has_no_differences(recorded: dict[str, object], audited: dict[str, object]) -> None:
    assert differences(call(**recorded), event(**audited)) == []


@pytest.mark.parametrize(
    ("recorded", "audited", "said"),
    [
        ({}, {"verb": "delete"}, "verb: recorded 'get', audited 'delete'"),
        (
            {},
            {"request_uri": "/api/v1/secrets"},
            "target: recorded '/api/v1/pods', audited '/api/v1/secrets'",
        ),
        (
            {},
            {"request_uri": "/x?access_token=secret"},
            "target: recorded '/api/v1/pods', audited '/x?access_token=REDACTED'",
        ),
        ({"identity": "impersonate"}, {}, "user: recorded 'ann', audited 'gw'"),
        (
            {"identity": "impersonate"},
            {"impersonated_user": Person("bob")},
            "user: recorded 'ann', audited 'bob'",
        ),
        ({}, {"impersonated_user": Person("bob")}, "user: recorded without impersonation, audited as 'bob'"),
        ({}, {"response_status": Answered(403)}, "status: recorded 200, audited 403"),
        ({"status": 403}, {"response_status": Answered(101)}, "status: recorded 403, audited 101"),
    ],
)
def test_each_lie_is_found(recorded: dict[str, object], audited: dict[str, object], said: str) -> None:
    assert differences(call(**recorded), event(**audited)) == [said]


def test_only_what_changes_nothing_may_be_there_twice() -> None:
    assert may_repeat(call(verb="watch"))
    assert not may_repeat(call(verb="patch"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"is_answered": False, "result": "client-left"}, True),
        ({"is_answered": False, "result": "failed"}, False),
        ({"result": "failed"}, True),
        ({"is_sent": False}, False),
        ({"ended_ns": 0}, False),
    ],
)
def test_the_cluster_must_have_audited_what_surely_reached_it(
    changes: dict[str, object], expected: bool
) -> None:
    assert is_expected(call(**changes)) is expected


@pytest.mark.parametrize(
    ("target", "rarely"),
    [("/version?timeout=32s", True), ("/livez/ping", True), ("/versions", False), ("/api/v1/pods", False)],
)
def test_health_and_version_are_rarely_audited(target: str, rarely: bool) -> None:
    assert is_rarely_audited(call(target=target)) is rarely


def test_unseen_calls_are_those_that_ended_in_the_time_compared() -> None:
    left_out = []
    found = unseen_calls(
        [call(), call(ended_ns=500), call(is_sent=False), call(target="/version"), call(is_answered=False)],
        Span(15, 100),
        lambda: left_out.append(1),
    )
    assert [one.detail for one in found] == [
        "recorded as answered (completed), not in the audit log",
        "recorded as sent (completed), not in the audit log",
    ]
    assert left_out == [1]


# --- who ---------------------------------------------------------------------------------------------


def test_only_a_star_is_special_in_a_pattern() -> None:
    assert matches("arn:aws:sts::1:assumed-role/kubetape/ann", ["arn:aws:sts::*:assumed-role/kubetape/*"])
    assert matches("a[b]?", ["a[b]?"])
    assert not matches("ab", ["a[b]"])
    assert not matches("ann", ["ann "])


@pytest.mark.parametrize(
    ("user", "system"),
    [
        ("system:node:a", True),
        ("system:kube-scheduler", True),
        ("system:apiserver", True),
        ("system:serviceaccount:kube-system:coredns", True),
        ("system:serviceaccount:prod:ci", False),
        ("system:admin", False),
        ("ann", False),
    ],
)
def test_parts_of_the_cluster_are_known_by_name(user: str, system: bool) -> None:
    assert is_system(user) is system


def test_a_stranger_is_judged_by_time_and_name() -> None:
    judge = Judge(Span(10, 20), {"gw", "system:serviceaccount:kube-system:kubetape"})
    assert judge.judge_stranger("gw", 9) == "outside"
    assert judge.judge_stranger("gw", 10) == "unrecorded"
    assert judge.judge_stranger("system:serviceaccount:kube-system:kubetape", 10) == "unrecorded"
    assert judge.judge_stranger("system:apiserver", 10) == "system"
    assert judge.judge_stranger("ann", 10) == "around"
    assert judge._replace(include_system=True).judge_stranger("system:apiserver", 10) == "around"


def test_a_finding_names_both_users_and_the_nearest_source() -> None:
    one = finding_of_event(
        "around", event(impersonated_user=Person("bob"), source_ips=("1.1.1.1", "2.2.2.2")), "why"
    )
    assert (one.user, one.source, one.status, one.detail) == ("gw as bob", "2.2.2.2", 200, "why")
    assert finding_of_event("around", event(), "").source == ""
