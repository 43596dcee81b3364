"""Several processes seen as one gateway: their checks and figures put together. Pure.

Counters are summed, of processes that ended too, for a counter must not go back. A gauge is summed where it counts
things, and the worst one is taken where it describes what they share.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.process_messages import WorkerStatus

WORST: Final = frozenset(
    {
        "kubetape_record_failed",
        "kubetape_disk_headroom",
        "kubetape_approvals_pending",
        "kubetape_data_keys_problem",
    }
)
"""Gauges of what all processes see the same of; the others are summed."""


def joined_figures(statuses: Iterable[WorkerStatus]) -> dict[str, float]:
    """The figures of a whole gateway."""
    joined: dict[str, float] = {}
    for status in statuses:
        for name, value in status.figures.items():
            before = joined.get(name, 0.0)
            joined[name] = max(before, value) if name in WORST else before + value
    return joined


def joined_checks(statuses: Mapping[str, WorkerStatus]) -> dict[str, str]:
    """What each check says, of all processes: who fails it first, and why; "" when nobody does. By process name."""
    joined: dict[str, str] = {}
    for name, status in statuses.items():
        for check, problem in status.checks.items():
            found = joined.setdefault(check, "")
            if problem and not found:
                joined[check] = f"{name}: {problem}"
    return joined
