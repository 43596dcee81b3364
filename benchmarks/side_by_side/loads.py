"""GET of 3 KB by 1, 16 and 64 connections at once: calls per second, their time, and which process is the limit."""

import contextlib

from benchmarks.http_client import endpoint_of
from benchmarks.processes import start_gateway
from benchmarks.report import cpu_seconds, percentile
from benchmarks.side_by_side.interleave import wait_for_rest
from benchmarks.side_by_side.load_client import drive
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.result import Load, LoadRun
from benchmarks.side_by_side.site import Site
from benchmarks.side_by_side.ways import BACKGROUND, Lane, Way, Ways

CLIENT = "client"
API_SERVER = "API server"
KUBETAPE = "kubetape balanced"


def measure_loads(
    ways: Ways, site: Site, plan: Plan, standin_pid: int | None, found: dict[tuple[int, str], Load], run: int
) -> None:
    """Each lane once for each number of connections, in turn. Adds to `found`, by connections and lane."""
    with contextlib.ExitStack() as stack:
        chosen = ways.of("balanced")
        if any(way.name == KUBETAPE for way in chosen):
            chosen.append(_two_workers(stack, ways))
        lanes = [Lane(way, version) for way in chosen for version in way.versions]
        for connections in plan.connections:
            turn = run % len(lanes)
            for lane in lanes:  # in the order of a table, not of this turn
                found.setdefault((connections, lane.name), Load(connections, lane.name))
            for lane in [*lanes[turn:], *lanes[:turn]]:
                found[connections, lane.name].runs.append(_load(lane, site, plan, connections, standin_pid))


def _two_workers(stack: contextlib.ExitStack, ways: Ways) -> Way:
    """A gateway that is there for this alone: the other steps are about one connection, which one worker serves."""
    gateway = start_gateway(stack, ways.direct.kubeconfig, flags=("--workers", "2"))
    path = gateway.directory / "kubeconfig"
    return Way("kubetape 2 workers", endpoint_of(gateway.cluster), path, gateway.pid)


def _load(lane: Lane, site: Site, plan: Plan, connections: int, standin_pid: int | None) -> LoadRun:
    wait_for_rest(lane.way)
    before: dict[str, float] = {}

    def begin() -> None:
        before.update(_cpu_s(lane.way, standin_pid))

    samples = drive(
        lane.way.endpoint, lane.version, f"{site.configmaps}/small", connections, plan.load_s, begin=begin
    )
    spent = {role: now - before[role] for role, now in _cpu_s(lane.way, standin_pid).items()}
    cores = {CLIENT: samples.busiest_cores}
    cores |= {role: seconds / samples.elapsed_s for role, seconds in spent.items()}
    wait_for_rest(lane.way)
    later = {role: now - before[role] for role, now in lane.way.cpu_s().items() if role in BACKGROUND}
    each = {role: seconds for role, seconds in (spent | later).items() if role != API_SERVER}
    calls, ordered = len(samples.seconds), sorted(samples.seconds) or [0.0]
    return LoadRun(
        calls / samples.elapsed_s,
        percentile(ordered, 0.5) * 1e3,
        percentile(ordered, 0.9) * 1e3,
        percentile(ordered, 0.99) * 1e3,
        {role: seconds / max(1, calls) * 1e3 for role, seconds in each.items()},
        cores,
    )


def _cpu_s(way: Way, standin_pid: int | None) -> dict[str, float]:
    server = {API_SERVER: cpu_seconds(standin_pid)} if standin_pid else {}
    return server | way.cpu_s()
