"""Exchanges under way, so that those that would not end by themselves can be ended with a reason.

Watches, logs and tunnels may last for days: a drain, a failed log or (by a later decision) a revocation
ends them here. Short calls are waited for instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class LiveExchange:
    """One exchange that may be cut. `reason` is set when it was."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.reason = ""

    def cut(self, reason: str) -> None:
        if not self.reason:
            self.reason = reason
            self.scope.cancel()


class Live:
    """All live exchanges of a worker."""

    def __init__(self) -> None:
        self._all: set[LiveExchange] = set()
        self._long: set[LiveExchange] = set()
        self._ending = ""  # once set, whatever becomes long-running is cut at once
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._all)

    async def wait_none(self) -> None:
        """Return when no exchange is under way."""
        while self._all:
            await self._changed.wait()

    @property
    def long_running(self) -> int:
        return len(self._long)

    @contextmanager
    def exchange(self) -> Iterator[LiveExchange]:
        live = LiveExchange()
        self._all.add(live)
        try:
            yield live
        finally:
            self._all.discard(live)
            self._long.discard(live)
            self._changed.set()
            self._changed = trio.Event()

    @contextmanager
    def cuttable(self, live: LiveExchange) -> Iterator[None]:
        """Run a part of an exchange that may be cut; check `live.reason` afterwards."""
        self._long.add(live)
        with live.scope:
            if self._ending:
                live.cut(self._ending)
            yield

    def cut_all(self, reason: str) -> None:
        """End every watch, log stream and tunnel, now and from now on."""
        self._ending = reason
        for live in tuple(self._long):
            live.cut(reason)
