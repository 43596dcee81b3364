"""OCSF API Activity: valid for the published class, and telling."""

from typing import Any

import msgspec
import pytest

from gateway.outlets.ocsf import encode_ocsf_event
from storage.records import AnyRecord, CallRecord, Intent, LogStarted, PrincipalRecord, VerdictRecord
from tests.kit.assembling import answered, feed, new_assembler
from tests.kit.governed import APPROVED_HOLD, governed_story
from tests.kit.ocsf_schema import read_ocsf
from tests.kit.recorded import START_NS, Tape, whole_story


def events_of(records: list[AnyRecord]) -> list[dict[str, Any]]:
    assembler = new_assembler()
    events = []
    for seq, record in enumerate(records):
        for told in feed(assembler, [record], seq):
            events.append(read_ocsf(encode_ocsf_event(told.exchange, told.stage, "1.2.3")))  # noqa: PERF401
    return events


def call_event(call: CallRecord, method: str = "GET", **answer: Any) -> dict[str, Any]:
    tape = Tape()
    tape.records += answered(tape.intent(call, method=method), b"{}", **answer)
    return events_of(tape.records)[-1]


def test_every_event_of_every_kind_of_call_is_valid_for_its_class() -> None:
    events = events_of([*whole_story().records, LogStarted(1, "gw", "1", 0, "observe")])
    assert len({event["metadata"]["uid"] for event in events}) == len(events) == 16


def test_a_call_is_told_in_the_words_of_the_schema() -> None:
    tape = Tape()
    tape.delete()
    (event,) = events_of(tape.records)
    assert (event["activity_id"], event["activity_name"], event["type_uid"]) == (4, "Delete", 600304)
    assert event["time"] == START_NS // 1_000_000
    assert (event["status_id"], event["status"], event["status_code"], event["severity_id"]) == (
        1,
        "Success",
        "200",
        1,
    )
    assert event["message"] == "ann@example.com: delete pods web-1 in prod"
    assert event["actor"]["user"] == {
        "name": "ann@example.com",
        "type_id": 1,
        "uid": "ann",
        "groups": [{"name": "sre"}, {"name": "staff"}],
    }
    assert event["actor"]["session"]["issuer"] == "https://idp.example.com"
    assert event["api"]["operation"] == "delete"
    assert event["api"]["request"]["uid"] == event["metadata"]["uid"] == event["http_request"]["uid"]
    assert event["api"]["response"] == {"code": 200}
    assert event["src_endpoint"] == {"ip": "10.0.0.9", "port": 50100}
    assert event["http_request"]["http_method"] == "DELETE"
    assert event["http_request"]["url"] == {"path": "/api/v1/namespaces/prod/pods/web-1"}
    assert event["resources"] == [
        {
            "uid": "/api/v1/namespaces/prod/pods/web-1",
            "name": "web-1",
            "type": "pods",
            "namespace": "prod",
            "version": "v1",
        }
    ]
    assert event["metadata"]["product"] == {"name": "kubetape", "vendor_name": "kubetape", "version": "1.2.3"}
    assert (event["metadata"]["version"], event["metadata"]["correlation_uid"]) == ("1.7.0", "run-delete")
    assert event["unmapped"]["result"] == "completed"


@pytest.mark.parametrize(
    ("verb", "activity"),
    [
        ("create", 1),
        ("list", 2),
        ("watch", 2),
        ("patch", 3),
        ("update", 3),
        ("deletecollection", 4),
        ("head", 2),
        ("proxy", 99),
        ("", 99),
    ],
)
def test_verbs_are_the_four_activities_or_another(verb: str, activity: int) -> None:
    event = call_event(
        CallRecord(verb, "apps", "v1", "deployments", path="/apis/apps/v1/deployments?limit=5")
    )
    assert event["activity_id"] == activity
    assert event["api"]["group"] == {"name": "apps"}
    assert event["resources"][0]["uid"] == "/apis/apps/v1/deployments"
    assert event["resources"][0]["group"] == {"name": "apps"}


def test_a_way_into_a_pod_is_none_of_the_four_and_told_twice() -> None:
    tape = Tape()
    tape.exec(exit_code=1)
    _, begun, ended = events_of(tape.records)
    assert (begun["activity_id"], begun["activity_name"], begun["type_name"]) == (
        99,
        "create",
        "API Activity: Other",
    )
    assert (begun["status_id"], begun["metadata"]["event_code"]) == (0, "ResponseStarted")
    assert begun["metadata"]["uid"] == ended["metadata"]["uid"] + "/ResponseStarted"
    assert (ended["status_id"], ended["unmapped"]["exit_code"], ended["severity_id"]) == (2, 1, 2)
    assert ended["unmapped"]["argv"] == ["sh", "-c", "exec bash"]
    assert ended["unmapped"]["container"] == "app"
    assert ended["unmapped"]["duration_ms"] == 63_200
    assert ended["resources"][0]["type"] == "pods/exec"


