"""One place among a gateway's processes, and whoever fills it now: started again when it dies or hangs. Conduct.

A worker's slot owns a listening socket, which stays open whatever happens to its worker: connections wait in it. So a
replacement can be let in before the old one leaves, and a crash costs its clients their connections, not a refusal:
also while all of it drains, for what waits in the socket still wants an answer.
"""

from collections.abc import Callable
from typing import Final

import trio

from gateway import journal
from gateway.backoff import MAX_BACKOFF_S, Backoff
from gateway.child import Child
from gateway.data_path import LAST_WORDS_S, RESTARTING
from gateway.process_messages import Drain, Finish, StartFailed

SILENT_S: Final = 10.0
"""It reports every second; one that says nothing for so long serves nobody either."""
START_S: Final = 120.0
"""For a start after a crash: what is left of large segments is examined first."""
WATCH_S: Final = 1.0
MARGIN_S: Final = 5.0


class Slot:
    """Keeps one process running. `run` it; then perhaps `replace`, then `drain` and `finish`.

    start: makes the next child of this slot, not running yet. drain_s: what its calls may take to end.
    """

    def __init__(self, name: str, start: Callable[[], Child], drain_s: float) -> None:
        self.name = name
        self._start, self._drain_s = start, drain_s
        self.child: Child | None = None
        self.leaving: Child | None = None  # replaced, and on its way out
        self.restarts = 0
        self.first_failure: StartFailed | None = None
        self.first_decided = trio.Event()  # the first child has started, or never will
        self._draining: Drain | None = None  # what whoever fills this slot is told
        self._ending = False
        self._nursery: trio.Nursery | None = None
        self._settled = trio.Event()  # not set while it is open who will fill this slot
        self._settled.set()
        self._refilled = trio.Event()  # set when somebody else fills it, then made anew

    @property
    def is_ready(self) -> bool:
        child = self.child
        return child is not None and child.started is not None and not child.ended.is_set()

    def problem(self) -> str:
        """One line for readyz."""
        child = self.child
        if child is None or not self.is_ready:
            died = self.restarts or (child is not None and child.ended.is_set())
            return "it ended and is started again" if died else "it is starting"
        return f"it has said nothing for {child.silent_s:.0f} s" if child.silent_s > SILENT_S / 2 else ""

    def fill(self) -> None:
        """Make the first child; `run` starts it."""
        self.child = self._start()

    async def run(self) -> None:
        """Until cancelled, until `finish` and its child has ended, or until the first child could not start."""
        backoff = Backoff()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._watch)
            while not self._ending:
                child = self._begin()
                await child.decided.wait()
                if not self.first_decided.is_set():
                    self.first_failure = child.failed
                    self.first_decided.set()
                    if not self.is_ready:
                        break
                child = await self._nobody_fills_it()
                if self._ending:
                    break
                if child.age_s > MAX_BACKOFF_S:
                    backoff.reset()
                self.restarts += 1
                _say_ended(child)
                await trio.sleep(backoff.next_s())
            if self.leaving is not None:
                await self.leaving.ended.wait()
            nursery.cancel_scope.cancel()

    def _begin(self) -> Child:
        assert self._nursery is not None
        child = self.child
        if child is None or child.ended.is_set():
            child = self._start()
            self._fill_with(child)
        self._nursery.start_soon(child.run)
        return child

    def _fill_with(self, child: Child) -> None:
        self.child = child
        if self._draining is not None:
            child.tell(self._draining)
        self._refilled.set()
        self._refilled = trio.Event()

    async def _nobody_fills_it(self) -> Child:
        """Until whoever fills the slot has ended, and nobody is about to take over; returns the one that ended. One that
        was replaced does not count: it may take its time to leave."""
        while True:
            await self._settled.wait()
            child = self.child
            assert child is not None
            if child.ended.is_set():
                return child
            await _first_of(child.ended, self._refilled)

    async def replace(self) -> bool:
        """Let a new one in, then the old one out; whether that went well. The old one stays if the new does not start."""
        old = self.child
        if old is None or not self.is_ready or self._nursery is None:
            return False  # it is being started anyway
        self._settled = trio.Event()
        try:
            new = self._start()
            self._nursery.start_soon(new.run)
            with trio.move_on_after(START_S):
                await new.decided.wait()
            if new.started is None:
                new.kill()
                why = new.failed.problem if new.failed is not None else "the new process did not start"
                journal.problem("restart", f"{self.name} stays as it is: {why}")
                return False
            # When all of it ends meanwhile, the old one was told already and goes on to its end.
            is_end = self._draining is not None or self._ending
            stays, goes = (old, new) if is_end and not old.ended.is_set() else (new, old)
            self.leaving = goes
            if stays is new:
                self._fill_with(new)
        finally:
            self._settled.set()
        goes.tell(Drain(RESTARTING, accepting=False))
        await self._gone(goes)
        self.leaving = None
        return stays is new

    async def drain(self, why: str) -> None:
        """Until its calls have ended, or their time is up. It goes on accepting until `finish`; if it dies meanwhile, the
        next one does."""
        self._draining = Drain(why, accepting=True)
        if self.child is not None:
            self.child.tell(self._draining)
        with trio.move_on_after(self._drain_s + MARGIN_S):
            while (child := self.child) is not None:
                await child.drained.wait()
                if not child.ended.is_set():
                    return
                if self.child is child:
                    await self._refilled.wait()

    async def finish(self) -> None:
        """Until it has ended."""
        self._ending = True
        for child in filter(None, (self.child, self.leaving)):
            child.tell(Finish())
            await self._gone(child)

    async def _gone(self, child: Child) -> None:
        with trio.move_on_after(self._drain_s + LAST_WORDS_S + MARGIN_S):
            await child.ended.wait()
        if not child.ended.is_set():
            journal.problem("process", f"{child.name} did not end in time and is killed")
            child.kill()
            await child.ended.wait()

    async def _watch(self) -> None:
        """Kill what hangs."""
        while True:
            began_s = trio.current_time()
            await trio.sleep(WATCH_S)
            child = self.child
            if child is None or child.ended.is_set():
                continue
            if trio.current_time() - began_s > 3 * WATCH_S:  # we hung ourselves, or the machine slept
                child.hear_anew()
            elif child.silent_s > (SILENT_S if child.started is not None else START_S):
                journal.problem(
                    "process", f"{self.name} has said nothing for {child.silent_s:.0f} s: it is killed"
                )
                child.kill()


async def _first_of(*events: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)


def _say_ended(child: Child) -> None:
    if child.failed is not None:
        journal.problem("process", f"{child.name} cannot work and is started again: {child.failed.problem}")
    else:
        journal.problem("process", f"{child.name} ended with code {child.code} and is started again")
