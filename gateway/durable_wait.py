"""Tasks that wait until records are durable, woken by the log's thread. Conduct.

Trio's own way from a thread into the loop wakes a task of its own, whose callback wakes ours in the next turn of the
loop; a mutation would pay for that twice. So whoever waits first waits for a pipe that the log's thread writes to, and
wakes the others: the leader. The trap: a leader may leave before all are served, because its record was durable
first or because it was cancelled; another one must lead then, or the others wait forever.
"""

import heapq
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

MAX_READ_BYTES: Final = 64
"""More wake-ups than are ever left over: one byte each."""


class DurableWait:
    """Tells tasks how far the log is. position: all up to there survives a power cut."""

    def __init__(self) -> None:
        self.position = -1
        self._waiting: list[tuple[int, int, trio.Event]] = []  # heap by position; without the leader
        self._order = 0  # breaks ties in the heap
        self._is_led = False
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    async def until(self, position: int, before_waiting: Callable[[], None]) -> None:
        """Return once `position` is reached. before_waiting: called each time; what it raises ends the wait."""
        try:
            while position > self.position:
                before_waiting()
                await (self._follow(position) if self._is_led else self._lead(position))
        finally:
            self._see_that_somebody_leads()

    def reached(self, position: int) -> None:
        """In the log's thread: all up to `position` is durable. Waking the loop costs both threads: only if one waits.

        Here the position is set before it is asked whether anybody waits; a leader says so before it looks at the
        position again. So one of the two sees the other.
        """
        self.position = position
        if self._is_led:
            self._ring()

    def wake_all(self) -> None:
        """On the loop: there is other news, of a failure."""
        for _, _, event in self._waiting:
            event.set()
        self._waiting.clear()
        self._ring()

    def close(self) -> None:
        """On the loop, once the log's thread has ended and nobody waits any more."""
        os.close(self._reading)
        os.close(self._writing)

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # full of wake-ups that nobody has taken yet
            os.write(self._writing, b"\0")

    async def _lead(self, position: int) -> None:
        self._is_led = True
        try:
            if position > self.position:  # see `reached`
                await trio.lowlevel.wait_readable(self._reading)
                with suppress(BlockingIOError):
                    os.read(self._reading, MAX_READ_BYTES)
        finally:
            self._is_led = False
            self._wake_reached()

    async def _follow(self, position: int) -> None:
        self._order += 1
        entry = (position, self._order, trio.Event())
        heapq.heappush(self._waiting, entry)
        try:
            await entry[2].wait()
        except trio.Cancelled:  # else it might be chosen to lead
            self._waiting.remove(entry)
            heapq.heapify(self._waiting)
            raise

    def _wake_reached(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.position:
            heapq.heappop(self._waiting)[2].set()

    def _see_that_somebody_leads(self) -> None:
        """Not only a leader has to look when it goes: whoever was chosen to lead may find its record durable."""
        if self._waiting and not self._is_led:
            self._wake_reached()
            if self._waiting:
                heapq.heappop(self._waiting)[2].set()
