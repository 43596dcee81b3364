"""Deadlines for the reads of many streams, and other waits of no hurry, kept by one task.

A cancel scope around each read costs more than reading and decrypting what comes, and almost none ever
expires. So a stream's owner notes until when it waits, and one task looks twice a second whose time is over.
The trap: time is counted in looks, since asking the clock at each read costs too much. So a deadline is met up to
2 TICK_S late, later if the event loop stood still, which none that protects from slow peers minds. A loop that has
much to do, which is when they protect, looks late every time: what it is late by is counted as well.
"""

import math
from typing import Final, Protocol

import trio

TICK_S: Final = 0.5


class Waiting(Protocol):
    """A stream, or what else can be told that its time is over."""

    def interrupt(self) -> object:
        """Its time is over, or still is."""


class ReadDeadlines:
    """Interrupts `receive_some` of streams whose time is over, again and again until their owner clears them."""

    def __init__(self) -> None:
        self._looks = 0
        self._until: dict[Waiting, int] = {}  # that many looks
        self._nothing: trio.Event | None = None  # what `run` waits for while nobody has a deadline

    def set(self, stream: Waiting, within_s: float) -> None:
        """From now on the stream's reads must end `within_s` from now: see `TlsStream.interrupt`."""
        self._until[stream] = self._looks + 1 + math.ceil(within_s / TICK_S)  # the next look may come at once
        if self._nothing is not None:
            self._nothing.set()
            self._nothing = None

    def clear(self, stream: Waiting) -> None:
        """The stream's reads may take as long as they like."""
        self._until.pop(stream, None)

    async def run(self) -> None:
        """Look forever. Without it no deadline is met."""
        passed_s = 0.0  # and not counted yet
        while True:
            if not self._until:  # an idle gateway sleeps
                self._nothing = trio.Event()
                await self._nothing.wait()
            begun_s = trio.current_time()
            await trio.sleep(TICK_S)
            passed_s += trio.current_time() - begun_s
            # Not more than two: who has set its deadline meanwhile is not to lose it.
            looks = 2 if passed_s >= 2 * TICK_S else 1
            passed_s = min(passed_s - looks * TICK_S, TICK_S)
            self._looks += looks
            for stream, until in tuple(self._until.items()):  # who is interrupted may set and clear
                if until <= self._looks:
                    stream.interrupt()
