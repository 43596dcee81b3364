"""Exchanges from records: in order, after restarts and crashes, within bounds."""

from itertools import zip_longest

import msgspec
import pytest

from gateway.outlets import assembler as module
from gateway.outlets.exchange_records import AssemblerState
from storage.records import (
    CallRecord,
    Gap,
    Intent,
    LogStarted,
    LogStopped,
    Outcome,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    SessionOpened,
    UnknownRecord,
)
from tests.kit.assembling import answered, exchanges_of, feed, new_assembler, only_exchange, position
from tests.kit.recorded import Tape, whole_story

PODS = CallRecord("get", "", "v1", "pods", "", "prod", "web", "/api/v1/namespaces/prod/pods/web")
WATCH = CallRecord("watch", "", "v1", "pods", "", "prod", "", "/api/v1/namespaces/prod/pods?watch=1")


def stages(told: list[module.Assembled]) -> list[tuple[str, str]]:
    return [(one.exchange.intent.call.verb, one.stage) for one in told if one.exchange.intent.call]


def test_every_exchange_is_told_once_when_it_ends_and_streams_also_when_they_begin() -> None:
    records = whole_story().records
    told = feed(new_assembler(), records)
    intents = [record for record in records if isinstance(record, Intent)]
    ended = [one.exchange.intent.exchange for one in told if one.stage == "ResponseComplete"]
    assert ended == [intent.exchange for intent in intents[:-1]]  # the last one crashed
    begun = [one.exchange.intent.call for one in told if one.stage == "ResponseStarted"]
    assert [call.subresource for call in begun if call] == ["exec", "log", "portforward"]


def test_an_exchange_has_its_bodies_status_and_outcome() -> None:
    tape = Tape()
    tape.apply()
    patch = exchanges_of(tape.records)[1]
    assert bytes(patch.request.data) == b'{"kind":"Deployment","spec":{"replicas":3}}'
    assert bytes(patch.response.data) == b'{"spec":{"replicas":3}}'
    assert (patch.request.content_type, patch.response.content_type) == (
        "application/json",
        "application/json",
    )
    assert (patch.status, patch.result, patch.intent.headers) == (200, "completed", ())


def test_a_stream_keeps_exit_code_and_tunnel_and_no_bodies() -> None:
    tape = Tape()
    tape.exec(exit_code=42)
    tape.logs()
    pod, run, logs = exchanges_of(tape.records)
    assert (run.exit_code, run.status, run.tunnel and run.tunnel.kind) == (42, 101, "exec")
    assert (logs.response.size > 0, logs.response.data) == (True, b"")
    assert pod.response.data


def test_a_body_beyond_the_cap_is_not_kept_and_its_size_is_known() -> None:
    tape = Tape()
    exchange = tape.intent(PODS)
    tape.records += [
        ResponseStarted(exchange, 1, 200, ()),
        ResponseBody(exchange, 2, 0, b"x" * 60_000),
        ResponseBody(exchange, 3, 60_000, b"x" * 60_000),
        ResponseBody(exchange, 4, 120_000, b"x"),
        Outcome(exchange, 5, "completed", 200),
    ]
    body = only_exchange(tape.records).response
    assert (body.size, body.is_cut, body.data) == (120_001, True, b"")


def test_a_body_with_a_hole_is_not_kept() -> None:
    tape = Tape()
    exchange = tape.intent(PODS, method="PATCH")
    tape.records += [RequestBody(exchange, 5, b"{}"), *answered(exchange, b"{}")]
    body = only_exchange(tape.records).request
    assert (body.size, body.is_cut, body.data) == (7, True, b"")


def test_bodies_of_all_open_exchanges_have_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 100)
    tape = Tape()
    first, second, third = (tape.intent(PODS) for _ in range(3))
    tape.records.append(ResponseBody(first, 1, 0, b"a" * 80))
    tape.records += answered(second, b"b" * 30)
    tape.records += answered(first, b"")
    tape.records += answered(third, b"c" * 90)
    kept = {one.intent.exchange: len(one.response.data) for one in exchanges_of(tape.records)}
    assert kept == {second: 0, first: 80, third: 90}


