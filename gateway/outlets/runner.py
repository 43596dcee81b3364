"""All outlets of a data directory: one task each, blocking work in threads of their own. Conduct.

No outlet waits for another, and nothing else waits for any. What goes wrong in one is said, waited out with
growing patience and tried again, for as long as the program runs.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from gateway import journal
from gateway.outlets.outlet import Outlet, OutletStatus, Step
from gateway.outlets.settings import OutletSettings
from storage.format import SegmentName
from storage.sources import RecordSource

POLL_S: Final = 0.25
"""How soon a new record is seen: an event is then at most this and `maxWaitMs` late."""
DRAIN_POLL_S: Final = 0.05
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0


class Outlets:
    """The outlets of the settings over one source of records."""

    def __init__(self, outlets: Sequence[Outlet]) -> None:
        self._outlets = outlets

    async def run(self) -> None:
        """Until cancelled. A step under way then is left alone: what it did not save is sent again."""
        async with trio.open_nursery() as nursery:
            for outlet in self._outlets:
                nursery.start_soon(_serve, outlet)

    async def drain(self) -> None:
        """Return when every outlet has delivered what was recorded before this call, or has a problem. `run`
        must be running; give it a deadline."""
        # The step under way may have read before this call; the next one reads after it.
        marks = [(outlet, outlet.rests + 2) for outlet in self._outlets]
        while any(outlet.rests < mark and not outlet.status().problem for outlet, mark in marks):  # noqa: ASYNC110 - threads of others make the progress
            await trio.sleep(DRAIN_POLL_S)

    def needed_by(self, log: str, name: SegmentName) -> str:
        """The outlets that still need a segment, in words; "" for none."""
        names = [outlet.settings.name for outlet in self._outlets if outlet.needs(log, name)]
        return f"sink {', '.join(names)}" if names else ""

    def status(self) -> tuple[OutletStatus, ...]:
        """How each of them stands, in the order of the settings."""
        return tuple(outlet.status() for outlet in self._outlets)


def open_outlets(settings: Sequence[OutletSettings], data_dir: Path, source: RecordSource) -> Outlets:
    """Make them; nothing is opened or read before `run`."""
    return Outlets([Outlet(one, data_dir, source) for one in settings])


async def run(settings: Sequence[OutletSettings], data_dir: Path, source: RecordSource) -> None:
    """Serve all outlets until cancelled."""
    await open_outlets(settings, data_dir, source).run()


async def _serve(outlet: Outlet) -> None:
    own_thread = trio.CapacityLimiter(1)  # a receiver that hangs takes nobody else's thread
    failures = 0
    try:
        while True:
            step = await _step(outlet, own_thread)
            failures = failures + 1 if step.problem else 0
            if step.problem:
                await trio.sleep(pause_s(failures, step.retry_after_s))
            elif not step.more:
                await trio.sleep(POLL_S)
    finally:
        outlet.close()


async def _step(outlet: Outlet, own_thread: trio.CapacityLimiter) -> Step:
    try:
        return await trio.to_thread.run_sync(outlet.run_once, abandon_on_cancel=True, limiter=own_thread)
    except Exception as error:
        journal.problem("outlet", f"outlet {outlet.settings.name} failed and starts again", error)
        return Step(False, type(error).__name__)


def pause_s(failures: int, retry_after_s: float) -> float:
    """How long to wait after so many failures in a row: doubled each time, spread so that outlets of many
    gateways do not come back together, and never shorter than the receiver asked for."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * float(1 << min(failures - 1, 16)))
    return max(retry_after_s, longest * random.uniform(0.5, 1.0))
