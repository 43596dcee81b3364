"""The queue of one receiver: what it is to be told, in order, each until it took it or nobody needs it any more. Conduct.

A receiver that is slow or away costs nobody else anything: it has its own queue, of a bounded length, and its own
thread. What it took, it took; what it refuses for good (400, 413, 422) is set aside with a line in the journal;
anything else is tried again, with growing patience, until the notice is worth nothing.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from gateway import journal
from gateway.outlets.webhook_door import Answer

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
MAX_WAITING: Final = 1000
"""Of a receiver that is away for long; the oldest are given up first."""

_REFUSED: Final = frozenset((400, 413, 422))


class Parcel(msgspec.Struct, frozen=True):
    """One notice, encoded. id: the same at every attempt."""

    id: str
    event: str
    until_ns: int
    body: bytes


class Deliveries:
    """post: one attempt, blocking, bounded in time; never raises. name: for the journal."""

    def __init__(self, name: str, post: Callable[[Parcel], Answer], now_ns: Callable[[], int]) -> None:
        self._name, self._post, self._now_ns = name, post, now_ns
        self._waiting: deque[Parcel] = deque()
        self._news = trio.Event()
        self._limiter = trio.CapacityLimiter(1)
        self.problem = ""  # of the last attempt

    def offer(self, parcel: Parcel) -> None:
        if len(self._waiting) >= MAX_WAITING:
            oldest = self._waiting[1]  # the first may be under way
            del self._waiting[1]
            self._give_up(oldest, f"{MAX_WAITING} others wait")
        self._waiting.append(parcel)
        self._news.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Deliver, until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            while not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
            parcel = self._waiting[0]
            if parcel.until_ns <= self._now_ns():
                self._give_up(self._waiting.popleft(), self.problem or "it came too late")
                continue
            answer = await trio.to_thread.run_sync(self._post, parcel, limiter=self._limiter)
            if self._is_done(answer):
                pause_s = FIRST_PAUSE_S
                continue
            await self._rest(max(pause_s, answer.retry_after_s), parcel.until_ns)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _is_done(self, answer: Answer) -> bool:
        if 200 <= answer.status < 300:
            if self.problem:
                journal.note("notify", f"{self._name} takes notices again")
            self.problem = ""
            self._waiting.popleft()
            return True
        said = f": {answer.excerpt}" if answer.excerpt else ""
        why = f"it answered {answer.status}{said}" if answer.status else answer.excerpt
        if answer.status in _REFUSED:
            self._give_up(self._waiting.popleft(), why)
            return True
        if not self.problem:
            journal.problem(
                "notify", f"{self._name} takes no notices; each is tried again while it matters: {why}"
            )
        self.problem = why
        return False

    async def _rest(self, pause_s: float, until_ns: int) -> None:
        left_s = max((until_ns - self._now_ns()) / 1e9, 0.0)
        await trio.sleep(min(pause_s, left_s))

    def _give_up(self, parcel: Parcel, why: str) -> None:
        journal.problem("notify", f"{self._name} was not told {parcel.id}: {why}")
