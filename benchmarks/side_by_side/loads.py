"""Closed loops: GET of 3 KB by 1, 16 and 64 connections, and starts of an exec: calls a second, CPU of each, the limit.

Where the other groups give a way the machine for a moment and take it away again, here it keeps busy: the CPU of a
call that a loaded gateway takes, beside that of one that was woken for it.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.http_client import endpoint_of
from benchmarks.processes import start_gateway
from benchmarks.report import cpu_seconds, percentile
from benchmarks.side_by_side.background import background_at_rest, background_of_each
from benchmarks.side_by_side.crowd import Crowd, Opening, open_crowd
from benchmarks.side_by_side.interleave import SETTLE_S
from benchmarks.side_by_side.load_client import opening_of_gets, shares_of
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.result import GET, Load, LoadRun
from benchmarks.side_by_side.site import Site
from benchmarks.side_by_side.start_client import opening_of_starts
from benchmarks.side_by_side.stream_client import TRANSPORTS
from benchmarks.side_by_side.turns import Turns, order_of_round
from benchmarks.side_by_side.ways import Lane, Way, Ways

CLIENT = "client"
API_SERVER = "API server"
KUBETAPE = "kubetape balanced"

Loads = dict[tuple[str, int, str], Load]
"""By step, connections and lane."""


def measure_loads(
    ways: Ways, site: Site, plan: Plan, standin_pid: int | None, found: Loads, run: int
) -> None:
    """Every lane in every turn, for each number of connections. Adds to `found`."""
    loading = _Loading(plan, standin_pid, found, run)
    with contextlib.ExitStack() as stack:
        chosen = ways.of("balanced")
        starting = [Lane(way, "h1") for way in chosen]
        if any(way.name == KUBETAPE for way in chosen):
            chosen.append(_two_workers(stack, ways))
        lanes = [Lane(way, version) for way in chosen for version in way.versions]
        for connections in plan.connections:

            def gets(lane: Lane) -> Opening:
                return opening_of_gets(lane.way.endpoint, lane.version, f"{site.configmaps}/small")

            loading.measure(GET, lanes, gets, shares_of(connections))
        for transport in TRANSPORTS if site.pod else ():

            def starts(lane: Lane, transport: str = transport) -> Opening:
                return opening_of_starts(lane.way.endpoint, site.pod, transport)

            loading.measure(f"exec start, {transport}", starting, starts, [1] * plan.starts_at_once)


def _two_workers(stack: contextlib.ExitStack, ways: Ways) -> Way:
    """A gateway that is there for this alone: the other steps are about one connection, which one worker serves."""
    gateway = start_gateway(stack, ways.direct.kubeconfig, flags=("--workers", "2"))
    path = gateway.directory / "kubeconfig"
    return Way("kubetape 2 workers", endpoint_of(gateway.cluster), path, gateway.pid)


@dataclass
class _Tally:
    """What the turns of one lane add up to. cpu_s: by role, during its turns."""

    seconds: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    client_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def as_run(self, background_s: Mapping[str, float]) -> LoadRun:
        """background_s: of each call, by role."""
        calls, ordered = len(self.seconds), sorted(self.seconds)
        cores = {CLIENT: self.client_s} | self.cpu_s
        each_s = {role: spent / calls for role, spent in self.cpu_s.items() if role != API_SERVER}
        return LoadRun(
            calls / self.elapsed_s,
            percentile(ordered, 0.5) * 1e3,
            percentile(ordered, 0.9) * 1e3,
            percentile(ordered, 0.99) * 1e3,
            {role: spent * 1e3 for role, spent in (each_s | dict(background_s)).items()},
            {role: spent / self.elapsed_s for role, spent in cores.items()},
        )


class _Loading:
    """The loads of one run."""

    def __init__(self, plan: Plan, standin_pid: int | None, found: Loads, run: int) -> None:
        self._plan, self._standin_pid, self._found, self._run = plan, standin_pid, found, run

    def measure(
        self, step: str, lanes: list[Lane], opening: Callable[[Lane], Opening], shares: list[int]
    ) -> None:
        with contextlib.ExitStack() as stack:
            crowds = {lane.name: open_crowd(stack, opening(lane), shares) for lane in lanes}
            background = background_at_rest(lanes)
            tallies = {lane.name: _Tally() for lane in lanes}
            with Turns(lanes) as turns:
                for number in range(self._plan.load_rounds):
                    for lane in order_of_round(lanes, self._run + number):
                        with turns.of(lane.way):
                            self._take_turn(lane.way, crowds[lane.name], tallies[lane.name])
            calls = {name: len(tally.seconds) for name, tally in tallies.items()}
            each_s = background_of_each(lanes, background, calls)
        for lane in lanes:
            key = (step, sum(shares), lane.name)
            load = self._found.setdefault(key, Load(sum(shares), lane.name, step=step))
            load.runs.append(tallies[lane.name].as_run(each_s[lane.way.name]))

    def _take_turn(self, way: Way, crowd: Crowd, tally: _Tally) -> None:
        before = self._cpu_s(way)
        samples = crowd.loop(self._plan.load_s / self._plan.load_rounds)
        time.sleep(SETTLE_S)  # kubetape ends its record after the last answer
        for role, now in self._cpu_s(way).items():
            tally.cpu_s[role] += now - before[role]
        tally.seconds += samples.seconds
        tally.elapsed_s += samples.elapsed_s
        tally.client_s += samples.busiest_cores * samples.elapsed_s

    def _cpu_s(self, way: Way) -> dict[str, float]:
        server = {API_SERVER: cpu_seconds(self._standin_pid)} if self._standin_pid else {}
        return server | way.cpu_s()
