"""A B C D, D C B A: every lane does a block of work in its turn, and each round begins with another one.

A block, not a single call: what a way still does after it has answered (kubetape ends its record then) must meet its
own next call and not its neighbour's. Between blocks it gets a moment to finish, so that its CPU is counted whole.
Work of its background meets its own turns, too (`turns`).
"""

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.report import percentile, summary
from benchmarks.side_by_side.background import background_at_rest, background_of_each
from benchmarks.side_by_side.plan import Schedule
from benchmarks.side_by_side.result import Run, Series
from benchmarks.side_by_side.turns import Turns, order_of_round
from benchmarks.side_by_side.ways import Lane

SETTLE_S: Final = 0.005

Work = Callable[[Lane, int], dict[str, float]]
"""One unit of work by a lane, numbered, negative while warming up: seconds by step."""


class Samples:
    """What one run or several measured, until it becomes Series."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], Series] = {}
        self._all_ms: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(
        self,
        group: str,
        step: str,
        lane: str,
        seconds: Sequence[float],
        cpu_ms: dict[str, float],
        client_cpu_ms: float,
    ) -> None:
        key = (group, step, lane)
        figures = summary([one * 1e3 for one in seconds])
        run = Run(
            figures["p50"],
            figures["p90"],
            figures["p99"],
            figures["mean"],
            len(seconds),
            cpu_ms,
            client_cpu_ms,
        )
        self._series.setdefault(key, Series(group, step, lane)).runs.append(run)
        self._all_ms[key] += [one * 1e3 for one in seconds]

    def series(self) -> list[Series]:
        for key, series in self._series.items():
            ordered = sorted(self._all_ms[key])
            series.quantiles_ms = [percentile(ordered, share / 100) for share in range(100)] + [ordered[-1]]
        steps = list(dict.fromkeys(series.step for series in self._series.values()))
        return sorted(self._series.values(), key=lambda series: steps.index(series.step))


def interleave(
    group: str, lanes: Sequence[Lane], schedule: Schedule, work: Work, samples: Samples, run: int
) -> None:
    """Do the work of a schedule by all lanes in turn and add what it took."""
    for number in range(schedule.warm_up * schedule.block):
        for lane in lanes:
            work(lane, -1 - number)
    background = background_at_rest(lanes)
    taken: dict[str, dict[str, list[float]]] = {lane.name: defaultdict(list) for lane in lanes}
    cpu_s: dict[str, dict[str, float]] = {lane.name: defaultdict(float) for lane in lanes}
    client_s: dict[str, float] = defaultdict(float)
    with Turns(lanes) as turns:
        for number in range(schedule.rounds):
            for lane in order_of_round(lanes, number + run):
                with turns.of(lane.way):
                    before, client = lane.way.cpu_s(), client_cpu_s()
                    for unit in range(schedule.block):
                        for step, seconds in work(lane, number * schedule.block + unit).items():
                            taken[lane.name][step].append(seconds)
                    client_s[lane.name] += client_cpu_s() - client
                    time.sleep(SETTLE_S)
                    for role, now in lane.way.cpu_s().items():
                        cpu_s[lane.name][role] += now - before.get(role, 0.0)
    units = schedule.rounds * schedule.block
    shares = background_of_each(lanes, background, dict.fromkeys(cpu_s, units))
    for lane in lanes:
        steps = len(taken[lane.name])
        each = {role: spent / units / steps * 1e3 for role, spent in cpu_s[lane.name].items()}
        each |= {role: spent / steps * 1e3 for role, spent in shares[lane.way.name].items()}
        for step, seconds_list in taken[lane.name].items():
            samples.add(group, step, lane.name, seconds_list, each, client_s[lane.name] / units / steps * 1e3)


def client_cpu_s() -> float:
    """CPU of this process and of the programs it ran to their end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
