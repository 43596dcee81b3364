"""Memory of a watch and of an exec that do nothing: growth of each process over many of them."""

import contextlib
import time

from benchmarks.side_by_side.background import wait_for_rest
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.result import Idle
from benchmarks.side_by_side.site import Site
from benchmarks.side_by_side.stream_client import open_exec
from benchmarks.side_by_side.watches import SILENCE_S, Watcher
from benchmarks.side_by_side.ways import Lane, Way, Ways

SETTLE_S = 0.5
FIRST = 8
"""Opened and closed before: what the first of a kind costs (code, pools) is no cost of each."""


def measure_idle(ways: Ways, site: Site, plan: Plan, found: dict[tuple[str, str], Idle]) -> None:
    """Of processes that have done nothing yet: memory that a load before it left free would hide the growth."""
    for way in ways.of("balanced"):
        if way.pid is None:
            continue
        kinds = {"watch": plan.idle_watches} | ({"exec": plan.idle_execs} if site.pod else {})
        with contextlib.ExitStack() as stack:
            for what in kinds:
                _open(stack, what, way, site, FIRST)
        with contextlib.ExitStack() as stack:  # the watches stay open while the execs come
            for what, count in kinds.items():
                before = _settled(way)
                _open(stack, what, way, site, count)
                idle = found.setdefault((what, way.name), Idle(what, way.name, count))
                after = _settled(way)
                idle.kib.append(
                    {role: (now - before.get(role, 0)) / 1024 / count for role, now in after.items()}
                )


def _settled(way: Way) -> dict[str, int]:
    time.sleep(SETTLE_S)
    wait_for_rest(way)  # what it holds while it works is no cost of a stream
    return way.rss_bytes()


def _open(stack: contextlib.ExitStack, what: str, way: Way, site: Site, count: int) -> None:
    """Watches over HTTP/1.1, execs over the transports by turns."""
    for number in range(count):
        if what == "exec":
            tunnel = open_exec(way.endpoint, site.pod, site.execs[number % len(site.execs)], ["cat"])
            stack.enter_context(contextlib.closing(tunnel))
            continue
        client = stack.enter_context(contextlib.closing(Lane(way, "h1").connect()))
        path = f"{site.configmaps}?watch=true&fieldSelector=metadata.name%3Dsmall&timeoutSeconds={SILENCE_S}"
        Watcher(client, path)  # type: ignore[arg-type]
