"""A duty goes on whatever happens to it, and says how it is."""

import pytest
import trio
import trio.testing

from gateway.duties import Duty
from storage.errors import StorageError


async def test_a_duty_works_until_there_is_nothing_more_and_rests(
    autojump_clock: trio.testing.MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.2
    left = [3]
    rounds: list[float] = []

    def step() -> bool:
        left[0] -= 1
        rounds.append(left[0])
        return left[0] > 0

    duty = Duty("index", step, 5.0, facts=lambda: {"left": float(left[0])})
    assert await duty.round()
    assert rounds == [2, 1, 0]
    assert duty.status().facts == {"left": 0.0}


async def test_what_fails_is_said_once_tried_again_and_forgotten_when_it_works(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = [True]

    def step() -> bool:
        if broken[0]:
            raise StorageError("the bucket is gone")
        return False

    duty = Duty("export", step, 5.0)
    assert not await duty.round()
    assert not await duty.round()
    assert duty.status().problem == "the bucket is gone"
    assert capsys.readouterr().err.count("the bucket is gone") == 1
    broken[0] = False
    assert await duty.round()
    assert duty.status().problem == ""


async def test_a_bug_in_one_duty_ends_neither_it_nor_its_neighbours(
    autojump_clock: trio.testing.MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    autojump_clock.autojump_threshold = 0.2
    done = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def bad() -> bool:
        raise KeyError("secret value")

    def good() -> bool:
        token.run_sync_soon(done.set)
        return False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Duty("bad", bad, 0.1).run)
        nursery.start_soon(Duty("good", good, 0.1).run)
        await done.wait()
        nursery.cancel_scope.cancel()
    said = capsys.readouterr().err
    assert "a bug" in said
    assert "KeyError" in said
    assert "test_duties.py" in said
    assert "secret value" not in said


async def test_pauses_after_failures_grow_to_a_bound(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.2  # the clock does not see that a thread is at work
    times: list[float] = []

    def step() -> bool:
        times.append(0.0)
        raise OSError("disk")

    duty = Duty("rows", step, 1.0)
    with trio.move_on_after(100):
        await duty.run()
    assert len(times) == 8  # at 0, 1, 3, 7, 15, 31, 61 and 91 seconds


async def test_a_duty_without_work_spares_its_thread_but_not_after_a_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.2
    rounds: list[float] = []
    has_work = [False, True, False]

    def step() -> bool:
        rounds.append(len(has_work))
        if len(rounds) == 1:
            raise StorageError("the disk is gone")
        return False

    duty = Duty("index", step, 1.0, has_work=lambda: bool(has_work) and has_work.pop(0))
    with trio.move_on_after(10):
        await duty.run()
    assert rounds == [1, 1], "one that failed, and one that was not asked about"


async def test_a_duty_may_be_asked_after_each_round_how_long_to_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.2
    rounds: list[float] = []

    def step() -> bool:
        rounds.append(trio.from_thread.run_sync(trio.current_time))
        return False

    pauses = [3.0, 1.0]
    start_s = trio.current_time()
    with trio.move_on_after(4.5):
        await Duty("index", step, lambda: pauses.pop(0) if pauses else 9.0).run()
    assert [round(at_s - start_s) for at_s in rounds] == [0, 3, 4]