def test_a_secret_is_never_kept() -> None:
    tape = Tape()
    call = CallRecord("get", "", "v1", "secrets", "", "prod", "tls", "/api/v1/namespaces/prod/secrets/tls")
    tape.records += answered(tape.intent(call), b'{"kind":"Secret","data":{"key":"aGVsbG8="}}')
    body = only_exchange(tape.records[1:]).response
    assert (body.data, body.is_cut, body.size) == (b"", True, 43)


@pytest.mark.parametrize("ending", [LogStarted(9, "gw", "1", 0, "observe"), LogStopped(9, "drained")])
def test_the_end_of_a_run_ends_what_is_open_as_unknown(ending: LogStarted | LogStopped) -> None:
    tape = Tape()
    tape.crashed()
    tape.exec(end=False)
    told = feed(new_assembler(), [*tape.records, ending])
    unknown = [one.exchange for one in told if one.exchange.result == "unknown"]
    assert {one.intent.call.verb for one in unknown if one.intent.call} == {"delete", "create"}
    assert {one.why for one in unknown} == {module.CRASHED}
    assert [one.stage for one in told if one.exchange.result == "unknown"][-1] == "ResponseComplete"


def test_records_without_an_intent_and_of_unknown_types_are_nothing_to_tell() -> None:
    assembler = new_assembler()
    records = [
        Outcome(b"?" * 16, 5, "completed", 200),
        SessionOpened("s", 1, whole_story().records[1].principal, ""),
    ]  # type: ignore[union-attr]
    assert feed(assembler, records) == []
    assert assembler.take(position(2), UnknownRecord(99, b"")) == []
    assert assembler.read_from == position(2).next()


def test_a_gap_in_the_log_is_known_of_the_exchange() -> None:
    tape = Tape()
    exchange = tape.intent(PODS)
    tape.records += [Gap(1, "disk full", exchange), *answered(exchange, b"{}")]
    assert only_exchange(tape.records).gap == "disk full"


def test_a_long_running_exchange_begins_once_whatever_tells_it_first() -> None:
    tape = Tape()
    tape.port_forward()
    assert [stage for _, stage in stages(feed(new_assembler(), tape.records))] == [
        "ResponseStarted",
        "ResponseComplete",
    ]


# --- restarts -----------------------------------------------------------------------------------


def test_the_cursor_is_the_oldest_short_exchange_that_is_open() -> None:
    tape = Tape()
    assembler = new_assembler()
    assert assembler.cursor is None
    slow = tape.intent(PODS)  # record 1, behind the SessionOpened
    tape.delete()
    feed(assembler, tape.records)
    assert assembler.cursor == position(1)
    feed(assembler, answered(slow, b"{}"), len(tape.records))
    assert assembler.cursor == assembler.read_from


def test_a_watch_does_not_hold_the_cursor_back() -> None:
    tape = Tape()
    watch = tape.intent(WATCH)
    tape.records.append(ResponseStarted(watch, 5, 200, ()))
    tape.delete()
    assembler = new_assembler()
    feed(assembler, tape.records)
    assert assembler.cursor == assembler.read_from
    assert [one.status for one in assembler.state().carried] == [200]


@pytest.mark.parametrize("cut", range(1, 90))
def test_wherever_it_restarts_every_exchange_is_told_once_and_alike(cut: int) -> None:
    """State saved after any record, through JSON as on disk: together the two tell what one tells."""
    records = interleaved()
    whole = [told_facts(one) for one in feed(new_assembler(), records)]
    first = new_assembler()
    told = [told_facts(one) for one in feed(first, records[:cut])]
    state = msgspec.json.decode(msgspec.json.encode(first.state()), type=AssemblerState)
    assert state.cursor is not None
    again = state.cursor.record_seq
    second = new_assembler(state=state)
    told += [told_facts(one) for one in feed(second, records[again:], again)]
    assert told == whole


