"""Waiting for what another thread does, when it says so by nothing but its state."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail when it does not in reasonable time."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
