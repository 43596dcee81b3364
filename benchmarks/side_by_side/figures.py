"""Runs -> figures: medians, what a way adds over direct, how that compares with `kubectl proxy`. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks.side_by_side.result import Result, Run, Series, Summary, TransferRun

PROXY: Final = "kubectl proxy"
LEAST_ADDED_MS: Final = 0.02
"""A proxy that adds less was not told apart from none: nothing is divided by that."""


def summarize(series: Sequence[Series]) -> list[Summary]:
    """One Summary a Series, in their order."""
    by_key = {(one.step, one.lane): one for one in series}
    return [_summary(one, by_key) for one in series]


def _summary(one: Series, by_key: dict[tuple[str, str], Series]) -> Summary:
    base = by_key.get((one.step, "direct h2")) if one.lane.endswith(" h2") else None
    base = base or by_key.get((one.step, "direct"))
    proxy = by_key.get((one.step, PROXY))
    added = _added(one, base, "p50_ms")
    proxy_added = _added(proxy, base, "p50_ms") if proxy else 0.0
    is_divisible = proxy_added >= LEAST_ADDED_MS and one.lane != "direct"
    p50s = [run.p50_ms for run in one.runs]
    return Summary(
        one.group,
        one.step,
        one.lane,
        statistics.median(p50s),
        median_of(one.runs, "p90_ms"),
        median_of(one.runs, "p99_ms"),
        (min(p50s), max(p50s)),
        added,
        _added(one, base, "p90_ms"),
        _added(one, base, "p99_ms"),
        added / proxy_added if is_divisible else None,
        median_by_role(run.cpu_ms for run in one.runs),
        median_of(one.runs, "client_cpu_ms"),
    )


def _added(one: Series, base: Series | None, field: str) -> float:
    """Run by run, so that what a whole run suffered from is taken out on both sides."""
    if base is None:
        return 0.0
    pairs = zip(one.runs, base.runs, strict=False)
    return float(statistics.median(getattr(ours, field) - getattr(theirs, field) for ours, theirs in pairs))


def median_of(runs: Iterable[object], field: str) -> float:
    return float(statistics.median(getattr(run, field) for run in runs))


def median_by_role(runs: Iterable[dict[str, float]]) -> dict[str, float]:
    runs = list(runs)
    roles = dict.fromkeys(role for run in runs for role in run)
    return {role: statistics.median(run.get(role, 0.0) for run in runs) for role in roles}


def median_or_none(runs: Sequence[TransferRun]) -> float | None:
    """Of MB/s per core, where a way has a process to count."""
    found = [run.mb_per_s_core for run in runs if run.mb_per_s_core is not None]
    return statistics.median(found) if found else None


def find_summary(result: Result, step: str, lane: str) -> Summary | None:
    return next((one for one in result.summary if one.step == step and one.lane == lane), None)


def is_beyond_noise(old: Sequence[float], new: Sequence[float], least_change: float) -> bool:
    """True when no run of one comes near a run of the other, and the medians differ by that share at least."""
    if not old or not new:
        return False
    before, after = statistics.median(old), statistics.median(new)
    apart = max(old) < min(new) or max(new) < min(old)
    return apart and abs(after - before) > least_change * abs(before)


def values(runs: Sequence[Run], field: str) -> list[float]:
    return [float(getattr(run, field)) for run in runs]
