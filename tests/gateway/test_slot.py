"""One place among a gateway's processes: filled again whoever dies in it, also while all of it leaves. Its processes are
small programs that speak as a worker does."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from gateway import child as module
from gateway.child import Child
from gateway.config import Settings
from gateway.keeper_messages import encode_line
from gateway.process_messages import WORKER, Drained, Started, WorkerOrders, WorkerStatus
from gateway.slot import Slot

PROGRAM = f"""
import sys
def say(line):
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
sys.stdin.readline()
say({encode_line(Started("key", "policy"))!r})
say({encode_line(WorkerStatus())!r})
for line in sys.stdin:
    if '"drain"' in line and "busy" not in line:
        say({encode_line(Drained())!r})
    if '"finish"' in line:
        break
"""
"""Told to drain, it has nothing under way, unless the reason is that it is busy. It leaves when it is told to finish."""


class Running:
    """A slot in a nursery, and every process it has started."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.slot = Slot("worker-0", self._make, drain_s=60)
        self._settings = Settings()

    def _make(self) -> Child:
        orders = WorkerOrders(WORKER, "worker-0", len(self.children), [], self._settings)
        self.children.append(Child(orders, lambda _: None))
        return self.children[-1]

    async def serving(self, count: int) -> Child:
        """The slot's process, when it serves and is the `count`-th that was started."""
        await until(lambda: len(self.children) == count and self.slot.child is self.children[-1])
        await until(lambda: self.slot.is_ready)
        return self.children[-1]


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    with pytest.MonkeyPatch.context() as patch, trio.fail_after(60):
        patch.setattr(module, "COMMAND", (sys.executable, "-c", PROGRAM))
        async with trio.open_nursery() as nursery:
            made = Running()
            made.slot.fill()
            nursery.start_soon(made.slot.run)
            await made.serving(1)
            yield made
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def test_who_dies_while_the_one_before_still_leaves_is_followed_at_once() -> None:
    """The one before may have calls that take as long as they may; nobody else would serve meanwhile."""
    async with running() as made, trio.open_nursery() as nursery:
        (old,) = made.children
        nursery.start_soon(made.slot.replace)
        new = await made.serving(2)
        os.kill(new.pid, signal.SIGKILL)
        await made.serving(3)
        assert not old.ended.is_set()
        old.kill()


async def test_who_dies_while_all_of_it_drains_is_followed_by_one_that_drains_too() -> None:
    async with running() as made, trio.open_nursery() as nursery:
        over = trio.Event()

        async def drain() -> None:
            await made.slot.drain("busy")
            over.set()

        nursery.start_soon(drain)
        os.kill(made.children[0].pid, signal.SIGKILL)
        await made.serving(2)
        assert not over.is_set()
        made.children[1].drained.set()
        await over.wait()
        await made.slot.finish()
        assert [child.ended.is_set() for child in made.children] == [True, True]
        assert made.children[1].code == 0


async def test_a_drain_is_over_when_nothing_is_under_way_and_nobody_follows_who_was_told_to_finish() -> None:
    async with running() as made:
        await made.slot.drain("going down")
        assert not made.children[0].ended.is_set()
        await made.slot.finish()
        assert made.children[0].ended.is_set()
        assert len(made.children) == 1


async def test_a_replacement_that_comes_when_all_of_it_drains_leaves_again() -> None:
    async with running() as made, trio.open_nursery() as nursery:
        nursery.start_soon(made.slot.replace)
        await until(lambda: len(made.children) == 2)
        await made.slot.drain("going down")
        old, new = made.children
        await until(lambda: new.ended.is_set() or made.slot.leaving is not None)
        assert made.slot.child is old
        await made.slot.finish()
        assert old.ended.is_set()
        assert new.ended.is_set()
