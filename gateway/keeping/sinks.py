"""The sinks as a duty: audit events for others, sent on from the log."""

from collections.abc import Sequence
from pathlib import Path

from gateway.config import Settings
from gateway.keeper_messages import DutyStatus
from gateway.outlets.outlet import OutletStatus
from gateway.outlets.runner import open_outlets
from storage.format import SegmentName
from storage.sources import RecordSource


class Sinks:
    """All configured sinks; none is fine."""

    def __init__(self, settings: Settings, data_dir: Path, source: RecordSource) -> None:
        self._outlets = open_outlets(settings.sinks, data_dir, source)

    async def run(self) -> None:
        await self._outlets.run()

    async def drain(self) -> None:
        """Return when every sink that gets on has delivered everything. `run` must be running."""
        await self._outlets.drain()

    def needed_by(self, log: str, name: SegmentName) -> str:
        """Which sinks would miss a segment; asked before it is deleted."""
        return self._outlets.needed_by(log, name)

    def status(self) -> DutyStatus | None:
        """None when there are no sinks."""
        statuses = self._outlets.status()
        return _sum_up(statuses) if statuses else None


def _sum_up(statuses: Sequence[OutletStatus]) -> DutyStatus:
    problems = [f"{one.name}: {one.problem}" for one in statuses if one.problem]
    problems += [f"{one.name}: {one.skipped} records were deleted before" for one in statuses if one.skipped]
    facts = {
        "kubetape_sink_backlog_records": float(max(one.backlog_records for one in statuses)),
        "kubetape_sink_age_seconds": max(one.oldest_age_s for one in statuses),
        "kubetape_sink_events_total": float(sum(one.sent for one in statuses)),
        "kubetape_sink_rejected_total": float(sum(one.rejected for one in statuses)),
    }
    return DutyStatus("; ".join(problems), facts)
