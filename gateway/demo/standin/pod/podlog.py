"""The log of a toy container: a line every 100 ms, computed from its number, never stored.

Asked twice for line n it gives the same bytes; the oldest lines are gone, as rotation would have it.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.demo.standin.seed import CARD_NUMBERS

LINES_BEFORE_START: Final = 20
LINE_INTERVAL_S: Final = 0.1
KEPT_LINES: Final = 5000


def line_count(elapsed_s: float) -> int:
    """How many lines a container has written `elapsed_s` seconds after the stand-in started."""
    return LINES_BEFORE_START + int(elapsed_s / LINE_INTERVAL_S)


def log_line(namespace: str, pod: str, number: int) -> bytes:
    """Line `number`, from 0, with its newline. In `payments` every seventh shows a card number."""
    if namespace == "payments" and number % 7 == 3:
        card = CARD_NUMBERS[number // 7 % len(CARD_NUMBERS)]
        return f"level=info pod={pod} line={number} msg=charged card={card} amount={number % 90 + 10}.00\n".encode()
    return f"level=info pod={pod} line={number} msg=served status=200\n".encode()


def stamp(started: datetime, number: int) -> bytes:
    """The prefix `timestamps=true` asks for: when line `number` was written, and a blank."""
    written = started + timedelta(seconds=(number - LINES_BEFORE_START) * LINE_INTERVAL_S)
    return written.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode()


def first_line(count: int, tail_lines: int | None) -> int:
    """The number of the first line to show, of `count` written."""
    oldest = max(0, count - KEPT_LINES)
    return oldest if tail_lines is None else max(oldest, count - tail_lines)
