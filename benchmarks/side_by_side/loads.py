"""GET of 3 KB by 1, 16 and 64 connections at once: calls per second, their time, and which process is the limit."""

import os

from benchmarks.report import cpu_seconds, percentile
from benchmarks.side_by_side.interleave import wait_for_rest
from benchmarks.side_by_side.load_client import LoadSamples, drive
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.result import Load, LoadRun
from benchmarks.side_by_side.site import Site
from benchmarks.side_by_side.ways import BACKGROUND, Lane, Way, Ways

CLIENT = "client"
API_SERVER = "API server"


def measure_loads(
    ways: Ways, site: Site, plan: Plan, standin_pid: int | None, found: dict[tuple[int, str], Load], run: int
) -> None:
    """Each lane once for each number of connections, in turn. Adds to `found`, by connections and lane."""
    lanes = [Lane(way, version) for way in ways.of("balanced") for version in way.versions]
    for connections in plan.connections:
        turn = run % len(lanes)
        for lane in [*lanes[turn:], *lanes[:turn]]:
            load = found.setdefault((connections, lane.name), Load(connections, lane.name))
            load.runs.append(_load(lane, site, plan, connections, standin_pid))


def _load(lane: Lane, site: Site, plan: Plan, connections: int, standin_pid: int | None) -> LoadRun:
    way = lane.way
    wait_for_rest(way)
    before, server = way.cpu_s(), cpu_seconds(standin_pid) if standin_pid else 0.0
    processes = min(connections, 2 if connections > 4 else 1, os.cpu_count() or 1)
    samples = drive(
        way.endpoint, lane.version, f"{site.configmaps}/small", connections, plan.load_s, processes
    )
    cores = {CLIENT: samples.busiest_s / samples.elapsed_s}
    if standin_pid:
        cores[API_SERVER] = (cpu_seconds(standin_pid) - server) / samples.elapsed_s
    spent = {role: now - before.get(role, 0.0) for role, now in way.cpu_s().items()}
    cores |= {role: seconds / samples.elapsed_s for role, seconds in spent.items()}
    return _figures(samples, way, spent, before, cores)


def _figures(
    samples: LoadSamples, way: Way, spent: dict[str, float], before: dict[str, float], cores: dict[str, float]
) -> LoadRun:
    wait_for_rest(way)
    later = {role: now - before.get(role, 0.0) for role, now in way.cpu_s().items() if role in BACKGROUND}
    calls = max(1, samples.calls)
    ordered = sorted(samples.seconds) or [0.0]
    return LoadRun(
        samples.calls / samples.elapsed_s,
        percentile(ordered, 0.5) * 1e3,
        percentile(ordered, 0.9) * 1e3,
        percentile(ordered, 0.99) * 1e3,
        {role: seconds / calls * 1e3 for role, seconds in (spent | later).items()},
        cores,
    )
