"""The person's terminal: keys while a replay runs, without echo, and put back as it was."""

import os
import select
import sys
import termios
import time
import tty
from collections import deque
from types import TracebackType
from typing import Final

from storage.ansi import RESTORE_TERMINAL

_KEYS: Final = {
    b" ": "space",
    b".": ".",
    b"]": "]",
    b"q": "q",
    b"Q": "q",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
}


class Terminal:
    """stdin and stdout as a `Screen`. Keys work if stdin is a terminal. Waits only if stdout is one:
    into a pipe or a file a replay goes at once."""

    def __init__(self) -> None:
        self._keyboard = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._is_terminal = sys.stdout.isatty()
        self._before: list[object] = []
        self._keys: deque[str] = deque()

    def __enter__(self) -> "Terminal":
        if self._keyboard is not None and self._is_terminal:
            self._before = termios.tcgetattr(self._keyboard)
            # Ctrl-C still interrupts, and output is still processed
            tty.setcbreak(self._keyboard, termios.TCSADRAIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_terminal:
            self.write(RESTORE_TERMINAL)
        if self._keyboard is not None and self._before:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]

    def now_s(self) -> float:
        return time.monotonic()

    def wait_key(self, timeout_s: float | None) -> str | None:
        if self._keys:
            return self._keys.popleft()
        if not self._is_terminal:
            return None
        if self._keyboard is None:
            time.sleep(timeout_s or 0)
            return None
        ready, _, _ = select.select([self._keyboard], [], [], timeout_s)
        if not ready:
            return None
        pressed = os.read(self._keyboard, 64)
        if not pressed:  # the keyboard is gone: play on without it
            self._keyboard = None
            return None
        self._keys.extend(parse_keys(pressed))
        return self._keys.popleft() if self._keys else "other"

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def parse_keys(pressed: bytes) -> list[str]:
    """What was pressed, as the names a player knows; other keys are left out."""
    keys = []
    at = 0
    while at < len(pressed):
        length = 3 if pressed[at : at + 1] == b"\x1b" else 1
        key = _KEYS.get(pressed[at : at + length])
        if key is not None:
            keys.append(key)
        at += length
    return keys
