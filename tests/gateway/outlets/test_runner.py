"""All outlets together: each in its own time, none in the way of another, whatever one of them does."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from gateway.outlets import runner
from gateway.outlets.delivery import Delivery
from gateway.outlets.outlet import Outlet
from gateway.outlets.runner import LONGEST_PAUSE_S, Outlets, open_outlets, pause_s
from gateway.outlets.settings import BatchSettings, OutletSettings, OutletType
from storage.records import encode_record
from storage.sources import SegmentLogs
from tests.kit.outlet_rig import OutletRig
from tests.kit.recorded import MemoryLogs, Tape, open_log, whole_story, write_log
from tests.kit.webhook_server import webhook_server


async def until(condition: object, *, seconds: float = 10) -> None:
    with trio.fail_after(seconds):
        while not condition():  # type: ignore[operator]
            await trio.sleep(0.01)


async def test_a_live_log_reaches_a_file_and_a_webhook(tmp_path: Path) -> None:
    tape = whole_story()
    log = open_log(tmp_path)
    target = tmp_path / "audit.jsonl"
    batch = BatchSettings(max_wait_ms=10)
    with webhook_server(503, 200) as receiver:
        settings = (
            OutletSettings(name="file", type=OutletType.AUDIT_FILE, path=str(target), batch=batch),
            OutletSettings(name="hook", type=OutletType.AUDIT_WEBHOOK, url=receiver.url, batch=batch),
        )
        outlets = open_outlets(settings, tmp_path, SegmentLogs(tmp_path))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outlets.run)
            for record in tape.records:
                log.append(encode_record(record), urgent=True)
            await until(lambda: target.exists() and len(target.read_bytes().splitlines()) == 15)
            await until(lambda: outlets.status()[1].sent == 15)
            nursery.cancel_scope.cancel()
        log.close(10)
    names = [name for received in receiver.received[1:] for name in received.ids]
    assert len(names) == len(set(names)) == 15
    assert [status.name for status in outlets.status()] == ["file", "hook"]


class StuckSink:
    """Hangs until it is let go."""

    def __init__(self) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()

    def deliver(self, events: Sequence[bytes]) -> Delivery:
        self.entered.set()
        self.let_go.wait(30)
        return Delivery(len(events))

    def close(self) -> None:
        pass


async def test_a_receiver_that_hangs_holds_nobody_up_and_is_left_behind_at_the_end(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    good, bad = OutletRig(tmp_path / "good", source), OutletRig(tmp_path / "bad", source)
    stuck = StuckSink()
    outlets = Outlets([Outlet(bad.settings, bad.data_dir, source, sink=stuck), good.open()])
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outlets.run)
            await until(stuck.entered.is_set)
            await until(lambda: len(good.sink.names) == 16)
            nursery.cancel_scope.cancel()
        assert not stuck.let_go.is_set()
    finally:
        stuck.let_go.set()


async def test_an_outlet_that_fails_by_a_bug_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "FIRST_PAUSE_S", 0.01)
    rig = OutletRig(tmp_path, MemoryLogs(a=whole_story()))
    outlet = rig.open()
    troubles = [KeyError("a secret in it")]
    original = rig.sink.deliver

    def deliver(events: Sequence[bytes]) -> Delivery:
        if troubles:
            raise troubles.pop()
        return original(events)

    monkeypatch.setattr(rig.sink, "deliver", deliver)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Outlets([outlet]).run)
        await until(lambda: len(rig.sink.names) == 16)
        nursery.cancel_scope.cancel()
    said = capsys.readouterr().err
    assert "outlet siem failed and starts again" in said
    assert "KeyError" in said
    assert "secret" not in said


async def test_run_serves_the_settings(tmp_path: Path) -> None:
    write_log(tmp_path, whole_story())
    target = tmp_path / "audit.jsonl"
    settings = OutletSettings(name="file", type=OutletType.AUDIT_FILE, path=str(target))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run, [settings], tmp_path, SegmentLogs(tmp_path))
        await until(lambda: target.exists() and target.read_bytes().count(b"\n") == 16)
        nursery.cancel_scope.cancel()


async def test_draining_waits_for_what_was_recorded_and_not_for_what_cannot_be_delivered(
    tmp_path: Path,
) -> None:
    tape = whole_story()
    source = MemoryLogs(a=tape)
    good, bad = OutletRig(tmp_path / "good", source, max_wait_ms=200), OutletRig(tmp_path / "bad", source)
    bad.sink.plan = [Delivery(0, problem="dead")] * 1000
    outlets = Outlets([good.open(), bad.open()])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outlets.run)
        await until(lambda: outlets.status()[1].problem)
        good.clock.now_s += 1.0
        with trio.fail_after(10):
            await outlets.drain()
        assert len(good.sink.names) == 16
        tape.delete(name="last")
        with trio.move_on_after(0.5) as too_early:
            await outlets.drain()
        assert too_early.cancelled_caught, "its batch is not old enough to go"
        good.clock.now_s += 1.0
        with trio.fail_after(10):
            await outlets.drain()
        assert len(good.sink.names) == 17
        nursery.cancel_scope.cancel()


def test_pauses_grow_to_a_limit_and_honour_the_receiver() -> None:
    for failures in (1, 2, 5, 100):
        longest = min(LONGEST_PAUSE_S, 0.5 * 2 ** (failures - 1))
        assert all(longest / 2 <= pause_s(failures, 0.0) <= longest for _ in range(50))
    assert pause_s(1, 120.0) == 120.0


def test_a_story_has_what_these_tests_count() -> None:
    assert len(whole_story().records) > 60
    assert Tape().records == []
