"""Follows the shared state and tells each receiver what it wants to know, once. Conduct.

Whatever follows from the state and was not told since the start is told now. At the start that is what still waits,
and what happened in the last ten minutes: a gateway that was away for a moment loses nothing, and one that starts does
not tell the whole past. So a receiver may be told something twice, under the same id.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import trio

from gateway.notify.notices import Notice, notices_of
from gateway.state.follower import SharedState
from gateway.state.hold_state import NS_PER_S

TICK_S: Final = 1.0
"""What ends by itself is told within this time."""
RETOLD_NS: Final = 600 * NS_PER_S


class Receiver(Protocol):
    def tell(self, notice: Notice, now_ns: int) -> None:
        """Take it if it is wanted; must not wait."""


class Notifier:
    """One per data directory."""

    def __init__(self, state: SharedState, receivers: Sequence[Receiver]) -> None:
        self._state, self._receivers = state, receivers
        self._told: set[str] = set()
        self._is_first = True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._look()
            with trio.move_on_after(TICK_S):
                await self._state.wait_change()

    def _look(self) -> None:
        if self._state.is_stale:
            return  # what looks undecided may have been decided elsewhere
        now_ns = self._state.now_ns()
        current = notices_of(self._state.view, now_ns)
        for notice in current:
            if notice.id not in self._told and not (self._is_first and _is_old(notice, now_ns)):
                for receiver in self._receivers:
                    receiver.tell(notice, now_ns)
        self._told = {notice.id for notice in current}
        self._is_first = False


def _is_old(notice: Notice, now_ns: int) -> bool:
    return not notice.is_request and notice.at_ns + RETOLD_NS < now_ns
