"""Timed terminal events -> a terminal, at a speed and with keys. Knows no records and no real clock.

Time on the playhead is time of the recording. Waiting is against a due time, not a sum of sleeps, so
that a long recording does not drift. Going back starts the recording anew, clears, and runs ahead:
what a terminal shows is the sum of all before.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from storage.ansi import RESTORE_TERMINAL
from storage.cast import TerminalEvent

SEEK_US: Final = 5_000_000
CLEAR: Final = RESTORE_TERMINAL + b"\x1b[2J\x1b[H"


class Screen(Protocol):
    """Where a replay is shown, whoever presses keys there, and its clock."""

    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    def wait_key(self, timeout_s: float | None) -> str | None:
        """A key ("space", "left", "right", "q", ".", "]"), or None when the time is over; None: wait for ever."""
        ...

    def write(self, data: bytes) -> None: ...


class Player:
    """Plays one recording once.

    open_events: gives the events from their beginning, each time it is called. speed: 2 is twice as
    fast. idle_limit_us: longer pauses are cut to this; None: never. start_us: shown at once up to there.
    """

    def __init__(
        self,
        open_events: Callable[[], Iterator[TerminalEvent]],
        screen: Screen,
        *,
        speed: float = 1.0,
        idle_limit_us: int | None = None,
        start_us: int = 0,
    ) -> None:
        self._open_events, self._screen = open_events, screen
        self._speed, self._idle_limit_us = speed, idle_limit_us
        self._events = open_events()
        self._next: TerminalEvent | None = None
        self._position_us = 0
        self._due_s = 0.0  # when the position was to be reached
        self._paused = False
        self._start_us = start_us
        self.exit_code: int | None = None

    def run(self) -> bool:
        """Play to the end; False if somebody quit."""
        self._next = next(self._events, None)
        self._go_to(self._start_us)
        while self._next is not None:
            key = self._screen.wait_key(None if self._paused else self._wait_s())
            if key is None:
                if not self._paused:
                    self._step(self._next)
            elif key == "q":
                return False
            else:
                self._obey(key)
        return True

    def _wait_s(self) -> float:
        return max(0.0, self._due_s + self._gap_us() / 1e6 / self._speed - self._screen.now_s())

    def _gap_us(self) -> int:
        if self._next is None:
            return 0
        gap_us = max(0, self._next.at_us - self._position_us)
        return gap_us if self._idle_limit_us is None else min(gap_us, self._idle_limit_us)

    def _step(self, event: TerminalEvent) -> None:
        self._due_s += self._gap_us() / 1e6 / self._speed
        self._position_us = max(self._position_us, event.at_us)
        self._show(event)
        self._next = next(self._events, None)

    def _show(self, event: TerminalEvent) -> None:
        if event.code == "o":
            self._screen.write(event.data.encode("utf-8", "replace"))
        elif event.code == "x":
            self.exit_code = int(event.data)

    def _obey(self, key: str) -> None:
        self._stand_still()
        if key == "space":
            self._paused = not self._paused
        elif key == "right":
            self._go_to(self._position_us + SEEK_US)
        elif key == "left":
            target_us = max(0, self._position_us - SEEK_US)
            self._events = self._open_events()
            self._next = next(self._events, None)
            self._position_us = 0
            self._screen.write(CLEAR)
            self._go_to(target_us)
        elif key == "]":
            self._go_to_marker()
        elif key == "." and self._paused and self._next is not None:
            self._step(self._next)
            self._due_s = self._screen.now_s()

    def _stand_still(self) -> None:
        """A key interrupted the wait for the next event: what has passed of it is behind us."""
        now_s = self._screen.now_s()
        if not self._paused and self._next is not None:
            passed_us = int((now_s - self._due_s) * 1e6 * self._speed)
            self._position_us = min(self._position_us + max(0, passed_us), self._next.at_us)
        self._due_s = now_s

    def _go_to_marker(self) -> None:
        """Show everything up to the next marker, or to the end, without waiting."""
        is_marker = False
        while self._next is not None and not is_marker:
            is_marker = self._next.code == "m"
            self._show(self._next)
            self._position_us = max(self._position_us, self._next.at_us)
            self._next = next(self._events, None)
        self._due_s = self._screen.now_s()

    def _go_to(self, target_us: int) -> None:
        """Show everything up to here without waiting."""
        while self._next is not None and self._next.at_us <= target_us:
            self._show(self._next)
            self._next = next(self._events, None)
        self._position_us = target_us
        self._due_s = self._screen.now_s()