def test_a_denial_is_of_medium_severity_and_says_why() -> None:
    tape = Tape()
    tape.denied()
    (event,) = events_of(tape.records)
    assert (event["severity"], event["status"], event["activity_id"]) == ("Medium", "Failure", 4)
    assert event["api"]["response"] == {"code": 403, "error": "Forbidden"}
    assert event["unmapped"]["rules"] == ["no-delete-for-agents"]


def test_a_failure_has_the_message_of_its_status() -> None:
    body = b'{"reason":"NotFound","message":"pods \\"x\\" not found"}'
    tape = Tape()
    call = CallRecord("get", "", "v1", "pods", "", "prod", "x", "/api/v1/namespaces/prod/pods/x")
    tape.records += answered(tape.intent(call), body, status=404)
    (event,) = events_of(tape.records)
    assert event["api"]["response"] == {
        "code": 404,
        "error": "NotFound",
        "error_message": 'pods "x" not found',
    }
    assert (event["status_detail"], event["severity"]) == ('pods "x" not found', "Low")


def test_somebody_unidentified_at_a_refused_target_is_still_valid() -> None:
    intent = Intent(
        b"i" * 16, 5, "", "c", "", "1.1", "", b"", (), None, None, VerdictRecord("allow", "observe"), 1
    )
    (event,) = events_of(
        [intent, *answered(intent.exchange, b"", status=400, result="refused", why="bad bytes")]
    )
    assert event["actor"]["user"] == {"name": "unidentified", "type_id": 0}
    assert event["src_endpoint"] == {"name": "unknown"}
    assert event["api"]["operation"] == "unknown"
    assert "resources" not in event
    assert event["status_detail"] == "bad bytes"


@pytest.mark.parametrize(
    ("user", "kind"),
    [("ann", 1), ("system:serviceaccount:prod:ci", 4), ("system:node:a", 3)],
)
def test_people_services_and_the_system_are_told_apart(user: str, kind: int) -> None:
    intent = Intent(
        b"i" * 16, 5, "s", "c", "10.0.0.1:5", "2", "GET", b"/version", (), PrincipalRecord(user, (), "oidc", "c"),
        CallRecord("get", path="/version"), VerdictRecord("allow", "observe"), 1,
    )  # fmt: skip
    (event,) = events_of([intent, *answered(intent.exchange, b"")])
    assert event["actor"]["user"]["type_id"] == kind
    assert event["message"] == f"{user}: get /version"


def test_what_policy_decided_is_an_action_and_a_disposition() -> None:
    events = events_of([*governed_story().records, LogStarted(1, "gw", "1", 0, "enforce")])
    told = [
        (event["unmapped"]["decision"], event["action"], event["disposition"])
        for event in events
        if event["metadata"]["event_code"] == "ResponseComplete"
    ]
    assert told[4:] == [
        ("deny", "Denied", "Blocked"),
        ("allow", "Allowed", "Count"),
        ("hold", "Allowed", "Approved"),
        ("hold", "Denied", "Rejected"),
        ("allow", "Allowed", "Allowed"),
        ("hold", "Unknown", "Unknown"),
    ]
    assert {event["metadata"]["profiles"][0] for event in events} == {"security_control"}


def test_holds_masks_and_grants_are_beside_the_schema() -> None:
    events = events_of(governed_story().records)
    (approved,) = [event for event in events if event["disposition"] == "Approved"]
    assert approved["unmapped"]["holds"] == [
        {
            "id": APPROVED_HOLD,
            "result": "approved",
            "by": ["bob"],
            "rules": ["prod/hold-deletes"],
            "held_ms": 20,
        }
    ]
    assert approved["policy"]["name"] == "prod/hold-deletes"
    assert approved["policy"]["uid"] == "p" * 64
    (secrets,) = [event for event in events if event["unmapped"].get("grants")]
    assert secrets["unmapped"]["masked"] == {"secrets/mask": 3, "pii/mail": 1}
    assert secrets["unmapped"]["shadow"] == ["secrets/strict"]
    assert b"4711" not in b"".join(msgspec.json.encode(event) for event in events)


def test_a_call_that_never_came_before_policy_was_neither_allowed_nor_denied() -> None:
    (event,) = events_of(
        [
            Intent(
                b"e" * 16, 1, "", "c", "1.2.3.4:5", "2", "GET", b"/", (), None, None,
                VerdictRecord("allow", "observe"), 2,
            ),
            *answered(b"e" * 16, b"", status=401, result="refused"),
        ]
    )  # fmt: skip
    assert (event["action_id"], event["disposition_id"]) == (0, 0)