def interleaved() -> list:  # type: ignore[type-arg]
    """Two stories whose records alternate, between two runs; streams and short calls overlap."""
    left, right = whole_story(), Tape(tag="right")
    right.get_pods()
    slow = right.intent(PODS)
    right.exec()
    right.apply()
    right.records += answered(slow, b'{"slow":true}')
    pairs = zip_longest(left.records, right.records)
    mixed = [record for pair in pairs for record in pair if record is not None]
    return [*mixed, LogStarted(1, "gw", "1", 0, "observe"), *Tape(tag="later").records]


def told_facts(told: module.Assembled) -> tuple[object, ...]:
    one = told.exchange
    ended = (one.result, one.exit_code) if told.stage == "ResponseComplete" else ()
    bodies = (bytes(one.request.data), bytes(one.response.data))
    return one.intent.exchange, told.stage, one.status, one.began_us, bodies, ended


def test_a_begun_stream_survives_the_restart_with_what_was_known_of_it() -> None:
    tape = Tape()
    tape.exec(end=False)
    assembler = new_assembler()
    feed(assembler, tape.records)
    (restored,) = feed(
        new_assembler(state=assembler.state()),
        [Outcome(tape.records[-1].exchange, 9, "cut", 101)],  # type: ignore[union-attr]
        len(tape.records),
    )
    assert restored.exchange.tunnel
    assert (restored.exchange.tunnel.kind, restored.exchange.result, restored.stage) == (
        "exec",
        "cut",
        "ResponseComplete",
    )


# --- bounds -------------------------------------------------------------------------------------


def test_too_many_ids_behind_a_slow_exchange_let_the_cursor_pass_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GIVEN_OUT", 10)
    tape = Tape()
    slow = tape.intent(PODS, method="PATCH")
    tape.records.append(RequestBody(slow, 0, b'{"much":1}'))
    for number in range(30):
        tape.delete(name=str(number))
    assembler = new_assembler()
    assert len(feed(assembler, tape.records)) == 30
    state = assembler.state()
    assert len(state.given_out) <= 10
    assert [one.is_cut for one in state.carried] == [True]
    (late,) = feed(new_assembler(state=state), answered(slow, b"{}"), len(tape.records))
    assert (late.exchange.result, late.exchange.request.is_cut) == ("completed", True)


def test_too_many_ids_without_any_open_exchange_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GIVEN_OUT", 3)
    tape = Tape()
    for number in range(9):
        tape.delete(name=str(number))
    assembler = new_assembler()
    assert len(feed(assembler, tape.records)) == 9
    assert assembler.state().given_out == ()


def test_too_many_open_exchanges_give_up_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 2)
    tape = Tape()
    watch = tape.intent(WATCH)
    tape.records.append(ResponseStarted(watch, 5, 200, ()))
    opened = [tape.intent(PODS) for _ in range(3)]
    told = feed(new_assembler(), tape.records)[1:]
    assert [one.exchange.intent.exchange for one in told] == [watch, opened[0]]
    assert {(one.exchange.result, one.exchange.why) for one in told} == {("unknown", module.TOO_MANY)}


def test_records_that_are_gone_end_short_exchanges_and_not_streams() -> None:
    tape = Tape()
    tape.exec(end=False)
    tape.crashed()
    assembler = new_assembler()
    feed(assembler, tape.records)
    told = assembler.skip_to(position(500), "gone")
    assert [(one.exchange.result, one.exchange.why) for one in told] == [("unknown", "gone")]
    assert (assembler.cursor, assembler.open_count) == (position(500), 1)


def test_reading_may_go_on_elsewhere_or_over_a_record() -> None:
    assembler = new_assembler()
    assembler.continue_at(position(7))
    assert assembler.cursor == position(7)
    assembler.pass_over(position(7))
    assert assembler.cursor == position(7).next()


def test_what_describes_a_body_is_read_from_its_headers() -> None:
    tape = Tape()
    exchange = tape.intent(PODS)
    headers = (
        (b"content-type", b"Application/JSON; charset=utf-8"),
        (b"content-encoding", b"GZIP"),
        (b"date", b"now"),
    )
    tape.records += [ResponseStarted(exchange, 1, 200, headers), Outcome(exchange, 2, "completed", 200)]
    body = only_exchange(tape.records).response
    assert (body.content_type, body.encoding) == ("application/json", "gzip")
