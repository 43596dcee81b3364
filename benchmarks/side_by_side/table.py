"""A Result -> the text a person reads."""

import statistics
from collections.abc import Iterator, Mapping

from benchmarks.side_by_side.figures import median_by_role, median_of, median_or_none
from benchmarks.side_by_side.result import Load, Result, Summary

BUSY_LOAD = 0.5
BUSY_CORES = 0.2
STOLEN_CORES = 0.05
LIMIT_CORES = 0.8
"""A process that uses so much of a core is what holds a closed loop back."""


def render(result: Result) -> Iterator[str]:
    """Lines of all tables, notes last."""
    yield from _head(result)
    yield from _series(result)
    yield from _transfers(result)
    yield from _loads(result)
    yield from _idle(result)
    yield from (f"left out: {one}" for one in result.skipped)
    yield from _conditions(result)


def _head(result: Result) -> Iterator[str]:
    known = result.environment
    yield (
        f"kubetape {known.get('commit')}, {known.get('cpu')}, {known.get('machine', '').partition(', load')[0]}, "
        + (
            f"Linux {known.get('kernel')}, Python {known.get('python')}, kubectl {known.get('kubectl', 'none')}, "
            f"HAProxy {known.get('haproxy', 'none')}; runs: {len(result.conditions)}, {known.get('API server')}"
        )
    )


def _series(result: Result) -> Iterator[str]:
    if not result.summary:
        return
    yield ""
    yield (
        f"{'step':22} {'way':22} {'p50':>8} {'p90':>8} {'p99':>8} {'p50 of runs':>17} {'+p50':>8} {'+p90':>8} {'+p99':>8} "
        f"{'/proxy':>7}  ms; CPU ms each"
    )
    step = ""
    for one in result.summary:
        yield from ([""] if step and step != one.step else [])
        yield _row(one, "" if step == one.step else one.step)
        step = one.step


def _row(one: Summary, step: str) -> str:
    low, high = one.spread_p50_ms
    ratio = f"{one.ratio_to_proxy:.2f}" if one.ratio_to_proxy is not None else "-"
    spread = f"{low:.2f}..{high:.2f}"
    added = [one.added_p50_ms, one.added_p90_ms, one.added_p99_ms]
    shown = " ".join("       -" if one.lane == "direct" else f"{value:+8.2f}" for value in added)
    return (
        f"{step:22} {one.lane:22} {one.p50_ms:8.2f} {one.p90_ms:8.2f} {one.p99_ms:8.2f} {spread:>17} {shown} "
        f"{ratio:>7}  {_roles(one.cpu_ms)}"
    )


def _transfers(result: Result) -> Iterator[str]:
    if not result.transfers:
        return
    yield ""
    yield f"{'transfer':31} {'way':22} {'MB/s':>7} {'of runs':>13} {'MB/s/core':>10}  CPU s per GB"
    for one in result.transfers:
        speeds = [run.mb_per_s for run in one.runs]
        per_core = median_or_none(one.runs)
        core = f"{per_core:.0f}" if per_core is not None else "-"
        spread = f"{min(speeds):.0f}..{max(speeds):.0f}"
        cpu = _roles(median_by_role(run.cpu_s_per_gb for run in one.runs))
        name = f"{one.step}, {one.mib} MiB"
        yield f"{name:31} {one.lane:22} {statistics.median(speeds):7.0f} {spread:>13} {core:>10}  {cpu}"


def _loads(result: Result) -> Iterator[str]:
    if not result.loads:
        return
    yield ""
    yield (
        f"{'load':22} {'at once':>7} {'way':22} {'calls/s':>8} {'of runs':>15} {'p50':>8} {'p90':>8} {'p99':>8}  "
        "CPU ms each; cores used; the limit"
    )
    for one in result.loads:
        rates = [run.calls_per_s for run in one.runs]
        shown = " ".join(f"{median_of(one.runs, field):8.2f}" for field in ("p50_ms", "p90_ms", "p99_ms"))
        spread = f"{min(rates):.0f}..{max(rates):.0f}"
        limit = limit_of(one)
        yield (
            f"{one.step:22} {one.connections:7} {one.lane:22} {statistics.median(rates):8.0f} {spread:>15} {shown}  "
            f"{_roles(median_by_role(run.cpu_ms for run in one.runs))}; "
            f"{_roles(median_by_role(run.cores for run in one.runs))}{f'; limit: {limit}' if limit else ''}"
        )


def limit_of(one: Load) -> str:
    """Which process held the loop back, "" when none was near a whole core."""
    cores = median_by_role(run.cores for run in one.runs)
    full = [role for role, used in cores.items() if used >= LIMIT_CORES]
    return "the client: no figure of the way" if "client" in full else " and ".join(full)


def _idle(result: Result) -> Iterator[str]:
    if not result.idle:
        return
    yield ""
    yield f"{'idle':11} {'way':22} {'count':>5}  KiB each"
    for one in result.idle:
        kib = {role: f"{held:.0f}" for role, held in median_by_role(one.kib).items()}
        yield f"{one.what:11} {one.lane:22} {one.count:5}  {', '.join(f'{role} {held}' for role, held in kib.items())}"


def _conditions(result: Result) -> Iterator[str]:
    cores = result.environment.get("machine", "")
    for number, one in enumerate(result.conditions):
        if one.other_cores > BUSY_CORES or one.stolen_cores > STOLEN_CORES:
            yield (
                f"note: in run {number + 1} other programs used {one.other_cores:.1f} cores and the hypervisor took "
                f"{one.stolen_cores:.2f} ({cores}): tails and sums are theirs, too"
            )
    if result.conditions and result.conditions[0].load_before > BUSY_LOAD:
        yield f"note: load average before the first run: {result.conditions[0].load_before:.1f}"


def _roles(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{role} {value:.2f}" for role, value in figures.items())
