"""RowMaker: rows of recorded stories, once each, wherever the log is cut."""

import hashlib
import uuid

import msgspec
import pytest

from storage.lake.place import Place
from storage.lake.row_maker import UNREADABLE_RECORD, UNREADABLE_SEGMENT, RowMaker
from storage.lake.rows import Row
from storage.lake.settings import RowSettings
from storage.records import (
    CallRecord,
    Gap,
    LogStarted,
    PolicyLoaded,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    SegmentRecovered,
    StateChanged,
    encode_record,
)
from tests.kit.governed import governed_story
from tests.kit.lake_logs import all_rows, calls, controls, events, feed, rows_of, segment_ref
from tests.kit.recorded import JSON, SECOND_NS, START_NS, Tape, whole_story

CLEARTEXT = (b"customers.csv", b"4111", b"exec bash", b"limit=500", b"command=sh", b"app=web")


def ended_story() -> Tape:
    """The whole story, and the start of the next run, which shows that a call never ended."""
    tape = whole_story()
    tape.started()
    return tape


# --- one call, one row --------------------------------------------------------------------------------


def test_every_call_of_a_story_has_one_row() -> None:
    tape = ended_story()
    rows = calls(all_rows(tape.records))
    assert [row.verb for row in rows] == [
        *["get"] * 3,
        "list",
        "get",
        "patch",
        "delete",
        "delete",
        "get",
        "create",
        "get",
        "create",
        "delete",
    ]
    assert len({row.event_id for row in rows}) == len(rows)


def test_a_row_says_all_that_the_records_say() -> None:
    tape = Tape()
    exchange = tape.apply()
    row = calls(all_rows(tape.records))[-1]
    body = b'{"kind":"Deployment","spec":{"replicas":3}}'
    answer = b'{"spec":{"replicas":3}}'
    assert row.event_id == row.audit_id == str(uuid.UUID(bytes=exchange))
    assert (row.ts, row.dt, row.hr) == ("2026-01-31 10:00:00.004000", "2026-01-31", 10)
    assert (row.user, row.user_sub, row.issuer) == ("ann@example.com", "ann", "https://idp.example.com")
    assert (row.groups, row.actor_type, row.agent) == (("sre", "staff"), "human", None)
    assert (row.verb, row.http_method, row.path) == (
        "patch",
        "PATCH",
        "/apis/apps/v1/namespaces/prod/deployments/web",
    )
    assert (row.api_group, row.api_version, row.resource, row.subresource) == (
        "apps",
        "v1",
        "deployments",
        None,
    )
    assert (row.namespace, row.name, row.src_ip) == ("prod", "web", "10.0.0.9")
    assert (row.status, row.status_reason, row.decision) == (200, "completed", "allow")
    assert (row.req_bytes, row.resp_bytes) == (len(body), len(answer))
    assert row.req_sha256 == hashlib.sha256(body).hexdigest()
    assert row.resp_sha256 == hashlib.sha256(answer).hexdigest()
    assert row.policy_sha256 == "p" * 64


def test_a_row_points_at_its_intent() -> None:
    tape = Tape()
    exchange = tape.delete()
    encoded = [encode_record(record) for record in tape.records]
    row = calls(rows_of(tape.records, leaf_index=lambda stem, block: 100 + block)[0])[0]
    record = encoded[row.rec_seq - 1]
    assert exchange in record
    assert (row.segment_id, row.block_seq, row.rec_off, row.leaf_index) == ("id-1", 0, row.rec_seq - 1, 100)
    assert row.gateway_id == "gw-1"


def test_a_leaf_that_is_not_in_the_tree_yet_is_null() -> None:
    tape = Tape()
    tape.delete()
    asked = []

    def look_up(stem: str, block_seq: int) -> None:
        asked.append((stem, block_seq))

    (row,) = calls(rows_of(tape.records, leaf_index=look_up)[0])
    assert row.leaf_index is None
    assert (segment_ref(1).stem, 0) in asked


def test_an_agent_that_is_denied_is_an_agent_with_a_rule() -> None:
    tape = Tape()
    tape.denied()
    (row,) = calls(all_rows(tape.records))
    assert (row.actor_type, row.agent, row.decision) == ("agent", "agent-7", "deny")
    assert (row.rule_id, row.status, row.status_reason) == ("no-delete-for-agents", 403, "denied")
    assert row.issuer is None


