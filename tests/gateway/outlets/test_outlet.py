"""An outlet end to end over logs in memory: nothing lost, whatever receiver, disk, log or process do."""

import errno
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.outlets import followed_logs
from gateway.outlets import outlet as module
from gateway.outlets.delivery import Delivery
from gateway.outlets.file_sink import FileSink
from gateway.outlets.outlet import Outlet, Step
from gateway.outlets.settings import OutletSettings, OutletType
from gateway.outlets.webhook_sink import WebhookSink
from storage.reader import Position, list_segments
from storage.records import CallRecord, LogStarted, Outcome, ResponseStarted
from storage.sources import SegmentLogs
from tests.kit.assembling import answered
from tests.kit.faulty_files import FailingFiles
from tests.kit.ocsf_schema import read_ocsf
from tests.kit.outlet_rig import OutletRig, run_until_idle
from tests.kit.recorded import MemoryLogs, Tape, whole_story, write_log

PODS = CallRecord("get", "", "v1", "pods", "", "prod", "web", "/api/v1/namespaces/prod/pods/web")
WATCH = CallRecord("watch", "", "v1", "pods", path="/api/v1/pods?watch=1")


def deletions(count: int) -> Tape:
    tape = Tape()
    for number in range(count):
        tape.delete(name=str(number))
    return tape


def test_every_event_of_every_log_arrives_once(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story(), b=Tape(tag="b"))
    source._tapes["b"].get_pods()
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    assert run_until_idle(outlet) == Step(False)
    assert len(rig.sink.names) == len(set(rig.sink.names)) == 16 + 4
    status = outlet.status()
    assert (status.sent, status.backlog_records, status.oldest_age_s, status.problem) == (20, 0, 0.0, "")


def test_what_a_dead_gateway_left_open_is_told_as_unknown_only_when_nobody_writes(tmp_path: Path) -> None:
    tape = Tape()
    tape.crashed()
    source = MemoryLogs(a=tape)
    source.live.add("a")
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    run_until_idle(outlet)
    assert rig.sink.events == []
    source.live.clear()
    run_until_idle(outlet)
    (event,) = rig.sink.events
    assert event["annotations"]["kubetape/result"] == "unknown"
    assert event["annotations"]["kubetape/why"] == followed_logs.ABANDONED


def test_a_batch_waits_to_be_full_or_old(tmp_path: Path) -> None:
    tape = deletions(3)
    source = MemoryLogs(a=tape)
    rig = OutletRig(tmp_path, source, max_wait_ms=1000, max_events=5)
    outlet = rig.open()
    assert run_until_idle(outlet) == Step(False)
    assert rig.sink.batches == []
    assert outlet.status().oldest_age_s > 0
    rig.clock.now_s += 1.0
    run_until_idle(outlet)
    assert [len(batch) for batch in rig.sink.batches] == [3]
    for number in range(12):
        tape.delete(name=f"more-{number}")
    run_until_idle(outlet)
    assert [len(batch) for batch in rig.sink.batches] == [3, 5, 5]
    rig.clock.now_s += 1.0
    run_until_idle(outlet)
    assert [len(batch) for batch in rig.sink.batches] == [3, 5, 5, 2]


def test_a_batch_has_a_size_in_bytes(tmp_path: Path) -> None:
    rig = OutletRig(tmp_path, MemoryLogs(a=deletions(400)), max_bytes=64 * 1024, max_events=10_000)
    run_until_idle(rig.open())
    sizes = [sum(map(len, batch)) for batch in rig.sink.batches]
    assert max(sizes) <= 64 * 1024 < sum(sizes)


def test_a_dead_receiver_loses_nothing_and_is_not_read_ahead_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = MemoryLogs(a=deletions(50))
    rig = OutletRig(tmp_path, source, max_events=4)
    rig.sink.plan = [Delivery(0, problem="refused", retry_after_s=7.0)] * 3
    outlet = rig.open()
    for _ in range(3):
        assert run_until_idle(outlet) == Step(False, "refused", 7.0)
    assert source.reads < 40, "what waits is at most a batch"
    assert outlet.status().problem == "refused"
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in said] == ["outlet siem cannot deliver: refused"]
    assert run_until_idle(outlet) == Step(False)
    assert len(rig.sink.names) == len(set(rig.sink.names)) == 50
    assert outlet.status().problem == ""
    assert "outlet siem delivers again" in capsys.readouterr().err


