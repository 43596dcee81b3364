"""The join as a whole: every lie found, in any order, with bounded memory, in the time both logs cover."""

import io
import random
from typing import Any

import pytest

from storage.reconcile import join as module
from storage.reconcile.audit_log import read_audit_log
from storage.reconcile.compare import Finding
from storage.reconcile.join import Join
from storage.reconcile.recorded import Span
from storage.records import AnyRecord, CallRecord
from tests.kit.audited import GATEWAY, as_lines, audited, event, forwarded, story, stranger
from tests.kit.recorded import SECOND_NS, START_NS, Tape

MINUTE_NS = 60 * SECOND_NS
INSIDE_NS = START_NS + 90 * SECOND_NS


def compare(
    records: list[AnyRecord], events: list[dict[str, Any]], **judging: Any
) -> tuple[list[Finding], Join]:
    with Join() as join:
        join.add_log(enumerate(records))
        for line in read_audit_log(io.BytesIO(as_lines(events))):
            assert line.garbled is None
            for one in line.events:
                join.add_event(one)
        return list(join.findings(join.window(), **judging)), join


def kinds(findings: list[Finding]) -> list[str]:
    return [one.kind for one in findings]


@pytest.mark.parametrize("identity", ["shared", "impersonate"])
def test_two_logs_of_the_same_calls_agree(identity: str) -> None:
    records = story(identity=identity)
    found, join = compare(records, audited(records))
    assert found == []
    assert (join.counts.recorded, join.counts.joined, join.counts.events) == (6, 6, 8)
    assert join.learned_users == {GATEWAY}
    assert not any(join.counts.findings.values())


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_events_does_not_matter(seed: int) -> None:
    records = story()
    events = [*audited(records), stranger(GATEWAY, INSIDE_NS), stranger("ann", INSIDE_NS)]
    random.Random(seed).shuffle(events)
    assert kinds(compare(records, events)[0]) == ["unrecorded", "around"]


def test_our_credential_without_a_record_is_the_serious_one() -> None:
    records = story()
    found, join = compare(records, [stranger(GATEWAY, INSIDE_NS, verb="delete"), *audited(records)])
    (one,) = found
    assert (one.kind, one.user, one.verb, one.target) == ("unrecorded", GATEWAY, "delete", "/api/v1/secrets")
    assert one.detail == "made with the gateway's credential, and there is no record of it"
    assert join.counts.findings == {"unrecorded": 1, "differs": 0, "unseen": 0, "around": 0}


def test_who_our_credential_is_may_be_said_instead_of_learnt() -> None:
    records = story()
    events = [*audited(records), stranger("arn:aws:sts::1:assumed-role/kubetape/ann", INSIDE_NS)]
    assert kinds(compare(records, events)[0]) == ["around"]
    named = ["arn:aws:sts::1:assumed-role/kubetape/*"]
    assert kinds(compare(records, events, gateway_users=named)[0]) == ["unrecorded"]


def test_a_credential_in_the_system_namespace_is_still_ours() -> None:
    user = "system:serviceaccount:kube-system:kubetape"
    records = story()
    found, _ = compare(records, [stranger(user, INSIDE_NS), *audited(records, user=user)])
    assert kinds(found) == ["unrecorded"]


def test_people_around_us_are_found_and_the_cluster_itself_is_counted() -> None:
    records = story()
    events = [*audited(records), stranger("ann", INSIDE_NS), stranger("system:node:a", INSIDE_NS)]
    found, join = compare(records, events)
    assert [(one.kind, one.user) for one in found] == [("around", "ann")]
    assert join.counts.left_out == 1
    found, _ = compare(records, events, include_system=True)
    assert {one.user for one in found} == {"system:node:a", "ann"}


def test_of_a_stranger_all_stages_are_one_finding_with_its_status() -> None:
    records = story()
    watch = [
        stranger("ann", INSIDE_NS, verb="watch", stage="ResponseStarted", code=200),
        stranger("ann", INSIDE_NS, verb="watch", stage="ResponseComplete", code=504),
    ]
    for events in (watch, watch[::-1]):
        (one,) = compare(records, [*audited(records), *events])[0]
        assert (one.kind, one.status) == ("around", 504)


