"""The table at the end of the demo: what the record says about the tour. Conduct: reads the data directory.

The delay we add is what a call took beyond the time between our asking the API server and the end of its answer; of
calls nobody waited for and that end by themselves.
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import quantiles
from typing import Final

import msgspec

from gateway.cli.sessions.opening import Library, with_library
from storage.index_schema import CallRow
from storage.lake.facts import durations
from storage.query import Query
from storage.records import Outcome
from storage.timeline import read_call

MAX_CALLS: Final = 10_000
STREAMS: Final = ("exec", "attach", "portforward", "watch", "log")
_P50, _P99 = 49, 98


class Figures(msgspec.Struct, frozen=True, rename="camel"):
    """streams, blocked: what kubectl tried again another way (an exec over SPDY) counts once. added: milliseconds. held_s: how long people took, each."""

    requests: int
    streams: int
    masked_values: int
    blocked: int
    held_s: tuple[float, ...]
    added_p50_ms: float
    added_p99_ms: float

    def lines(self) -> tuple[str, ...]:
        """As a table."""
        waits = ", ".join(f"{wait:.1f} s" for wait in self.held_s)
        return (
            f"requests       {self.requests}, {self.streams} of them streams",
            f"values masked  {self.masked_values}",
            f"blocked        {self.blocked}",
            f"held           {len(self.held_s)}" + (f" ({waits})" if waits else ""),
            f"added latency  p50 {self.added_p50_ms:.1f} ms, p99 {self.added_p99_ms:.1f} ms, durably recorded",
        )

    def as_data(self) -> object:
        """For JSON."""
        return msgspec.to_builtins(self)


def read_figures(directory: Path) -> Figures:
    """Blocking. Raises click.ClickException, StorageError."""
    return with_library(str(directory), (), _figures)


def _figures(library: Library) -> Figures:
    rows = library.archive.calls(Query(), limit=MAX_CALLS)
    added = [ms for row in rows if (ms := _added_ms(library, row)) is not None]
    cuts = quantiles(added, n=100, method="inclusive") if len(added) > 1 else [0.0] * 99
    return Figures(
        requests=len(rows),
        streams=_count(row for row in rows if row.kind in STREAMS),
        masked_values=sum(row.masked for row in rows),
        blocked=_count(row for row in rows if _is_blocked(row)),
        held_s=tuple(round(row.held_us / 1e6, 1) for row in reversed(rows) if row.holds != "[]"),
        added_p50_ms=round(cuts[_P50], 2),
        added_p99_ms=round(cuts[_P99], 2),
    )


def _count(rows: Iterable[CallRow]) -> int:
    return len({(row.command, row.target) for row in rows})


def _is_blocked(row: CallRow) -> bool:
    """Denied by a rule, as a whole or for a line typed in it; not what a person denied."""
    return row.decision == "deny" or (row.later_rules != "[]" and row.holds == "[]")


def _added_ms(library: Library, row: CallRow) -> float | None:
    """None for what was held, goes on or never got upstream."""
    if row.held_us or row.kind in STREAMS:
        return None
    for _, record in read_call(library.source, library.archive, row):
        if isinstance(record, Outcome) and record.timings.upstream_sent_us is not None:
            _, gateway_us, _ = durations(record)
            return gateway_us / 1000 if gateway_us is not None else None
    return None
