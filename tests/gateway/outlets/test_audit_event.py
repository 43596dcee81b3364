"""Events of audit.k8s.io/v1: what the API server would write, what Falco reads, and what never leaves."""

import json
from typing import Any

import msgspec
import pytest

from gateway.outlets.audit_event import Limits, audit_id, encode_audit_event, encode_event_list
from gateway.outlets.settings import EVENT_BYTES, FILE_EVENT_BYTES
from storage.records import (
    AnyRecord,
    CallRecord,
    Exited,
    Intent,
    LogStarted,
    Outcome,
    PrincipalRecord,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    VerdictRecord,
)
from tests.kit.assembling import answered, feed, new_assembler
from tests.kit.audit_schema import Event, falco, read_event, read_event_list
from tests.kit.governed import APPROVED_HOLD, DENIED_HOLD, governed_story, with_verdict
from tests.kit.recorded import JSON, Tape, whole_story

LIMITS = Limits(64 * 1024, EVENT_BYTES)
PODS = "/api/v1/namespaces/prod/pods"
CREATE = CallRecord("create", "", "v1", "pods", "", "prod", "", PODS)
POD = {"kind": "Pod", "metadata": {"name": "web", "uid": "u-1"}, "spec": {"hostNetwork": True}}


def lines_of(records: list[AnyRecord], limits: Limits = LIMITS) -> list[bytes]:
    """Encoded as told: what an outlet does with records."""
    assembler = new_assembler()
    lines = []
    for seq, record in enumerate(records):
        lines += [encode_audit_event(*told, limits) for told in feed(assembler, [record], seq)]
    return lines


def events_of(records: list[AnyRecord], limits: Limits = LIMITS) -> list[Event]:
    return [read_event(line) for line in lines_of(records, limits)]


def only_event(records: list[AnyRecord], limits: Limits = LIMITS) -> Event:
    (event,) = events_of(records, limits)
    return event


def created(
    body: bytes, answer: bytes, *, status: int = 201, call: CallRecord = CREATE, **facts: Any
) -> list[AnyRecord]:
    tape = Tape()
    exchange = tape.intent(call, method="POST", **facts)
    tape.records += [RequestBody(exchange, 0, body), *answered(exchange, answer, status=status)]
    return tape.records


def test_every_event_of_every_kind_of_call_is_one_of_the_published_type() -> None:
    story = [*whole_story().records, LogStarted(1, "gw", "1", 0, "observe")]
    events = events_of(story)
    assert [(event.verb, event.stage) for event in events[-5:]] == [
        ("get", "ResponseStarted"),
        ("get", "ResponseComplete"),
        ("create", "ResponseStarted"),
        ("create", "ResponseComplete"),
        ("delete", "ResponseComplete"),
    ]
    assert len({(event.auditID, event.stage) for event in events}) == len(events)
    assert {event.stage for event in events} == {"ResponseStarted", "ResponseComplete"}
    assert read_event_list(encode_event_list(lines_of(story))) == events


def test_a_call_says_who_what_whence_and_how_it_ended() -> None:
    tape = Tape()
    tape.get_pods()
    event = events_of(tape.records)[-1]
    assert event.user.username == "ann@example.com"
    assert event.user.groups == ["sre", "staff"]
    assert event.impersonatedUser is None
    assert (event.verb, event.requestURI) == ("list", f"{PODS}?limit=500")
    assert event.objectRef
    assert (event.objectRef.resource, event.objectRef.namespace, event.objectRef.name) == ("pods", "prod", "")
    assert (event.sourceIPs, event.userAgent[:8]) == (["10.0.0.9"], "kubectl/")
    assert event.responseStatus
    assert (event.responseStatus.code, event.responseStatus.status) == (200, "")
    assert event.responseObject["kind"] == "Table"
    assert event.level == "RequestResponse"
    assert event.requestReceivedTimestamp == "2026-01-31T10:00:00.012000Z"
    assert event.stageTimestamp == "2026-01-31T10:00:00.021000Z"
    assert event.annotations == {
        "authorization.k8s.io/decision": "allow",
        "kubetape/decision": "allow",
        "kubetape/mode": "enforce",
        "kubetape/policy-sha": "p" * 64,
        "kubetape/session": "01KG9ZK7M0ANN0000000000000",
        "kubetape/command": "kubectl get",
        "kubetape/result": "completed",
    }


