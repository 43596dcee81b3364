"""Progress of something slow, on stderr: one line that is redrawn on a terminal, a few lines in a file."""

import sys
import time
from types import TracebackType
from typing import Final

QUIET_S: Final = 0.5
"""What takes less is not worth a word."""
REDRAW_S: Final = 0.2
REPEAT_S: Final = 10.0
"""Between two lines in a file."""


class Progress:
    """Shows a growing number of records, or of what `unit` names, while open."""

    def __init__(self, what: str, unit: str = "records") -> None:
        self._what, self._unit = what, unit
        self._is_terminal = sys.stderr.isatty()
        self._next_s = time.monotonic() + QUIET_S
        self._shown = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, records: int) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._shown = True
        self._next_s = now_s + (REDRAW_S if self._is_terminal else REPEAT_S)
        line = f"{self._what}: {records} {self._unit}"
        sys.stderr.write(f"\r{line}\x1b[K" if self._is_terminal else f"{line}\n")
        sys.stderr.flush()