def test_a_call_that_never_ended_is_unknown_when_the_next_run_begins() -> None:
    tape = whole_story()
    assert all(row.status_reason != "unknown" for row in calls(all_rows(tape.records)))
    tape.started()
    row = calls(all_rows(tape.records))[-1]
    assert (row.resource, row.status_reason, row.status, row.t_gateway_us) == (
        "secrets",
        "unknown",
        None,
        None,
    )


def test_a_stop_of_the_gateway_ends_what_is_open_too() -> None:
    tape = Tape()
    tape.crashed()
    tape.stopped()
    rows = all_rows(tape.records)
    assert calls(rows)[0].status_reason == "unknown"
    assert controls(rows)[-1].kind == "LogStopped"


def test_an_outcome_without_its_intent_makes_no_row() -> None:
    tape = Tape()
    tape.delete()
    assert calls(all_rows(tape.records[2:])) == []


def test_a_watch_has_no_hash_of_its_answer() -> None:
    tape = Tape()
    call = CallRecord("watch", "", "v1", "pods", "", "prod", path="/api/v1/namespaces/prod/pods?watch=true")
    tape.answer(tape.intent(call), b'{"type":"ADDED"}')
    (row,) = calls(all_rows(tape.records))
    assert (row.resp_sha256, row.resp_bytes) == (None, len(b'{"type":"ADDED"}'))
    assert (row.path, row.query) == ("/api/v1/namespaces/prod/pods", "watch=true")


# --- wherever it is cut -------------------------------------------------------------------------------


def once(parts: list[list[Row]]) -> list[Row]:
    return [row for part in parts for row in part]


def without_place(rows: list[Row]) -> list[tuple[object, ...]]:
    """Rows but for what depends on where segments end: place, and how text falls into pieces."""
    found = []
    for row in rows:
        fields = msgspec.structs.asdict(row)
        for name in ("segment_id", "block_seq", "rec_off", "gateway_id"):
            fields.pop(name, None)
        if type(row).__name__ == "ControlEvent":
            fields["event_id"] = ""
        if fields.get("text") is None:
            fields.pop("seq", None)  # counts the pieces of text too
            found.append(tuple(fields.items()))
    return found


def texts(rows: list[Row]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for row in events(rows):
        joined[row.event] = joined.get(row.event, "") + (row.text or "")
    return joined


def test_every_row_comes_once_wherever_the_log_is_cut_and_the_maker_stored() -> None:
    tape = ended_story()
    whole = all_rows(tape.records)
    for border in range(1, len(tape.records)):
        stored = rows_of(tape.records, borders=[border], restart=True)
        assert stored == rows_of(tape.records, borders=[border]), border
        assert without_place(once(stored)) == without_place(whole), border
        assert texts(once(stored)) == texts(whole), border


def test_every_row_comes_once_when_every_record_is_a_segment_of_its_own() -> None:
    tape = ended_story()
    borders = range(1, len(tape.records))
    stored = once(rows_of(tape.records, borders=borders, restart=True))
    assert without_place(stored) == without_place(all_rows(tape.records))
    assert texts(stored) == texts(all_rows(tape.records))


def test_the_numbers_of_stream_events_have_no_hole_over_restarts() -> None:
    tape = ended_story()
    rows = events(once(rows_of(tape.records, borders=range(1, len(tape.records)), restart=True)))
    for event_id in {row.event_id for row in rows}:
        seqs = [row.seq for row in rows if row.event_id == event_id]
        assert seqs == list(range(len(seqs)))


def test_a_row_belongs_to_the_segment_in_which_its_call_ended() -> None:
    tape = Tape()
    tape.delete()
    first, second = rows_of(tape.records, borders=[len(tape.records) - 1])
    assert calls(first) == []
    (row,) = calls(second)
    assert row.segment_id == "id-1"  # and says where it began


def test_text_held_back_comes_out_at_the_end_of_the_segment() -> None:
    """A live stream can be searched once its segment is sealed."""
    tape = Tape()
    tape.exec(end=False)
    first, second = rows_of(tape.records, borders=[len(tape.records) - 1])
    assert any("customers.csv" in (row.text or "") for row in events(first))
    assert not any("customers.csv" in (row.text or "") for row in events(second))


def test_a_body_hashed_over_a_restart_needs_its_beginning_again() -> None:
    tape = Tape()
    tape.apply()
    border = len(tape.records) - 1  # between the answer's body and the Outcome
    with_bodies = once(rows_of(tape.records, borders=[border], restart=True))
    without = once(rows_of(tape.records, borders=[border], restart=True, bodies_again=False))
    assert calls(with_bodies) == calls(once(rows_of(tape.records, borders=[border])))
    assert (calls(without)[-1].req_sha256, calls(without)[-1].resp_sha256) == (None, None)
    assert calls(without)[-1].req_bytes == calls(with_bodies)[-1].req_bytes


def test_bodies_are_wanted_from_the_segment_of_the_oldest_call_that_needs_them() -> None:
    tape = Tape()
    call = CallRecord("create", "", "v1", "configmaps", "", "prod")
    first, second = tape.intent(call, method="POST"), tape.intent(call, method="POST")
    tape.records.append(RequestBody(second, 0, b"{"))
    tape.records.append(RequestBody(first, 0, b"{"))
    maker = RowMaker("0")
    feed(maker, tape.records, 7, 1)
    assert maker.bodies_from() is None  # nothing was lost
    again = RowMaker.decode(maker.encode(), "0")
    assert again.bodies_from() == segment_ref(7).stem
    again.feed_again(b"\xc1")  # no record
    again.feed_again(encode_record(ResponseBody(b"x" * 16, 0, 0, b"of another call")))
    again.feed_again(encode_record(RequestBody(first, 0, b"{")))
    again.feed_again(encode_record(RequestBody(second, 0, b"{")))
    assert again.bodies_from() is None


def test_a_state_that_is_none_is_refused() -> None:
    for garbled in (b"", b"\x91\xa1x", msgspec.msgpack.encode([b"no call"])):
        with pytest.raises(msgspec.DecodeError):
            RowMaker.decode(garbled, "0")


# --- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start_ns", "dt", "hr"),
    [
        (START_NS + 14 * 3600 * SECOND_NS - 1, "2026-01-31", 23),
        (START_NS + 14 * 3600 * SECOND_NS, "2026-02-01", 0),
        (START_NS + 3600 * SECOND_NS - 1, "2026-01-31", 10),
        (START_NS + 3600 * SECOND_NS, "2026-01-31", 11),
    ],
)
def test_the_partition_is_that_of_the_beginning(start_ns: int, dt: str, hr: int) -> None:
    tape = Tape(start_ns=start_ns)
    tape.delete()
    (row,) = calls(all_rows(tape.records))
    assert (row.dt, row.hr) == (dt, hr)