def test_a_denied_call_says_which_rule_and_what_the_client_read() -> None:
    tape = Tape()
    tape.denied()
    event = only_event(tape.records)
    assert event.responseStatus
    assert (event.responseStatus.code, event.responseStatus.status, event.responseStatus.reason) == (
        403,
        "Failure",
        "Forbidden",
    )
    assert event.annotations["authorization.k8s.io/decision"] == "forbid"
    assert event.annotations["authorization.k8s.io/reason"] == "agents may not delete in prod"
    assert event.annotations["kubetape/rule"] == "no-delete-for-agents"
    assert event.annotations["kubetape/decision"] == "deny"


def test_what_the_cluster_forbids_is_forbidden() -> None:
    event = only_event(created(b"{}", b'{"kind":"Status","reason":"Forbidden"}', status=403))
    assert event.annotations["authorization.k8s.io/decision"] == "forbid"


def test_what_a_kubelet_refused_was_not_forbidden_by_the_cluster() -> None:
    call = CallRecord("create", "", "v1", "pods", "exec", "prod", "web", f"{PODS}/web/exec?command=sh")
    begun, ended = events_of(created(b"", b"", status=403, call=call))
    assert "authorization.k8s.io/decision" not in begun.annotations | ended.annotations


def test_a_stream_is_told_when_it_begins_and_with_its_exit_code_when_it_ends() -> None:
    tape = Tape()
    tape.exec(exit_code=42)
    _, begun, ended = events_of(tape.records)
    assert (begun.stage, ended.stage) == ("ResponseStarted", "ResponseComplete")
    assert begun.auditID == ended.auditID
    assert (
        begun.requestReceivedTimestamp
        == ended.requestReceivedTimestamp
        < begun.stageTimestamp
        < ended.stageTimestamp
    )
    assert begun.responseStatus
    assert begun.responseStatus.code == 101
    assert ended.objectRef
    assert (ended.objectRef.resource, ended.objectRef.subresource, ended.objectRef.name) == (
        "pods",
        "exec",
        "payments-0",
    )
    assert ended.annotations["kubetape/exit-code"] == "42"
    assert "kubetape/exit-code" not in begun.annotations
    assert "kubetape/result" not in begun.annotations


def test_after_a_crash_the_outcome_is_said_to_be_unknown() -> None:
    tape = Tape()
    tape.crashed()
    event = only_event([*tape.records, LogStarted(1, "gw", "1", 0, "observe")])
    assert event.annotations["kubetape/result"] == "unknown"
    assert event.responseStatus
    assert event.responseStatus.code == 0
    assert (
        event.responseStatus.message
        == "interrupted: the process that served it ended without recording an outcome"
    )


def test_a_stream_that_begins_without_a_status_has_none() -> None:
    tape = Tape()
    exchange = tape.intent(CallRecord("watch", "", "v1", "pods", path=PODS))
    tape.records += [ResponseStarted(exchange, 1, 0, ()), Outcome(exchange, 2, "client-left", 0)]
    begun, ended = events_of(tape.records)
    assert begun.responseStatus is None
    assert ended.responseStatus
    assert ended.responseStatus.message == "nothing was answered"