def test_how_much_waits_is_known_while_the_receiver_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemoryLogs(a=deletions(500))
    rig = OutletRig(tmp_path, source, max_events=4)
    rig.sink.plan = [Delivery(0, problem="refused")] * 9
    outlet = rig.open()
    run_until_idle(outlet)
    assert outlet.status().backlog_records < 50
    rig.clock.now_s += followed_logs.MEASURE_S
    run_until_idle(outlet)
    records = len(source._tapes["a"].records)
    assert (outlet.status().backlog_records, outlet.status().backlog_is_more) == (records, False)
    monkeypatch.setattr(followed_logs, "MEASURE_RECORDS", 100)
    for number in range(100):
        source._tapes["a"].delete(name=f"more-{number}")
    rig.clock.now_s += followed_logs.MEASURE_S
    run_until_idle(outlet)
    assert (outlet.status().backlog_records, outlet.status().backlog_is_more) == (records + 100, True)
    source.damaged_at = records + 100
    rig.clock.now_s += followed_logs.MEASURE_S
    run_until_idle(outlet)
    assert outlet.status().backlog_records == records + 100


@pytest.mark.parametrize("stop_after", range(1, 14))
def test_a_restart_anywhere_repeats_little_and_loses_nothing(tmp_path: Path, stop_after: int) -> None:
    """The process dies after some steps, whatever it had read or delivered by then."""
    tape = whole_story()
    slow = tape.intent(PODS)
    watch = tape.intent(WATCH)
    tape.records.append(ResponseStarted(watch, 5, 200, ()))
    for number in range(20):
        tape.delete(name=str(number))
    tape.records += [*answered(slow, b"{}"), Outcome(watch, 9, "client-left", 200)]
    rig = OutletRig(tmp_path, MemoryLogs(a=tape), max_events=3)
    rig.source.live.add("a")  # type: ignore[attr-defined]
    first = rig.open()
    for step in range(stop_after):
        if step % 4 == 2:
            rig.sink.plan = [Delivery(1, problem="half of it")]
        first.run_once()
    sent_before = len(rig.sink.names)
    run_until_idle(rig.open())
    counted = Counter(rig.sink.names)
    expected = OutletRig(tmp_path / "other", rig.source)
    run_until_idle(expected.open())
    assert counted.keys() == set(expected.sink.names)
    assert sum(counted.values()) - len(counted) <= 3, "at most one batch is repeated"
    assert sent_before <= len(rig.sink.names)


def test_counters_go_on_after_a_restart(tmp_path: Path) -> None:
    tape = deletions(5)
    rig = OutletRig(tmp_path, MemoryLogs(a=tape))
    run_until_idle(rig.open())
    tape.delete(name="later")
    outlet = rig.open()
    run_until_idle(outlet)
    assert outlet.status().sent == 6
    assert len(rig.sink.names) == 6


def test_rejected_events_are_set_aside_counted_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = OutletRig(tmp_path, MemoryLogs(a=deletions(5)))
    rig.sink.plan = [Delivery(5, (1, 3))]
    outlet = rig.open()
    run_until_idle(outlet)
    assert len(rig.sink.names) == 3
    assert [json.loads(line)["objectRef"]["name"] for line in rig.rejected] == ["1", "3"]
    assert (outlet.status().sent, outlet.status().rejected) == (3, 2)
    assert "refused 2 events for good; they are in outlets/siem.rejected.jsonl" in capsys.readouterr().err


def test_events_that_cannot_be_set_aside_wait(tmp_path: Path) -> None:
    rig = OutletRig(tmp_path, MemoryLogs(a=deletions(2)))
    rig.sink.plan = [Delivery(2, (0,))] * 2
    outlet = rig.open(FailingFiles(1, errno.ENOSPC, only="write"))
    assert run_until_idle(outlet).problem.endswith("siem.rejected.jsonl: injected")
    run_until_idle(outlet)
    assert len(rig.rejected) == 1
    assert outlet.status().rejected == 1


@pytest.mark.parametrize("only", ["create", "write", "sync", "rename", "sync_directory"])
def test_a_state_that_cannot_be_saved_is_a_problem_until_it_can(tmp_path: Path, only: str) -> None:
    rig = OutletRig(tmp_path, MemoryLogs(a=deletions(2)))
    outlet = rig.open(FailingFiles(1, only=only))
    assert run_until_idle(outlet).problem == f"{tmp_path / 'outlets'}: injected"
    assert run_until_idle(outlet) == Step(False)
    assert len(rig.sink.names) == 2
    run_until_idle(rig.open())
    assert len(rig.sink.names) == 2