def test_an_exec_over_midnight_has_events_of_both_days() -> None:
    tape = Tape(start_ns=START_NS + (14 * 3600 - 30) * SECOND_NS)
    tape.exec()
    rows = all_rows(tape.records)
    assert {(row.dt, row.hr) for row in events(rows)} == {("2026-01-31", 23), ("2026-02-01", 0)}
    assert calls(rows)[-1].dt == "2026-01-31"


# --- what may not come out ------------------------------------------------------------------------------


def test_metadata_mode_lets_no_content_out_and_stores_none() -> None:
    settings = RowSettings(metadata_only=True)
    tape = ended_story()
    call = CallRecord(
        "list", "", "v1", "pods", "", "prod", path="/pods?labelSelector=app=web", label_selector="app=web"
    )
    tape.answer(tape.intent(call), b"{}")
    rows = all_rows(tape.records, settings)
    encoded = msgspec.json.encode(rows)
    assert [text for text in CLEARTEXT if text in encoded] == []
    assert all(row.text is None and row.command is None for row in events(rows))
    assert all(
        row.query is None and row.req_sha256 is None and row.resp_sha256 is None for row in calls(rows)
    )
    assert {row.event for row in events(rows)} == {"open", "resize", "close"}
    maker = RowMaker("0", settings)
    for border in range(1, len(tape.records)):
        feed(maker, tape.records[border - 1 : border], border, border)
        assert [text for text in CLEARTEXT if text in maker.encode()] == []


def test_what_was_stored_before_metadata_mode_was_turned_on_does_not_come_out() -> None:
    tape = Tape()
    tape.exec(end=False)
    call = CallRecord("list", path="/pods?labelSelector=app=web", label_selector="app=web")
    tape.records.append(ResponseStarted(tape.intent(call), 1, 200, JSON))
    maker = RowMaker("0")
    feed(maker, tape.records[:-3], 1, 1)  # a prompt is held back
    held = RowMaker.decode(maker.encode(), "0", RowSettings(metadata_only=True))
    rows = feed(held, [*tape.records[-3:], LogStarted(0, "gw-1", "0", 0, "enforce")], 2, len(tape.records))
    assert [text for text in (*CLEARTEXT, b"root@") if text in msgspec.json.encode(rows)] == []
    assert len(calls(rows)) == 2
    rest = RowMaker.decode(maker.encode(), "0").end_segment()
    assert rest == []


# --- control events ---------------------------------------------------------------------------------------


