"""One part of the keeper's work, done again and again in a thread, and how it goes.

A duty that fails says why, waits, and is tried again; it never ends another. What it works on is the log, so
nothing is lost by waiting.
"""

from collections.abc import Callable

import trio

from gateway import journal
from gateway.backoff import Backoff
from gateway.keeper_messages import DutyStatus
from storage.errors import StorageError


class Duty:
    """step: does a bounded piece of work and says whether there is more to do at once; called in a thread,
    one call at a time. interval_s: from one round to the next, or who knows it after each. facts: figures for the
    metrics. has_work: asked before a round, outside of a thread: no spares it; not asked after a failure."""

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        interval_s: float | Callable[[], float],
        *,
        facts: Callable[[], dict[str, float]] = dict,
        has_work: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self._step, self._facts = step, facts
        self._interval_s = interval_s if callable(interval_s) else lambda: interval_s
        self._has_work = has_work
        self._problem = ""
        self._busy = trio.Lock()

    async def run(self) -> None:
        """Until cancelled; a step under way is waited for."""
        backoff = Backoff()
        while True:
            if not self._problem and not self._has_work():
                await trio.sleep(self._interval_s())
            elif await self.round():
                backoff.reset()
                await trio.sleep(self._interval_s())
            else:
                await trio.sleep(backoff.next_s())

    async def round(self) -> bool:
        """Work until there is nothing more to do now. False if it failed: see `status`."""
        async with self._busy:
            try:
                while await trio.to_thread.run_sync(self._step):
                    pass
            except (StorageError, OSError) as error:
                self._fail(str(error), None)
                return False
            except Exception as error:
                self._fail(f"{type(error).__name__}: a bug", error)
                return False
            self._problem = ""
            return True

    def _fail(self, problem: str, bug: Exception | None) -> None:
        if problem != self._problem:
            journal.problem(self.name, f"{self.name} does not follow the log: {problem}", bug)
        self._problem = problem

    def status(self) -> DutyStatus:
        return DutyStatus(self._problem, self._facts())
