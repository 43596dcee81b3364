"""One at a time for one key, freely for others, and nothing remembered afterwards."""

import trio
from trio.testing import wait_all_tasks_blocked

from gateway.keyed_locks import KeyedLocks


async def _inside(locks: KeyedLocks, key: str, name: str, log: list[str], leave: trio.Event) -> None:
    async with locks.locked(key):
        log.append(name)
        await leave.wait()


async def test_one_key_admits_one_at_a_time_and_another_key_does_not_wait() -> None:
    locks, log, leave = KeyedLocks(), list[str](), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_inside, locks, "a", "first", log, leave)
        await wait_all_tasks_blocked()
        nursery.start_soon(_inside, locks, "a", "second", log, leave)
        nursery.start_soon(_inside, locks, "b", "other", log, leave)
        await wait_all_tasks_blocked()
        assert log == ["first", "other"]
        leave.set()
    assert log == ["first", "other", "second"]


async def test_a_key_that_nobody_wants_is_forgotten() -> None:
    locks, leave = KeyedLocks(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_inside, locks, "a", "first", [], leave)
        await wait_all_tasks_blocked()
        nursery.start_soon(_inside, locks, "a", "second", [], leave)
        await wait_all_tasks_blocked()
        assert len(locks) == 1
        leave.set()
    assert len(locks) == 0


async def test_one_that_gives_up_waiting_leaves_the_lock_to_its_owner() -> None:
    locks, leave = KeyedLocks(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_inside, locks, "a", "first", [], leave)
        await wait_all_tasks_blocked()
        with trio.move_on_after(0):
            async with locks.locked("a"):
                raise AssertionError("two inside")
        assert len(locks) == 1
        leave.set()
    assert len(locks) == 0
