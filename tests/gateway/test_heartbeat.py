"""A minute of silence leaves a record."""

import time

import pytest
import trio
import trio.testing

from gateway import heartbeat
from storage.errors import LogFailed
from storage.records import AnyRecord, Heartbeat


class FakeRecorder:
    """Remembers what is appended; `fails`: refuses."""

    def __init__(self) -> None:
        self.last_append_s = time.monotonic()
        self.records: list[AnyRecord] = []
        self.fails = False

    def append(self, record: AnyRecord, *, urgent: bool = False, quiet: bool = False) -> int:
        if self.fails:
            raise LogFailed("write", "log", "disk")
        assert urgent
        assert quiet
        self.records.append(record)
        self.last_append_s = time.monotonic()
        return len(self.records)


async def test_a_minute_after_the_last_record_comes_a_heartbeat(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", trio.current_time)
    recorder = FakeRecorder()
    recorder.last_append_s = trio.current_time() - 20
    started = trio.current_time()
    with trio.move_on_after(161):
        await heartbeat.beat(recorder)  # type: ignore[arg-type]
    assert [type(record) for record in recorder.records] == [Heartbeat] * 3
    assert recorder.last_append_s == pytest.approx(started + 160)


async def test_while_calls_are_recorded_there_is_no_heartbeat(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", trio.current_time)
    recorder = FakeRecorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat.beat, recorder)
        for _ in range(10):
            recorder.last_append_s = trio.current_time()
            await trio.sleep(30)
        nursery.cancel_scope.cancel()
    assert recorder.records == []


async def test_it_ends_when_recording_fails(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", trio.current_time)
    recorder = FakeRecorder()
    recorder.fails = True
    with trio.fail_after(100):
        await heartbeat.beat(recorder)  # type: ignore[arg-type]
