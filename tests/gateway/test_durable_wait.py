"""Tasks that wait for positions which another thread reaches."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from gateway.durable_wait import DurableWait


@asynccontextmanager
async def open_wait() -> AsyncIterator[DurableWait]:
    waiting = DurableWait()
    with trio.fail_after(10):
        yield waiting
    waiting.close()


def nothing() -> None:
    pass


class Tasks:
    """Tasks that wait for their positions. served: of those that were reached, in order."""

    def __init__(self, waiting: DurableWait) -> None:
        self.waiting = waiting
        self.served: list[int] = []

    async def wait(self, position: int) -> None:
        await self.waiting.until(position, nothing)
        self.served.append(position)

    async def wait_within(self, scope: trio.CancelScope, position: int) -> None:
        with scope:
            await self.wait(position)

    async def reach(self, position: int) -> None:
        await trio.to_thread.run_sync(self.waiting.reached, position)
        await wait_all_tasks_blocked()


async def test_all_whose_position_is_reached_go_on_and_no_others() -> None:
    async with open_wait() as waiting, trio.open_nursery() as nursery:
        tasks = Tasks(waiting)
        for position in (5, 3, 9, 3, 4):
            nursery.start_soon(tasks.wait, position)
        await wait_all_tasks_blocked()
        await tasks.reach(3)
        assert tasks.served == [3, 3]
        await tasks.reach(5)
        assert sorted(tasks.served) == [3, 3, 4, 5]
        await tasks.reach(9)
        assert tasks.served[-1] == 9


async def test_when_the_one_that_leads_is_served_or_cancelled_another_one_leads() -> None:
    async with open_wait() as waiting, trio.open_nursery() as nursery:
        tasks = Tasks(waiting)
        first = trio.CancelScope()
        nursery.start_soon(tasks.wait_within, first, 7)
        await wait_all_tasks_blocked()
        nursery.start_soon(tasks.wait, 2)
        nursery.start_soon(tasks.wait, 8)
        await wait_all_tasks_blocked()
        first.cancel()
        await wait_all_tasks_blocked()
        await tasks.reach(2)
        await tasks.reach(8)
        assert tasks.served == [2, 8]


async def test_a_position_that_was_reached_before_anybody_waited_is_not_waited_for() -> None:
    async with open_wait() as waiting:
        waiting.reached(4)
        await waiting.until(4, nothing)


async def test_a_wake_up_that_came_late_for_one_does_no_harm_to_the_next() -> None:
    async with open_wait() as waiting, trio.open_nursery() as nursery:
        tasks = Tasks(waiting)
        nursery.start_soon(tasks.wait, 1)
        await wait_all_tasks_blocked()
        waiting.reached(0)
        waiting.reached(1)
        await wait_all_tasks_blocked()
        nursery.start_soon(tasks.wait, 2)
        await wait_all_tasks_blocked()
        assert tasks.served == [1]
        await tasks.reach(2)
        assert tasks.served == [1, 2]


async def test_whoever_was_chosen_to_lead_and_finds_itself_served_leaves_nobody_behind() -> None:
    async with open_wait() as waiting, trio.open_nursery() as nursery:
        tasks = Tasks(waiting)
        for position in (1, 2, 3):
            nursery.start_soon(tasks.wait, position)
            await wait_all_tasks_blocked()

        waiting.reached(1)
        while tasks.served != [1]:
            await trio.lowlevel.cancel_shielded_checkpoint()
        waiting.reached(3)  # the next leader is chosen, and has not run yet
        await wait_all_tasks_blocked()
        assert tasks.served == [1, 2, 3]


async def test_whoever_was_cancelled_is_not_chosen_to_lead() -> None:
    async with open_wait() as waiting, trio.open_nursery() as nursery:
        tasks, second = Tasks(waiting), trio.CancelScope()
        nursery.start_soon(tasks.wait, 1)
        await wait_all_tasks_blocked()
        nursery.start_soon(tasks.wait_within, second, 2)
        nursery.start_soon(tasks.wait, 3)
        await wait_all_tasks_blocked()
        second.cancel()
        await wait_all_tasks_blocked()
        await tasks.reach(1)
        await tasks.reach(3)
        assert tasks.served == [1, 3]


async def test_what_is_raised_before_waiting_ends_the_wait_of_everybody() -> None:
    async with open_wait() as waiting, trio.open_nursery() as nursery:
        failed, told = [False], list[int]()

        def check() -> None:
            if failed[0]:
                raise LookupError

        async def ask(position: int) -> None:
            try:
                await waiting.until(position, check)
            except LookupError:
                told.append(position)

        for position in (1, 2, 3):
            nursery.start_soon(ask, position)
        await wait_all_tasks_blocked()
        failed[0] = True
        waiting.wake_all()
        await wait_all_tasks_blocked()
        assert sorted(told) == [1, 2, 3]
