"""Waiting for people to decide: ask again until they did, or it took too long."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

POLL_S: Final = 0.5
"""A person takes seconds; who waits for one should not see that we ask."""

D = TypeVar("D")


def wait_until(ask: Callable[[], D], is_decided: Callable[[D], bool], timeout_s: float) -> D:
    """The answer once it is decided, or as it is when the time is over."""
    ends_s = time.monotonic() + timeout_s
    while True:
        answer = ask()
        left_s = ends_s - time.monotonic()
        if is_decided(answer) or left_s <= 0:
            return answer
        time.sleep(min(POLL_S, left_s))
