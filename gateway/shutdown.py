"""The end of a gateway, as far as it was told: load balancers first, clients a little later.

One process or several, it is the same: readyz says that it goes, then, after the time a load balancer gets to notice,
the drain begins.
"""

from typing import Final

import trio

GOING_DOWN: Final = "kubetape is shutting down"


class Shutdown:
    """draining: set when clients are to be drained."""

    def __init__(self, delay_s: float) -> None:
        """delay_s: how long clients are served as ever after readyz has said so."""
        self._delay_s = delay_s
        self._begun = False
        self.draining = trio.Event()

    def begin_at_once(self) -> None:
        """Without the time for load balancers."""
        self._begun = True
        self.draining.set()

    async def begin(self) -> None:
        """Returns when the drain has begun."""
        self._begun = True
        await trio.sleep(self._delay_s)
        self.draining.set()

    def problem(self) -> str:
        """One line for readyz; "" before it has begun."""
        return GOING_DOWN if self._begun else ""