def test_a_forwarded_call_the_cluster_never_saw_is_unseen() -> None:
    records = story()
    events = audited(records)
    missing = events.pop(3)
    (one,) = compare(records, events)[0]
    assert (one.kind, one.audit_id, one.user) == ("unseen", missing["auditID"], "ann@example.com")


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"verb": "get"}, "verb: "),
        ({"requestURI": "/api/v1/nodes"}, "target: "),
        ({"responseStatus": {"code": 404}}, "status: "),
        ({"impersonatedUser": {"username": "eve"}}, "user: "),
    ],
)
def test_every_lie_about_a_call_is_a_difference(lie: dict[str, Any], said: str) -> None:
    records = story()
    events = audited(records)
    events[3] |= lie
    (one,) = compare(records, events)[0]
    assert one.kind == "differs"
    assert one.detail.startswith(said)


def test_a_difference_in_every_stage_is_said_once() -> None:
    records = story()
    events = audited(records)
    events[3]["verb"] = "get"
    events.append(events[3] | {"stage": "ResponseStarted"})
    assert kinds(compare(records, events)[0]) == ["differs"]


def test_a_change_made_twice_under_one_id_is_found_and_a_line_read_twice_is_not() -> None:
    records = story()
    events = audited(records)
    found, join = compare(records, [*events, *events])
    assert found == []
    assert join.counts.repeated_lines == 6
    again = events[3] | {"stageTimestamp": events[4]["stageTimestamp"]}
    (one,) = compare(records, [*events, again])[0]
    assert (one.kind, one.detail) == ("differs", "audited more than once: ResponseComplete")


def test_a_read_may_be_sent_twice_but_not_thrice() -> None:
    tape = Tape()
    tape.started()
    tape.wait(60)
    tape.get_pods()
    tape.wait(60)
    tape.stopped()
    records = forwarded(tape.records)
    events = audited(records)
    at = next(at for at, one in enumerate(events) if one["verb"] == "list")
    twice = [events[at] | {"stageTimestamp": events[at + number]["stageTimestamp"]} for number in (-1, -2)]
    assert compare(records, [*events, twice[0]])[0] == []
    assert kinds(compare(records, [*events, *twice])[0]) == ["differs"]


def test_an_event_that_differs_teaches_us_no_user() -> None:
    records = story(calls=1)
    events = audited(records)
    events[1] |= {"verb": "get", "user": {"username": "eve"}}
    found, join = compare(records, [*events, stranger("eve", INSIDE_NS)])
    assert kinds(found) == ["differs", "around"]
    assert join.learned_users == set()


# --- time --------------------------------------------------------------------------------------------


def test_only_the_time_both_logs_cover_is_compared() -> None:
    records = story()
    before, after = START_NS - MINUTE_NS, START_NS + 30 * MINUTE_NS
    events = [*audited(records), *(stranger(user, at) for user in (GATEWAY, "ann") for at in (before, after))]
    found, join = compare(records, events)
    assert found == []
    assert join.counts.outside == 6, "four of theirs, two of the API server itself"
    assert join.window() == Span(
        START_NS + 3 * SECOND_NS, START_NS + 7 * MINUTE_NS + 24_000_000 - 3 * SECOND_NS
    )


def test_an_audit_log_that_begins_later_or_ends_earlier_makes_no_call_unseen() -> None:
    records = story()
    found, join = compare(records, audited(records)[3:5])
    assert found == []
    assert not join.window().is_empty


def test_a_record_that_goes_on_covers_the_time_up_to_now() -> None:
    records = story()
    with Join() as join:
        assert join.add_log(enumerate(records[:-1])) is None
        for one in (*audited(records), stranger(GATEWAY, START_NS + 20 * MINUTE_NS)):
            for line in read_audit_log(io.BytesIO(as_lines([one]))):
                for audit_event in line.events:
                    join.add_event(audit_event)
        assert list(join.findings(join.window())) == []
        join.speaks_until(START_NS + 30 * MINUTE_NS)
        assert kinds(list(join.findings(join.window()))) == ["unrecorded"]