def test_the_name_of_a_created_object_is_in_its_body() -> None:
    event = only_event(created(json.dumps(POD).encode(), json.dumps(POD).encode()))
    assert event.objectRef
    assert (event.objectRef.name, event.objectRef.uid) == ("web", "u-1")
    generated = only_event(created(b'{"metadata":{"generateName":"w-"}}', json.dumps(POD).encode()))
    assert generated.objectRef
    assert generated.objectRef.name == "web"
    odd = only_event(created(b'{"metadata":{"name":7,"uid":[]}}', b'{"metadata":3}'))
    assert odd.objectRef
    assert odd.objectRef.name == ""


def test_the_name_of_a_created_secret_is_told_and_nothing_else_of_it() -> None:
    call = CallRecord("create", "", "v1", "secrets", "", "prod", "", "/api/v1/namespaces/prod/secrets")
    body = b'{"kind":"Secret","metadata":{"name":"db"},"data":{"k":"Y2FuYXJ5"}}'
    (line,) = lines_of(created(body, body, call=call))
    event = read_event(line)
    assert event.objectRef
    assert (event.objectRef.name, event.level) == ("db", "Metadata")
    assert b"Y2FuYXJ5" not in line


def test_falco_finds_its_fields() -> None:
    (line,) = lines_of(created(json.dumps(POD).encode(), json.dumps(POD).encode()))
    found = falco(line)
    assert found.keys() >= {
        "ka.auditid",
        "ka.stage",
        "ka.auth.decision",
        "ka.user.name",
        "ka.user.groups",
        "ka.verb",
        "ka.uri",
        "ka.target.name",
        "ka.target.namespace",
        "ka.target.resource",
        "ka.resp.name",
        "ka.response.code",
        "ka.useragent",
        "ka.sourceips",
    }
    assert found["ka.req.pod.host_network"] is True
    assert (found["ka.response.code"], found["ka.resp.name"]) == (201, "web")
    assert "ka.impuser.name" not in found


def test_somebody_unidentified_has_no_name_and_a_refused_target_no_object() -> None:
    intent = Intent(
        b"i" * 16, 5_000_000, "", "c", "[::1]:9", "1.1", "BREW", b"/api//x?access_token=REDACTED", (), None, None,
        VerdictRecord("allow", "observe"), 1,
    )  # fmt: skip
    event = only_event(
        [intent, *answered(intent.exchange, b"", status=405, result="refused", why="bad method")]
    )
    assert event.user.username == ""
    assert (event.verb, event.requestURI) == ("brew", "/api//x?access_token=REDACTED")
    assert event.objectRef is None
    assert event.sourceIPs == ["::1"]
    assert event.responseStatus
    assert event.responseStatus.message == "bad method"
    assert "authorization.k8s.io/decision" not in event.annotations


def test_extra_and_uid_of_a_person_are_there() -> None:
    who = PrincipalRecord(
        "agent-7", ("g",), "oidc", "b" * 32, uid="u7", extra=(("example.com/team", ("red", "blue")),)
    )
    event = only_event(created(b"{}", b"{}", who=who))
    assert (event.user.uid, event.user.extra) == ("u7", {"example.com/team": ["red", "blue"]})


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        CallRecord("create", "", "v1", "secrets", "", "prod", "", "/api/v1/namespaces/prod/secrets"),
        CallRecord("create", "", "v1", "serviceaccounts", "token", "prod", "ci", "/x"),
        CallRecord("create", "authentication.k8s.io", "v1", "tokenreviews", path="/x"),
        CallRecord("create", "", "v1", "services", "proxy", "prod", "web", "/x"),
    ],
)
def test_bodies_that_may_be_secrets_never_leave(call: CallRecord) -> None:
    canary = b'{"kind":"Secret","data":{"k":"Y2FuYXJ5"},"status":{"token":"Y2FuYXJ5"}}'
    for line in lines_of(created(canary, canary, call=call)):
        assert b"Y2FuYXJ5" not in line
        event = read_event(line)
        assert event.level == "Metadata"
        if event.stage == "ResponseComplete" and call.subresource != "proxy":
            assert event.annotations["kubetape/truncated"] == (
                "requestObject: bodies of this resource are never sent on; "
                "responseObject: bodies of this resource are never sent on"
            )


