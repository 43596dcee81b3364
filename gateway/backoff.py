"""How long to wait before the next try of what failed or died: a second at first, twice as long each time. Pure."""

from typing import Final

FIRST_S: Final = 1.0
MAX_BACKOFF_S: Final = 30.0
"""The longest wait. What went well for longer than this does not count as one more failure in a row."""


class Backoff:
    """The waits of one thing that is tried again and again."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def reset(self) -> None:
        """It went well: the next failure is the first again."""
        self._next_s = FIRST_S

    def next_s(self) -> float:
        """The wait after one more failure."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, MAX_BACKOFF_S)
        return wait_s
