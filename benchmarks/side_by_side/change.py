"""Two Results -> what changed, in %, and whether that is more than the spread of their runs."""

import statistics
from collections.abc import Iterator, Sequence

from benchmarks.side_by_side.figures import is_beyond_noise, values
from benchmarks.side_by_side.result import Result

LEAST_CHANGE = 0.03


def compare(old: Result, new: Result) -> Iterator[str]:
    """Lines of a table. What only one of them measured is left out."""
    yield f"{'what':26} {'way':22} {'figure':9} {'old':>9} {'new':>9} {'change':>8}"
    for what, lane, figure, before, after in _pairs(old, new):
        earlier, later = statistics.median(before), statistics.median(after)
        change = (later - earlier) / earlier * 100 if earlier else 0.0
        mark = "  beyond noise" if is_beyond_noise(before, after, LEAST_CHANGE) else ""
        yield f"{what:26} {lane:22} {figure:9} {earlier:9.2f} {later:9.2f} {change:+7.1f}%{mark}"
    if min(len(old.conditions), len(new.conditions)) < 3:
        yield "note: fewer than 3 runs say little about noise"
    for field in ("machine", "cpu", "python", "API server"):
        theirs, ours = (one.environment.get(field, "").partition(", load")[0] for one in (old, new))
        if theirs != ours:
            yield f"note: {field} differs: {theirs} and {ours}; seconds of different machines do not compare"


def _pairs(old: Result, new: Result) -> Iterator[tuple[str, str, str, Sequence[float], Sequence[float]]]:
    earlier = {(one.step, one.lane): one for one in old.series}
    for one in new.series:
        if (before := earlier.get((one.step, one.lane))) is None:
            continue
        for figure in ("p50_ms", "p99_ms"):
            yield one.step, one.lane, figure, values(before.runs, figure), values(one.runs, figure)
        if any(run.cpu_ms for run in one.runs):
            cpu = [[sum(run.cpu_ms.values()) for run in series.runs] for series in (before, one)]
            yield one.step, one.lane, "cpu_ms", cpu[0], cpu[1]
    moved = {(one.step, one.lane): one for one in old.transfers}
    for transfer in new.transfers:
        if (was := moved.get((transfer.step, transfer.lane))) is not None:
            speeds = [[run.mb_per_s for run in which.runs] for which in (was, transfer)]
            yield transfer.step, transfer.lane, "MB/s", speeds[0], speeds[1]
    loaded = {(one.step, one.connections, one.lane): one for one in old.loads}
    for load in new.loads:
        if (was_loaded := loaded.get((load.step, load.connections, load.lane))) is not None:
            rates = [[run.calls_per_s for run in which.runs] for which in (was_loaded, load)]
            what = f"{load.step}, {load.connections} at once"
            yield what, load.lane, "calls/s", rates[0], rates[1]
            cpu = [[sum(run.cpu_ms.values()) for run in which.runs] for which in (was_loaded, load)]
            if any(cpu[1]):
                yield what, load.lane, "cpu_ms", cpu[0], cpu[1]
