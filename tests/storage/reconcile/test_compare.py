"""What a call in one log and in the other proves."""

import msgspec
import pytest

from storage.reconcile.audit_log import Answered, AuditEvent, Person
from storage.reconcile.compare import (
    Judge,
    differences,
    finding_of_event,
    is_expected,
    is_rarely_audited,
    is_system,
    matches,
    may_repeat,
    unseen_calls,
)
from storage.reconcile.recorded import RecordedCall, Span

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
        (
            {
                "target": "/api/v1/namespaces/a/pods/b/exec?command=echo&command=x+%5Bmasked+by+p%2Fkeys%5D+y&stdin=true"
            },
            {"request_uri": "/api/v1/namespaces/a/pods/b/exec?command=echo&command=x+AKIA0123+y&stdin=true"},
        ),
        ({"target": "/x/[masked%20by%20p/keys]/y"}, {"request_uri": "/x/AKIA0123/y"}),
    ],
)
def test_the_same_story_has_no_differences(recorded: dict[str, object], audited: dict[str, object]) -> None:
    assert differences(call(**recorded), event(**audited)) == []


@pytest.mark.parametrize(
    ("recorded", "audited", "said"),
    [
        ({}, {"verb": "delete"}, "verb: recorded 'get', audited 'delete'"),
        (
            {"target": "/x?command=%5Bmasked+by+p%2Fkeys%5D"},
            {"request_uri": "/x?command=AKIA&command=rm"},
            "target: recorded '/x?command=%5Bmasked+by+p%2Fkeys%5D', audited '/x?command=AKIA&command=rm'",
        ),
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
