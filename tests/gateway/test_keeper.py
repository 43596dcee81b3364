"""The gateway's side of the keeper: it goes on whatever the process does, and is told what it says."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from gateway import keeper as module
from gateway.config import Record, Settings
from gateway.keeper import Keeper
from gateway.keeper_messages import Orders, SegmentKey
from storage.encryption.keys import DataKey, Envelope

REAL_OPEN = trio.lowlevel.open_process


@asynccontextmanager
async def running(tmp_path: Path, program: str | None = None) -> AsyncIterator[Keeper]:
    """A keeper in a nursery. program: Python to run instead of the real process."""
    keeper = Keeper(Orders(str(tmp_path), "gw", Settings(record=Record(dir=str(tmp_path)))))
    with pytest.MonkeyPatch.context() as patch:
        if program is not None:

            async def open_process(command: list[str], **options: object) -> trio.Process:
                assert command[-2:] == ["-m", "gateway.keeper_process"]
                return await REAL_OPEN([sys.executable, "-c", program], **options)  # type: ignore[arg-type,call-overload,no-any-return]

            patch.setattr(trio.lowlevel, "open_process", open_process)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keeper.run)
                yield keeper
                nursery.cancel_scope.cancel()


def writing_down(told: Path, *, last: str) -> str:
    """A program that appends what it is told to a file, and ends at the first line with this in it."""
    return f"""
import sys
for line in sys.stdin:
    with open({str(told)!r}, "a") as out: out.write(line)
    if {last!r} in line: raise SystemExit(1)
"""


async def until(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await trio.sleep(0.01)


async def test_the_real_process_reports_and_finishes(tmp_path: Path) -> None:
    async with running(tmp_path) as keeper:
        await until(lambda: keeper.status.at_ns)
        assert {"index", "tree", "retention"} <= set(keeper.status.duties)
        assert keeper.status.problems() == []
        with trio.fail_after(15):
            keeper.stop()
            await until(lambda: keeper.is_over)


async def test_what_it_prints_besides_is_no_status_and_no_harm(tmp_path: Path) -> None:
    program = """
import sys
print("a warning of some library", flush=True)
print('{"at_ns": 7, "duties": {"tree": {"problem": "x", "facts": {}}}}', flush=True)
sys.stdin.read()
"""
    async with running(tmp_path, program) as keeper:
        await until(lambda: keeper.status.at_ns == 7)
        assert keeper.status.problems() == ["tree: x"]


async def test_one_that_dies_is_started_again_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, "raise SystemExit(3)") as keeper:
        await until(lambda: keeper.problem)
        assert "code 3" in keeper.problem
    assert "code 3" in capsys.readouterr().err


async def test_one_that_cannot_be_started_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> trio.Process:
        raise OSError(12, "Cannot allocate memory")

    async with running(tmp_path) as keeper:
        monkeypatch.setattr(trio.lowlevel, "open_process", refuse)
        keeper.stop()
    capsys.readouterr()
    async with running(tmp_path) as keeper:
        await until(lambda: keeper.problem)
    assert "Cannot allocate memory" in capsys.readouterr().err


async def test_one_that_does_not_finish_is_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.3)
    program = f"""
import signal, sys, time
signal.signal({int(signal.SIGTERM)}, signal.SIG_IGN)
print('{{"at_ns": 1, "duties": {{}}}}', flush=True)
while True: time.sleep(1)
"""
    async with running(tmp_path, program) as keeper:
        await until(lambda: keeper.status.at_ns)
        keeper.stop()
        await until(lambda: keeper.is_over)
    assert "did not finish" in capsys.readouterr().err


async def test_keys_of_running_segments_are_told_again_to_the_next_process(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = writing_down(told, last='"key"')
    async with running(tmp_path, program) as keeper:
        key = DataKey(Envelope("segment-1", "kubetape/gw/0", ()), b"k" * 32)
        await trio.to_thread.run_sync(keeper.tell_key_from_thread, key)
        await until(lambda: told.exists() and told.read_text().count("segment-1") == 2)


async def test_a_key_told_while_the_keeper_is_renewed_goes_to_the_next_process(tmp_path: Path) -> None:
    """The pipe of the old one is closed: that must not end the reading of the process whose key it is."""
    told = tmp_path / "told"
    program = f"""
import sys
for line in sys.stdin:
    with open({str(told)!r}, "a") as out: out.write(line)
"""
    async with running(tmp_path, program) as keeper:
        await until(told.exists)
        keeper.renew()
        keeper.tell_key(SegmentKey("kubetape/gw/0", "segment-1", b"k" * 32))
        await until(lambda: "segment-1" in told.read_text())


async def test_a_busy_log_does_not_push_out_the_key_of_a_quiet_one(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = writing_down(told, last="quiet")
    async with running(tmp_path, program) as keeper:
        keeper.tell_key(SegmentKey("gw/2", "quiet", b"k"))
        await until(lambda: told.exists() and "quiet" in told.read_text())
        for number in range(2 * module.MAX_KEYS):
            keeper.tell_key(SegmentKey("gw/0", f"busy-{number:03}", b"k"))
        await until(lambda: told.read_text().count("quiet") == 2)
        assert len(keeper._keys["gw/0"]) == module.MAX_KEYS


async def test_keys_that_come_while_it_is_told_the_kept_ones_are_told_too(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"""
import sys
for line in sys.stdin:
    with open({str(told)!r}, "a") as out: out.write(line)
"""
    async with running(tmp_path, program) as keeper:
        for number in range(3 * module.MAX_KEYS):
            keeper.tell_key(SegmentKey(f"gw/{number % 3}", f"kept-{number}.", b"k"))
        await until(lambda: keeper._outbox is not None)
        keeper.tell_key(SegmentKey("gw/0", "new", b"k"))
        await until(lambda: told.exists() and "new" in told.read_text())
        assert all(f"kept-{number}." in told.read_text() for number in range(3 * module.MAX_KEYS))
