"""The targets of the project, each with the figure of a Result that answers it: met, missed, or not measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.side_by_side.figures import PROXY, find_summary, median_by_role, median_or_none
from benchmarks.side_by_side.result import GET, Result, Summary
from benchmarks.side_by_side.stream_client import TRANSPORTS

KUBETAPE: Final = "kubetape balanced"
LOADED_CONNECTIONS: Final = 16


@dataclass(frozen=True)
class Measured:
    """value: what the target is about. shown: more words on it."""

    value: float
    shown: str


@dataclass(frozen=True)
class Target:
    """limit: the value may be at most that; with `least`, at least. stretch: wished for, not promised."""

    what: str
    limit: float
    unit: str
    measured: Callable[[Result], Measured | None]
    least: bool = False
    stretch: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit


def added_ratio(lane: str, peer: str, percentile: str) -> Callable[[Result], Measured | None]:
    """Added over direct, by what a peer adds."""

    def measured(result: Result) -> Measured | None:
        ours, theirs = find_summary(result, GET, lane), find_summary(result, GET, peer)
        if ours is None or theirs is None:
            return None
        mine: float = getattr(ours, f"added_{percentile}_ms")
        peers: float = getattr(theirs, f"added_{percentile}_ms")
        if peers <= 0:
            return None
        return Measured(mine / peers, f"+{mine:.2f} ms against +{peers:.2f} ms of {peer}")

    return measured


def mutation(result: Result) -> Measured | None:
    found = []
    for step in ("create", "delete"):
        ours, proxy = find_summary(result, step, KUBETAPE), find_summary(result, step, PROXY)
        if ours is None or proxy is None:
            return None
        found.append((ours.p50_ms - proxy.p50_ms, step, ours.p50_ms, proxy.p50_ms))
    over, step, ours_ms, proxy_ms = max(found)
    return Measured(over, f"{step}: {ours_ms:.2f} ms against {proxy_ms:.2f} ms of {PROXY}")


def whole_run(step: str) -> Callable[[Result], Measured | None]:
    def measured(result: Result) -> Measured | None:
        ours, direct = find_summary(result, step, KUBETAPE), find_summary(result, step, "direct")
        if ours is None or direct is None:
            return None
        return Measured(ours.p50_ms / direct.p50_ms, f"{ours.p50_ms:.1f} ms against {direct.p50_ms:.1f} ms")

    return measured


def worst_of(
    steps: tuple[str, ...], figure: Callable[[Summary], float], unit: str
) -> Callable[[Result], Measured | None]:
    """The highest figure of several steps of kubetape."""

    def measured(result: Result) -> Measured | None:
        found = [one for step in steps if (one := find_summary(result, step, KUBETAPE)) is not None]
        if len(found) < len(steps):
            return None
        return Measured(
            max(map(figure, found)), "; ".join(f"{one.step}: {figure(one):.2f} {unit}" for one in found)
        )

    return measured


def cpu_in_turns(lane: str, *steps: str) -> Callable[[Result], Measured | None]:
    """Of the dearest of several steps, of which a way does some and rests while others do theirs."""
    return _cpu_of_dearest(
        lane,
        steps,
        lambda result, step, way: one.cpu_ms if (one := find_summary(result, step, way)) else None,
    )


def cpu_under_load(lane: str, *steps: str) -> Callable[[Result], Measured | None]:
    """Of the dearest of several steps, of which a way does one after the other without a pause."""
    return _cpu_of_dearest(lane, steps, _loaded_cpu_ms)


def _loaded_cpu_ms(result: Result, step: str, lane: str) -> dict[str, float] | None:
    for one in result.loads:
        if (one.step, one.lane) == (step, lane) and (step != GET or one.connections == LOADED_CONNECTIONS):
            return median_by_role(run.cpu_ms for run in one.runs)
    return None


def _cpu_of_dearest(
    lane: str, steps: tuple[str, ...], cpu_ms: Callable[[Result, str, str], dict[str, float] | None]
) -> Callable[[Result], Measured | None]:
    def measured(result: Result) -> Measured | None:
        found = [(sum(spent.values()), step) for step in steps if (spent := cpu_ms(result, step, lane))]
        if len(found) < len(steps):
            return None
        dearest, step = max(found)
        peers = (PROXY, "haproxy h2" if lane.endswith(" h2") else "haproxy")
        theirs = [
            f"{peer} {sum(spent.values()):.2f}" for peer in peers if (spent := cpu_ms(result, step, peer))
        ]
        shown = "; ".join([_roles(cpu_ms(result, step, lane) or {}), *theirs])
        return Measured(dearest, f"{step}: {shown}" if len(steps) > 1 else shown)

    return measured


def slowest_stream(result: Result) -> Measured | None:
    found = [
        (per_core, one.step)
        for one in result.transfers
        if one.lane == KUBETAPE
        and one.step != "kubectl cp"
        and (per_core := median_or_none(one.runs)) is not None
    ]
    if not found:
        return None
    return Measured(min(found)[0], "; ".join(f"{step}: {per_core:.0f}" for per_core, step in sorted(found)))


def idle(what: str) -> Callable[[Result], Measured | None]:
    def measured(result: Result) -> Measured | None:
        for one in result.idle:
            if (one.what, one.lane) == (what, KUBETAPE):
                kib = median_by_role(one.kib)
                return Measured(sum(kib.values()), _roles(kib))
        return None

    return measured


def micro(benchmark: str, figure: str) -> Callable[[Result], Measured | None]:
    """A figure that another benchmark left in the same file (python -m benchmarks.micro)."""

    def measured(result: Result) -> Measured | None:
        found = result.micro.get(benchmark)
        value = found.get(figure) if isinstance(found, dict) else None
        return Measured(float(value), f"benchmarks.{benchmark}") if isinstance(value, int | float) else None

    return measured


def two_workers(result: Result) -> Measured | None:
    """What two workers carry on cores of their own, by the CPU of a call: clients and API server share these here."""
    found = result.micro.get("workers")
    rows = found.get("results", []) if isinstance(found, dict) else []
    capacity = {(row["connections"], row["workers"]): row["capacity"] for row in rows}
    times = {
        connections: capacity[connections, 2] / capacity[connections, 1]
        for connections, workers in capacity
        if workers == 2 and (connections, 1) in capacity
    }
    if not times:
        return None
    return Measured(
        min(times.values()), "; ".join(f"{one} connections: {times[one]:.2f}" for one in sorted(times))
    )


_ECHOES: Final = tuple(f"exec echo, {transport}" for transport in TRANSPORTS)
_STARTS: Final = tuple(f"exec start, {transport}" for transport in TRANSPORTS)

TARGETS: Final = (
    Target(
        "added p50 of a GET / kubectl proxy's, HTTP/1.1",
        0.9,
        "x",
        added_ratio(KUBETAPE, PROXY, "p50"),
    ),
    Target(
        "added p50 of a GET / kubectl proxy's, HTTP/2", 0.9, "x", added_ratio(f"{KUBETAPE} h2", PROXY, "p50")
    ),
    Target(
        "added p50 of a GET / HAProxy's, HTTP/1.1",
        1.0,
        "x",
        added_ratio(KUBETAPE, "haproxy", "p50"),
        stretch=True,
    ),
    Target("added p99 of a GET / kubectl proxy's, HTTP/1.1", 1.0, "x", added_ratio(KUBETAPE, PROXY, "p99")),
    Target(
        "added p99 of a GET / kubectl proxy's, HTTP/2", 1.0, "x", added_ratio(f"{KUBETAPE} h2", PROXY, "p99")
    ),
    Target("durable mutation p50 over kubectl proxy's", 1.0, "ms", mutation),
    Target("whole kubectl get / direct", 1.0, "x", whole_run("kubectl get")),
    Target("whole kubectl exec true / direct", 1.0, "x", whole_run("kubectl exec true")),
    Target("exec echo, added p50", 0.3, "ms", worst_of(_ECHOES, lambda one: one.added_p50_ms, "ms")),
    Target("exec echo, added p99", 2.0, "ms", worst_of(_ECHOES, lambda one: one.added_p99_ms, "ms")),
    Target("CPU per recorded GET of 3 KB in turns, HTTP/1.1", 0.8, "ms", cpu_in_turns(KUBETAPE, GET)),
    Target("CPU per recorded GET of 3 KB in turns, HTTP/2", 0.8, "ms", cpu_in_turns(f"{KUBETAPE} h2", GET)),
    Target("CPU per recorded GET of 3 KB under load, HTTP/1.1", 0.8, "ms", cpu_under_load(KUBETAPE, GET)),
    Target(
        "CPU per recorded GET of 3 KB under load, HTTP/2", 0.8, "ms", cpu_under_load(f"{KUBETAPE} h2", GET)
    ),
    Target("CPU per exec start in turns", 3.0, "ms", cpu_in_turns(KUBETAPE, *_STARTS)),
    Target("CPU per exec start under load", 3.0, "ms", cpu_under_load(KUBETAPE, *_STARTS)),
    Target("stream recording per core", 150.0, "MB/s", slowest_stream, least=True),
    Target("2 workers / 1 worker", 1.7, "x", two_workers, least=True),
    Target("memory of an idle watch", 100.0, "KiB", idle("watch")),
    Target("memory of an idle exec", 200.0, "KiB", idle("exec")),
    Target("stored bytes per kubectl call", 1500.0, "B", micro("stored_bytes", "log_bytes_per_call")),
)


def judge(result: Result) -> Iterator[tuple[str, bool]]:
    """A line for each target, and whether a promise was missed."""
    yield f"{'target':55} {'limit':>13} {'measured':>10}", False
    for target in TARGETS:
        sign = ">=" if target.least else "<="
        limit = f"{sign} {target.limit:g} {target.unit}"
        found = target.measured(result)
        if found is None:
            yield f"{target.what:55} {limit:>13} {'-':>10}  not measured", False
            continue
        met = target.is_met(found.value)
        verdict = "met" if met else "not yet (stretch)" if target.stretch else "MISSED"
        yield (
            f"{target.what:55} {limit:>13} {found.value:10.2f}  {verdict:8} {found.shown}",
            not met and not target.stretch,
        )


def _roles(figures: dict[str, float]) -> str:
    return " + ".join(f"{role} {value:.2f}" for role, value in figures.items())
