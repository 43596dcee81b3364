"""Lines of audit logs in all the forms they come in, and what is none."""

import io
import json
from datetime import datetime

import pytest

from storage.reconcile.audit_log import AuditEvent, GarbledLine, nanoseconds, parse_audit_line, read_audit_log
from tests.kit.audited import event

ONE = event(
    "id-1", 1_769_853_600_123_456_000, verb="list", uri="/api/v1/pods?limit=500", acting="ann", code=200
)
TWO = event("id-2", 1_769_853_601_000_000_000, verb="create", uri="/x", code=201)
LIST = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [ONE, TWO]}


def parse(value: object) -> list[str]:
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    return [one.audit_id for one in parse_audit_line(line)]


def test_an_event_has_what_is_compared() -> None:
    (one,) = parse_audit_line(json.dumps(ONE | {"requestObject": {"big": [1] * 100}}).encode() + b"\r\n")
    assert (one.audit_id, one.stage, one.verb) == ("id-1", "ResponseComplete", "list")
    assert (one.user.username, one.acting, one.code) == ("session-gateway", "ann", 200)
    assert (one.received_ns, one.staged_ns) == (1_769_853_600_123_456_000, 1_769_853_600_126_456_000)
    assert one.source_ips == ("10.0.0.9", "10.1.1.1")


def test_what_an_event_may_lack() -> None:
    (one,) = parse_audit_line(b'{"auditID":"a","stage":"Panic","sourceIPs":null,"impersonatedUser":null}')
    assert (one.acting, one.code, one.received_ns, one.staged_ns) == ("", 0, 0, 0)
    (one,) = parse_audit_line(b'{"auditID":"a","stage":"Panic","stageTimestamp":"2026-01-31T10:00:00Z"}')
    assert one.received_ns == one.staged_ns == 1_769_853_600_000_000_000


@pytest.mark.parametrize(
    "form",
    [
        ONE,
        {"message": json.dumps(ONE)},
        {"events": [{"message": json.dumps(ONE), "timestamp": 1}]},
        {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": json.dumps(ONE)}]},
        b"2026-01-31T10:00:00.123Z " + json.dumps(ONE).encode(),
        b"  " + json.dumps(ONE).encode() + b"  \n",
        {"message": json.dumps({"kind": "EventList", "items": [ONE]})},
    ],
)
def test_every_form_gives_the_event(form: object) -> None:
    assert parse(form) == ["id-1"]


def test_a_list_gives_all_its_events() -> None:
    assert parse(LIST) == ["id-1", "id-2"]
    assert parse({"message": json.dumps(LIST)}) == ["id-1", "id-2"]


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"I0131 10:00:00.000000       1 trace.go:205] Trace[1]: List",
        b"[a list]",
        b'"text"',
        {"kind": "Pod", "metadata": {}},
        {"message": "time=now level=info msg=started"},
        {"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "CWL CONTROL MESSAGE"}]},
        {"items": []},
    ],
)
def test_lines_of_other_logs_are_nothing(other: object) -> None:
    assert parse(other) == []


@pytest.mark.parametrize(
    ("garbled", "why"),
    [
        (b'{"auditID":"a","sta', "it is not JSON"),
        (b"\x00\x00\x00", "it is not JSON"),
        (b'{"auditID":"a\xff","stage":"x"}', "it is not JSON"),
        (b'{"a":' * 5000, "it is not JSON"),
        ({"auditID": 5, "stage": "x"}, "it is no audit event"),
        (ONE | {"stageTimestamp": "yesterday"}, "it is no audit event"),
        ({"items": "x"}, "it is no audit event"),
        ({"message": '{"auditID":'}, "it is not JSON"),
        ({"kind": "EventList", "items": [ONE, {"auditID": "x", "stage": 1}]}, "it is no audit event"),
    ],
)
def test_garbled_lines_are_an_error(garbled: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(garbled)


def test_wrapping_without_end_is_an_error() -> None:
    value: object = ONE
    for _ in range(6):
        value = {"message": json.dumps(value)}
    with pytest.raises(ValueError, match="nested too deep"):
        parse(value)


def test_a_log_is_read_line_by_line_and_garbled_ones_are_named() -> None:
    lines = [
        json.dumps(ONE).encode(),
        b'{"auditID":"cut',
        b"something else",
        json.dumps(ONE | {"requestObject": "x" * 2000}).encode(),
        json.dumps(TWO).encode(),
    ]
    read = list(read_audit_log(io.BytesIO(b"\n".join(lines)), max_line_bytes=1500))
    assert [line.number for line in read] == [1, 2, 3, 4, 5]
    assert [[one.audit_id for one in line.events] for line in read] == [["id-1"], [], [], [], ["id-2"]]
    garbled = {line.number: line.garbled for line in read if line.garbled}
    assert list(garbled) == [2, 4]
    assert isinstance(garbled[2], GarbledLine)
    assert str(garbled[2]).startswith("line 2: it is not JSON")
    assert str(garbled[4]) == "line 4: it is longer than 1500 bytes"


def test_a_line_without_end_is_skipped_without_holding_it() -> None:
    stream = io.BytesIO(b"x" * 1_000_000)
    (line,) = read_audit_log(stream, max_line_bytes=1000)
    assert (line.number, line.events) == (1, [])
    assert line.garbled


def test_times_are_exact_and_without_a_zone_utc() -> None:
    assert nanoseconds(None) == 0
    assert nanoseconds(datetime.fromisoformat("1969-12-31T00:00:00")) == 0
    assert nanoseconds(datetime.fromisoformat("2026-01-31T10:00:00.000001")) == 1_769_853_600_000_001_000
    assert nanoseconds(datetime.fromisoformat("2026-01-31T12:00:00+02:00")) == 1_769_853_600_000_000_000


def test_an_event_without_impersonation_acts_for_itself() -> None:
    assert AuditEvent("a", "x").acting == ""
