"""One key of the person who watches the demo, if there is one. Conduct: the terminal, for as long as it is asked.

The trap is a terminal that nobody sits at (a build server gives some): so every question ends by itself.
"""

import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio


def has_person() -> bool:
    """Whether questions can be seen and answered."""
    return sys.stdin.isatty() and sys.stdout.isatty()


async def press_one_of(keys: str, timeout_s: float, ask: Callable[[], None]) -> str:
    """The first of these keys that is pressed, in lower case; "" when none was in time, or the terminal is gone.

    ask: shows the question, once keys are listened to; what was typed before that answers nothing. Ctrl-C stays what
    it is.
    """
    descriptor = sys.stdin.fileno()
    with _single_keys(descriptor), trio.move_on_after(timeout_s):
        ask()
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            pressed = os.read(descriptor, 64).decode("ascii", "replace").lower()
            if not pressed:
                return ""
            found = next((key for key in pressed if key in keys), "")
            if found:
                return found
    return ""


@contextmanager
def _single_keys(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSAFLUSH)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