def test_control_events_are_the_records_of_no_exchange() -> None:
    records = [
        LogStarted(START_NS, "gw-1", "0.1.0", 0, "enforce"),
        PolicyLoaded(START_NS + 1000, "p" * 64, "enforce", ("a.yaml",)),
        Gap(START_NS + 2000, "disk full", b"e" * 16),
        SegmentRecovered(START_NS + 3000, "seg", 1, 2, "torn", b"\x01\x02"),
    ]
    rows = controls(all_rows(records))
    assert [row.kind for row in rows] == ["LogStarted", "PolicyLoaded", "Gap", "SegmentRecovered"]
    assert [row.rec_seq for row in rows] == [1, 2, 3, 4]
    assert rows[1].ts == "2026-01-31 10:00:00.000001"
    assert msgspec.json.decode(rows[1].detail)["files"] == ["a.yaml"]
    assert msgspec.json.decode(rows[2].detail)["exchange"] == str(uuid.UUID(bytes=b"e" * 16))
    assert msgspec.json.decode(rows[3].detail)["valid_sha256"] == "0102"
    assert rows[0].event_id == f"{segment_ref(1).stem}/1"


def test_a_session_is_a_control_event_with_its_user() -> None:
    tape = Tape()
    tape.get_pods()
    (row,) = controls(all_rows(tape.records))
    assert (row.kind, row.user, row.session_id) == (
        "SessionOpened",
        "ann@example.com",
        "01KG9ZK7M0ANN0000000000000",
    )


def test_a_record_of_a_later_version_is_shown_by_its_number() -> None:
    maker = RowMaker("0")
    encoded = msgspec.msgpack.encode([4711, "x"])
    (row,) = maker.take(Place(segment_ref(1), 3, 2, 9, START_NS), encoded)
    (control,) = controls([row])
    assert (control.kind, control.ts, control.block_seq, control.rec_off) == (
        "Record4711",
        "2026-01-31 10:00:00.000000",
        3,
        2,
    )


def test_a_record_that_is_none_is_said_and_the_rest_goes_on() -> None:
    maker = RowMaker("0")
    (row,) = controls(maker.take(Place(segment_ref(1), 0, 0, 1, START_NS), b"\xc1"))
    assert row.kind == UNREADABLE_RECORD
    assert msgspec.json.decode(row.detail)["bytes"] == 1


def test_a_segment_that_cannot_be_read_is_a_control_event() -> None:
    row = RowMaker("0").unreadable(segment_ref(3), START_NS, "no key")
    assert (row.kind, row.rec_seq, row.leaf_index) == (UNREADABLE_SEGMENT, None, None)
    assert msgspec.json.decode(row.detail) == {"segment": segment_ref(3).stem, "why": "no key"}


def test_a_record_too_long_for_a_column_is_said_to_be() -> None:
    (row,) = controls(all_rows([PolicyLoaded(START_NS, "p", "enforce", ("x" * 70_000,))]))
    assert set(msgspec.json.decode(row.detail)) == {"too_long_bytes"}


def test_a_cluster_name_unfit_for_a_key_is_changed_as_in_object_keys() -> None:
    tape = Tape()
    tape.delete()
    rows = calls(all_rows(tape.records, RowSettings(cluster="eu/../prod")))
    assert "/" not in rows[0].cluster
    assert rows[0].cluster.startswith("eu_.._prod-")


def test_a_change_of_state_is_a_control_event_of_who_caused_it() -> None:
    rows = [row for row in controls(all_rows(governed_story().records)) if row.kind == "StateChanged"]
    assert [(row.user, row.session_id) for row in rows] == [("agent-7", "S1"), ("bob", None)]
    assert msgspec.json.decode(rows[1].detail)["entry"]["note"] == "go on, 4711"
    assert msgspec.json.decode(rows[1].detail)["signature"] == b"sig".hex()


def test_a_long_entry_loses_its_content_and_keeps_who_caused_it() -> None:
    entry = msgspec.json.encode({"id": "h", "by": {"user": "bob"}, "diff": "x" * 70_000})
    (row,) = controls(all_rows([StateChanged(START_NS, "HoldRequested", entry)]))
    assert (row.user, msgspec.json.decode(row.detail)["entry"]) == ("bob", {"id": "h", "by": {"user": "bob"}})


@pytest.mark.parametrize("border", range(0, 60, 3))
def test_a_governed_story_gives_the_same_rows_over_a_restart_at_any_border(border: int) -> None:
    records = governed_story().records
    parts = rows_of(records, borders=[border], restart=True)
    whole = rows_of(records, borders=[border])
    assert parts == whole
