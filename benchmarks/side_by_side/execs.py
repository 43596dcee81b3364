"""exec: from the connection to the end of `true`, and from a keystroke to its echo; over WebSocket and SPDY."""

import contextlib
import time

from benchmarks.side_by_side.interleave import Samples, interleave
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.site import Site
from benchmarks.side_by_side.stream_client import open_exec
from benchmarks.side_by_side.ways import Lane, Ways


def measure_execs(ways: Ways, site: Site, plan: Plan, samples: Samples, run: int) -> None:
    lanes = [Lane(way, "h1") for way in ways.all]  # an upgrade is HTTP/1.1 by nature
    for transport in site.execs:
        _measure_starts(lanes, site, plan, samples, run, transport)
        _measure_echo(lanes, site, plan, samples, run, transport)


def _measure_starts(
    lanes: list[Lane], site: Site, plan: Plan, samples: Samples, run: int, transport: str
) -> None:
    def start(lane: Lane, number: int) -> dict[str, float]:
        begun = time.perf_counter()
        open_exec(lane.way.endpoint, site.pod, transport, ["true"]).run_to_end()
        return {f"exec start, {transport}": time.perf_counter() - begun}

    interleave("exec", lanes, plan.starts, start, samples, run)


def _measure_echo(
    lanes: list[Lane], site: Site, plan: Plan, samples: Samples, run: int, transport: str
) -> None:
    with contextlib.ExitStack() as stack:
        tunnels = {}
        for lane in lanes:
            tunnel = open_exec(lane.way.endpoint, site.pod, transport, ["cat"])
            tunnels[lane.name] = stack.enter_context(contextlib.closing(tunnel))

        def press(lane: Lane, number: int) -> dict[str, float]:
            begun = time.perf_counter()
            tunnels[lane.name].press_key()
            return {f"exec echo, {transport}": time.perf_counter() - begun}

        interleave("exec", lanes, plan.keys, press, samples, run)