def test_without_bodies_nothing_is_said_of_them() -> None:
    tape = Tape()
    call = CallRecord("get", "", "v1", "secrets", "", "prod", "db", "/api/v1/namespaces/prod/secrets/db")
    tape.records += answered(tape.intent(call), b"", status=304)
    assert "kubetape/truncated" not in only_event(tape.records).annotations


def test_a_secret_inside_another_body_is_removed_and_said() -> None:
    body = b'{"kind":"List","items":[{"kind":"Secret","data":{"k":"Y2FuYXJ5"}}]}'
    (line,) = lines_of(created(body, b"{}"))
    event = read_event(line)
    assert b"Y2FuYXJ5" not in line
    assert event.requestObject["items"] == [{"kind": "Secret", "data": "kubetape:removed"}]
    assert event.annotations["kubetape/emptied"] == "requestObject"


@pytest.mark.parametrize(
    ("body", "headers", "note"),
    [
        (b"k8s\x00\x0a", ((b"content-type", b"application/vnd.kubernetes.protobuf"),),
         "responseObject: not JSON: application/vnd.kubernetes.protobuf"),
        (b"\x00", (), "responseObject: not JSON: of unknown type"),
        (b"{}", (*JSON, (b"content-encoding", b"gzip")), "responseObject: encoded as gzip"),
        (b"17", JSON, "responseObject: not an object"),
        (b"[" * 3000, JSON, "responseObject: not JSON: application/json"),
        (b" " * 70_000, JSON, "responseObject: 70000 bytes, more than the cap of 65536"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_said(body: bytes, headers: Any, note: str) -> None:
    tape = Tape()
    exchange = tape.intent(CallRecord("get", "", "v1", "pods", "", "prod", "web", PODS))
    tape.records += [
        ResponseStarted(exchange, 1, 200, headers),
        ResponseBody(exchange, 2, 0, body),
        Outcome(exchange, 3, "completed", 200),
    ]
    event = only_event(tape.records)
    assert event.responseObject is None
    assert event.annotations["kubetape/truncated"] == note


def test_a_body_that_was_not_kept_is_said() -> None:
    records = created(b"{}", b"{}")
    assembler = new_assembler(max_body_bytes=1)
    (told,) = feed(assembler, records)
    event = read_event(encode_audit_event(*told, LIMITS))
    assert (
        event.annotations["kubetape/truncated"]
        == "requestObject: 2 bytes, not kept; responseObject: 2 bytes, not kept"
    )


def test_an_event_over_its_limit_loses_the_response_then_the_request_and_says_so() -> None:
    body = json.dumps({"metadata": {"name": "web"}, "data": "x" * 40_000}).encode()
    whole = only_event(created(body, body))
    assert whole.level == "RequestResponse"
    (line,) = lines_of(created(body, body), Limits(64 * 1024, FILE_EVENT_BYTES))
    assert len(line) < FILE_EVENT_BYTES
    event = read_event(line)
    assert (event.level, event.responseObject) == ("Request", None)
    assert event.annotations["kubetape/truncated"] == "responseObject: the event was over 65534 bytes"
    (line,) = lines_of(created(body, body), Limits(64 * 1024, 32 * 1024))
    event = read_event(line)
    assert event.level == "Metadata"
    assert event.annotations["kubetape/truncated"] == (
        "responseObject: the event was over 32768 bytes; requestObject: the event was over 32768 bytes"
    )


def test_no_client_can_make_an_event_larger_than_its_limit() -> None:
    who = PrincipalRecord(
        "ann@example.com", tuple(f"g{at:04}{'x' * 250}" for at in range(2000)), "oidc", "b" * 32, uid="i" * 9000,
        extra=tuple((f"k{at}", ("v" * 2000,)) for at in range(500)),
    )  # fmt: skip
    long = "\x7f" * 60_000
    call = CallRecord(long, long, long, long, long, long, long, f"/{long}", argv=(long,))
    records = created(b"{}", b"{}", call=call, who=who, agent=long, command=long, rules=(long,), reason=long)
    at = next(at for at, record in enumerate(records) if isinstance(record, Intent))
    records[at] = msgspec.structs.replace(
        records[at], principal=msgspec.structs.replace(who, user=long), target=long.encode()
    )
    (line,) = lines_of(records, Limits(64 * 1024, 32 * 1024))
    assert len(line) <= 32 * 1024
    event = read_event(line)
    assert event.annotations["kubetape/truncated"] == "names and queries: the event was over 32768 bytes"
    assert event.auditID == audit_id(next(one.exchange for one in records if isinstance(one, Intent)))


def test_a_gap_in_the_record_is_said() -> None:
    records = created(b"{}", b"{}")
    intent = next(one for one in records if isinstance(one, Intent))
    (told,) = feed(new_assembler(), [*records[:-1], Exited(intent.exchange, 1, 3), records[-1]])
    told.exchange.gap = "disk full"
    event = read_event(encode_audit_event(*told, LIMITS))
    assert (event.annotations["kubetape/gap"], event.annotations["kubetape/exit-code"]) == ("disk full", "3")


def test_ids_are_those_of_the_audit_id_header() -> None:
    assert audit_id(bytes(range(16))) == "00010203-0405-0607-0809-0a0b0c0d0e0f"


# --- policy -------------------------------------------------------------------------------------------


def governed() -> list[Event]:
    return [event for event in events_of(governed_story().records) if event.stage == "ResponseComplete"]


def by_approval(hold: str) -> Event:
    (event,) = [event for event in governed() if event.annotations.get("kubetape/approval") == hold]
    return event


def test_an_approved_call_says_who_approved_and_is_allowed() -> None:
    event = by_approval(APPROVED_HOLD)
    assert event.annotations["kubetape/decision"] == "hold"
    assert event.annotations["kubetape/hold"] == "approved"
    assert event.annotations["kubetape/approved-by"] == "bob"
    assert event.annotations["authorization.k8s.io/decision"] == "allow"


def test_a_call_that_people_denied_is_forbidden_and_approved_by_nobody() -> None:
    event = by_approval(DENIED_HOLD)
    assert event.annotations["kubetape/hold"] == "denied"
    assert "kubetape/approved-by" not in event.annotations
    assert event.annotations["authorization.k8s.io/decision"] == "forbid"


def test_a_masked_call_says_how_many_values_which_rule_hid_on_which_grant() -> None:
    (event,) = [event for event in governed() if event.annotations.get("kubetape/grant")]
    assert event.annotations["kubetape/masked"] == "secrets/mask=3,pii/mail=1"
    assert event.annotations["kubetape/grant"] == "01KG9ZK7M0GRANT00000000000"
    assert event.annotations["kubetape/shadow"] == "secrets/strict"
    assert "kubetape/scope" not in event.annotations


def test_a_call_recorded_as_metadata_says_so_and_has_no_body() -> None:
    tape = Tape()
    exchange = tape.intent(CREATE, method="POST")
    with_verdict(tape, scope="metadata")
    tape.records += answered(exchange, b"")
    event = only_event(tape.records)
    assert event.annotations["kubetape/scope"] == "metadata"
    assert event.responseObject is None


def test_a_stream_tells_policy_at_its_end_and_no_typed_line_or_note_ever() -> None:
    lines = lines_of(governed_story().records)
    (event,) = [event for event in governed() if event.annotations.get("kubetape/budget")]
    assert event.annotations["kubetape/budget"] == "execMinutes"
    for text in (b"rm -rf", b"passwd", b"not today", b"ticket 4711"):
        assert text not in b"".join(lines)