def test_since_and_until_narrow_the_time() -> None:
    records = story()
    with Join() as join:
        join.add_log(enumerate(records))
        for line in read_audit_log(io.BytesIO(as_lines(audited(records)))):
            for one in line.events:
                join.add_event(one)
        since, until = START_NS + MINUTE_NS, START_NS + 2 * MINUTE_NS
        assert join.window(since_ns=since, until_ns=until) == Span(since, until)
        assert join.window(since_ns=START_NS + 100 * MINUTE_NS).is_empty


def test_differences_outside_the_time_are_not_shown() -> None:
    records = story()
    events = audited(records)
    events[3]["verb"] = "get"
    with Join() as join:
        join.add_log(enumerate(records))
        for line in read_audit_log(io.BytesIO(as_lines(events))):
            for one in line.events:
                join.add_event(one)
        assert list(join.findings(join.window(until_ns=START_NS + MINUTE_NS))) == []


def test_without_any_record_or_event_there_is_no_time_to_compare() -> None:
    with Join() as join:
        assert join.window().is_empty


def test_where_records_are_gone_nothing_is_said_to_be_unrecorded() -> None:
    records = story()
    events = [*audited(records), stranger(GATEWAY, INSIDE_NS), stranger(GATEWAY, START_NS + 290 * SECOND_NS)]
    with Join() as join:
        gone = range(3, 14)  # from within the first call to within the third
        join.add_log((seq, one) for seq, one in enumerate(records) if seq not in gone)
        for line in read_audit_log(io.BytesIO(as_lines(events))):
            for one in line.events:
                join.add_event(one)
        found = list(join.findings(join.window()))
        assert [(one.kind, one.at_ns) for one in found] == [("unrecorded", START_NS + 290 * SECOND_NS)]
        assert len(join.holes) == 1


# --- bounds ------------------------------------------------------------------------------------------


def test_of_a_busy_part_of_the_cluster_only_some_events_wait_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_OF_SYSTEM_USER", 3)
    monkeypatch.setattr(module, "COMMIT_ROWS", 4)
    records = story()
    busy = [stranger("system:kube-scheduler", INSIDE_NS + number) for number in range(10)]
    found, join = compare(records, [*audited(records), *busy])
    assert (found, join.counts.left_out) == ([], 10)
    found, join = compare(records, [*audited(records), *busy], include_system=True)
    assert (len(found), join.counts.findings["around"]) == (3, 10)


def test_ids_and_users_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LEARNED_USERS", 0)
    records = story()
    long = event("x" * 5000, INSIDE_NS, verb="get", uri="/", user="ann")
    found, join = compare(records, [*audited(records), long])
    assert kinds(found) == ["around"]
    assert join.learned_users == set()


def test_the_database_is_private_and_gone_afterwards() -> None:
    with Join() as join:
        directory = join._directory
        assert directory.stat().st_mode & 0o077 == 0
    assert not directory.exists()


def test_the_same_call_in_two_copies_of_a_log_is_one_call() -> None:
    records = story()
    with Join() as join:
        join.add_log(enumerate(records))
        join.add_log(enumerate(records))
        assert join.counts.recorded == 6


def test_calls_with_an_unknown_end_may_be_audited_or_not() -> None:
    tape = Tape()
    tape.started()
    tape.wait(60)
    tape.crashed()
    tape.wait(60)
    tape.started()
    records = forwarded(tape.records)
    assert compare(records, audited(records))[0] == []
    assert compare(records, audited([]))[0] == []


def test_a_call_under_way_at_the_end_of_the_record_joins_too() -> None:
    records = story()[:-1]
    late = Tape(start_ns=START_NS + 390 * SECOND_NS, tag="late")
    late.crashed()
    records += forwarded(late.records)
    found, join = compare(records, audited(records))
    assert (found, join.counts.recorded, join.counts.joined) == ([], 7, 7)


def test_a_health_call_the_cluster_does_not_audit_is_counted_and_no_finding() -> None:
    tape = Tape()
    tape.started()
    tape.wait(60)
    tape.answer(tape.intent(CallRecord("get", path="/version?timeout=32s")), b"{}")
    tape.delete()
    tape.wait(60)
    tape.stopped()
    records = forwarded(tape.records)
    events = [one for one in audited(records) if not one["requestURI"].startswith("/version")]
    found, join = compare(records, events)
    assert (found, join.counts.rarely_audited) == ([], 1)