def test_a_garbled_state_sends_everything_once_more_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = OutletRig(tmp_path, MemoryLogs(a=deletions(2)))
    run_until_idle(rig.open())
    rig.cursor.write_bytes(b"{")
    run_until_idle(rig.open())
    assert Counter(Counter(rig.sink.names).values()) == {2: 2}
    assert "outlet siem begins anew" in capsys.readouterr().err


def test_a_garbled_log_state_sends_that_log_once_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = Tape()
    tape.exec(end=False)
    source = MemoryLogs(a=tape)
    source.live.add("a")
    rig = OutletRig(tmp_path, source)
    run_until_idle(rig.open())
    state = json.loads(rig.cursor.read_bytes())
    state["logs"]["a"]["carried"][0]["intent"] = "AAAA"
    rig.cursor.write_text(json.dumps(state))
    run_until_idle(rig.open())
    assert len(rig.sink.names) == 4
    assert "its state is garbled" in capsys.readouterr().err


def test_a_bug_forgets_what_is_in_memory_and_goes_on_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = OutletRig(tmp_path, MemoryLogs(a=deletions(3)))
    outlet = rig.open()
    with monkeypatch.context() as patch:
        patch.setattr(module, "encode_audit_event", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            outlet.run_once()
    assert run_until_idle(outlet) == Step(False)
    assert len(rig.sink.names) == 3


def test_the_state_moves_on_although_there_is_nothing_to_tell(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec(end=False)
    source = MemoryLogs(a=tape)
    source.live.add("a")
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    run_until_idle(outlet)
    tape.records += tape.records[-3:]
    run_until_idle(outlet)
    before = rig.cursor.read_bytes()
    rig.clock.now_s += module.SAVE_S
    run_until_idle(outlet)
    after = rig.cursor.read_bytes()
    assert before != after
    rig.clock.now_s += module.SAVE_S
    rig.cursor.unlink()
    run_until_idle(outlet)
    assert not rig.cursor.exists(), "what has not changed is not written"


# --- logs that go, or are damaged ---------------------------------------------------------------


def test_records_deleted_before_they_were_sent_are_counted_said_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = deletions(200)
    slow = tape.intent(PODS)
    source = MemoryLogs(a=tape)
    source.live.add("a")
    rig = OutletRig(tmp_path, source, max_events=10)
    rig.sink.plan = [Delivery(10), Delivery(0, problem="dead")]
    outlet = rig.open()
    run_until_idle(outlet)
    source.expired_before = 500
    run_until_idle(outlet)
    status = outlet.status()
    assert status.skipped > 300
    assert (
        f"{status.skipped} records of log a were deleted, or their key destroyed, before"
        in capsys.readouterr().err
    )
    tape.records += answered(slow, b"{}")
    run_until_idle(outlet)
    assert rig.sink.events[-1]["objectRef"]["name"] == "web"
    assert json.loads(rig.cursor.read_bytes())["skipped"] == status.skipped
    assert rig.open().status().skipped == 0, "before it is loaded it knows nothing"


def test_a_short_call_whose_end_was_deleted_is_told_as_unknown(tmp_path: Path) -> None:
    tape = Tape()
    tape.intent(PODS)
    source = MemoryLogs(a=tape)
    source.live.add("a")
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    run_until_idle(outlet)
    for number in range(100):
        tape.delete(name=str(number))
    source.expired_before = 200
    run_until_idle(outlet)
    assert rig.sink.events[0]["annotations"]["kubetape/why"] == followed_logs.SKIPPED
    assert outlet.status().skipped == 200 - 2


class FirstSegmentGone(MemoryLogs):
    """Retention took the first segment, wherever in it or behind it reading was to go on."""

    gone = False

    def records(self, log: str, start: Position | None):  # type: ignore[no-untyped-def]
        if self.gone and start is not None and start.segment.endswith("-0000"):
            raise FileNotFoundError(start.segment)
        return super().records(log, start)


def test_a_read_segment_may_be_deleted_without_a_loss(tmp_path: Path) -> None:
    tape = deletions(25)  # 126 records: the first segment is full, its successor has begun
    source = FirstSegmentGone(a=Tape())
    source._tapes["a"].records = tape.records[:100]
    source.live.add("a")
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    run_until_idle(outlet)
    source._tapes["a"].records = tape.records
    source.gone, source.expired_before = True, 100
    assert run_until_idle(outlet) == Step(False)
    assert outlet.status().skipped == 0
    # one call began in the segment that is gone, and was being read when it went
    assert len(rig.sink.names) == len(set(rig.sink.names)) == 25


@pytest.mark.parametrize("where", ["while it runs", "before it starts again"])
def test_records_whose_key_was_destroyed_are_counted_said_and_passed_by(
    tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = deletions(10)
    open_before = tape.intent(PODS)
    source = MemoryLogs(a=tape)
    source.live.add("a")
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    run_until_idle(outlet)
    first = len(tape.records)
    for number in range(20):
        tape.delete(name=f"later-{number}")
    tape.records += answered(open_before, b"{}")
    source.destroyed = range(first + 2, first + 52)
    if where != "while it runs":
        outlet = rig.open()
    run_until_idle(outlet)
    results = Counter(event["annotations"]["kubetape/result"] for event in rig.sink.events)
    assert results == {"completed": 10 + 9, "unknown": 2}
    assert outlet.status().skipped == 50
    assert "50 records of log a were deleted, or their key destroyed" in capsys.readouterr().err


def test_a_log_that_is_locked_waits_for_its_key(tmp_path: Path) -> None:
    source = MemoryLogs(a=deletions(10))
    source.locked_at = 20
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    assert run_until_idle(outlet) == Step(False)
    assert outlet.status().problem == "log a: locked for a test"
    source.locked_at = None
    rig.clock.now_s += followed_logs.RETRY_S
    run_until_idle(outlet)
    assert len(rig.sink.names) == 10
    assert outlet.status().problem == ""


def test_a_log_whose_segments_are_all_gone_waits_for_new_ones(tmp_path: Path) -> None:
    tape = deletions(3)
    source = MemoryLogs(a=tape)
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    run_until_idle(outlet)
    source.expired_before = 50
    assert run_until_idle(outlet) == Step(False)
    assert outlet.status().problem == ""


class MissingMiddle(MemoryLogs):
    """The segment to read on in is gone, and older ones are not."""

    gone = False

    def records(self, log: str, start: Position | None):  # type: ignore[no-untyped-def]
        if self.gone and start is not None:
            raise FileNotFoundError(start.segment)
        return super().records(log, start)


def test_a_segment_missing_in_the_middle_is_no_retention(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = MissingMiddle(a=deletions(3))
    rig = OutletRig(tmp_path, source)
    outlet = rig.open()
    run_until_idle(outlet)
    source.gone = True
    assert run_until_idle(outlet) == Step(False)
    assert outlet.status().problem == "log a: segment a-0000 is missing, and older ones are there"
    assert "cannot read log a" in capsys.readouterr().err
    source.gone = False
    run_until_idle(outlet)
    assert outlet.status().problem != "", "it is looked at again later, not at once"
    rig.clock.now_s += followed_logs.RETRY_S
    run_until_idle(outlet)
    assert outlet.status().problem == ""
    assert "reads log a again" in capsys.readouterr().err


def test_a_damaged_log_is_said_once_and_holds_up_only_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class OneDamaged(MemoryLogs):
        def records(self, log: str, start: Position | None):  # type: ignore[no-untyped-def]
            self.damaged_at = 6 if log == "a" else None
            yield from super().records(log, start)

    rig = OutletRig(tmp_path, OneDamaged(a=deletions(9), b=deletions(9)))
    outlet = rig.open()
    for _ in range(3):
        run_until_idle(outlet)
        rig.clock.now_s += followed_logs.RETRY_S
    assert len(rig.sink.names) == 1 + 9
    assert outlet.status().problem == "log a: seg at byte 6: damaged for a test"
    assert capsys.readouterr().err.count("cannot read log a") == 1


class Unreadable(MemoryLogs):
    def records(self, log: str, start: Position | None):  # type: ignore[no-untyped-def]
        for at, encoded in super().records(log, start):
            yield at, b"\xc1" if at.record_seq == 2 else encoded


def test_a_record_that_is_none_is_passed_over(tmp_path: Path) -> None:
    rig = OutletRig(tmp_path, Unreadable(a=deletions(2)))
    run_until_idle(rig.open())
    assert len(rig.sink.names) == 2


class Vanishing(MemoryLogs):
    """A segment goes while it is listed, and another while it is read."""

    def __init__(self, **logs: Tape) -> None:
        super().__init__(**logs)
        self.troubles = [0, 7, 20]

    def records(self, log: str, start: Position | None):  # type: ignore[no-untyped-def]
        last = self.troubles.pop(0) if self.troubles else 10**9
        for count, one in enumerate(super().records(log, start)):
            if count == last:
                raise FileNotFoundError("gone")
            yield one


def test_segments_that_go_while_we_look_are_looked_for_again(tmp_path: Path) -> None:
    rig = OutletRig(tmp_path, Vanishing(a=deletions(9)))
    outlet = rig.open()
    for _ in range(3):
        run_until_idle(outlet)
    assert len(rig.sink.names) == 9
    assert outlet.status().problem == ""


def test_every_log_gets_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_logs, "STEP_RECORDS", 8)
    busy, quiet = deletions(200), Tape(tag="quiet")
    quiet.delete(name="quiet")
    rig = OutletRig(tmp_path, MemoryLogs(a=busy, b=quiet), max_events=2)
    outlet = rig.open()
    for _ in range(4):
        outlet.run_once()
    assert "quiet" in [event["objectRef"]["name"] for event in rig.sink.events]


def test_without_logs_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert run_until_idle(OutletRig(tmp_path, MemoryLogs()).open()) == Step(False)


# --- real ones --------------------------------------------------------------------------------------


def test_a_real_log_becomes_a_file_of_ocsf_events(tmp_path: Path) -> None:
    write_log(tmp_path, whole_story())
    target = tmp_path / "out" / "ocsf.jsonl"
    settings = OutletSettings(name="lake", type=OutletType.OCSF_FILE, path=str(target))
    clock = [0.0]
    outlet = Outlet(settings, tmp_path, SegmentLogs(tmp_path), monotonic_s=lambda: clock[0])
    run_until_idle(outlet)
    clock[0] = 2.0
    run_until_idle(outlet)
    events = [read_ocsf(line) for line in target.read_bytes().splitlines()]
    assert len(events) == 16
    assert events[-1]["unmapped"]["result"] == "unknown"
    outlet.close()


def test_the_type_decides_the_sink(tmp_path: Path) -> None:
    file = OutletSettings(name="a", type=OutletType.AUDIT_FILE, path=str(tmp_path / "x"))
    hook = OutletSettings(name="b", type=OutletType.AUDIT_WEBHOOK, url="https://a.example/")
    assert isinstance(module._sink_for(file, module.REAL_FILES), FileSink)
    assert isinstance(module._sink_for(hook, module.REAL_FILES), WebhookSink)


def test_a_version_that_is_not_installed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> str:
        raise module.PackageNotFoundError

    monkeypatch.setattr(module, "version", nothing)
    assert module._version() == "unknown"


def test_closing_leaves_a_step_that_runs_alone_and_that_closes_when_it_is_done(tmp_path: Path) -> None:
    rig = OutletRig(tmp_path, MemoryLogs(a=deletions(1)))
    outlet = rig.open()
    deliver = rig.sink.deliver

    def deliver_while_closed(events: Sequence[bytes]) -> Delivery:
        outlet.close()
        assert not rig.sink.closed
        return deliver(events)

    rig.sink.deliver = deliver_while_closed  # type: ignore[method-assign]
    outlet.run_once()
    assert rig.sink.closed


def test_closing_an_idle_outlet_closes_its_sink(tmp_path: Path) -> None:
    rig = OutletRig(tmp_path, MemoryLogs())
    rig.open().close()
    assert rig.sink.closed


def test_unknown_ends_of_an_earlier_run_are_told_when_the_next_begins(tmp_path: Path) -> None:
    tape = Tape()
    tape.crashed()
    tape.records.append(LogStarted(tape.now_ns, "gw", "1", 0, "observe"))
    source = MemoryLogs(a=tape)
    source.live.add("a")
    rig = OutletRig(tmp_path, source)
    run_until_idle(rig.open())
    assert [event["annotations"]["kubetape/result"] for event in rig.sink.events] == ["unknown"]
    assert msgspec.json.decode(rig.cursor.read_bytes())["sent"] == 1


def test_a_segment_is_needed_until_everything_in_it_was_delivered(tmp_path: Path) -> None:
    write_log(tmp_path, whole_story())
    later = Tape(tag="2")
    later.delete()
    write_log(tmp_path, later)  # a second run, a second segment
    first, second = list_segments(tmp_path / "log" / "0")[:2]
    rig = OutletRig(tmp_path, SegmentLogs(tmp_path))
    outlet = rig.open()
    assert outlet.needs("0", first)
    run_until_idle(outlet)
    rig.clock.now_s += module.SAVE_S
    run_until_idle(outlet)
    assert not outlet.needs("0", first)
    assert outlet.needs("0", second)
    assert outlet.needs("1", first)  # of a log nobody has heard of, nothing is known
