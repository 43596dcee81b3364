"""A Result -> the tables of docs/performance.md, put between its marks, so that text and raw file cannot drift apart."""

import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.http_client import BenchmarkFailed
from benchmarks.side_by_side.figures import median_by_role, median_of, median_or_none
from benchmarks.side_by_side.result import Result, Summary
from benchmarks.side_by_side.table import limit_of
from benchmarks.side_by_side.targets import TARGETS, Target

BEGIN: Final = "<!-- figures of kubetape bench: begin -->\n"
ROW_LABELS: Final = 2
END: Final = "<!-- figures of kubetape bench: end -->\n"


def rewrite(path: Path, result: Result) -> None:
    """Put the tables of a result between the marks of a file. Raises BenchmarkFailed when it has none."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BenchmarkFailed(
            f"{path}: no place for figures: the lines {BEGIN.strip()} and {END.strip()} are missing"
        )
    path.write_text(before + BEGIN + "\n" + "\n".join(render_markdown(result)) + "\n\n" + END + after)


def render_markdown(result: Result) -> Iterator[str]:
    """Lines of all tables."""
    yield _machine(result)
    yield from ("", "### Targets", "", *_targets(result))
    if result.summary:
        yield from ("", "### Latency and CPU", "", *_series(result))
    if result.transfers:
        yield from ("", "### Copies and port-forward", "", *_transfers(result))
    if result.loads:
        yield from ("", "### Under load", "", *_loads(result))
    if result.idle:
        yield from ("", "### Memory of idle streams", "", *_idle(result))
    if result.micro:
        yield from ("", "### Small benchmarks", "", *_micro(result))
    yield from (line for one in result.skipped for line in ("", f"Left out: {one}."))


def _machine(result: Result) -> str:
    known = result.environment
    others = statistics.median(one.other_cores for one in result.conditions) if result.conditions else 0.0
    changed = " with local changes" if known.get("changed") == "yes" else ""
    return (
        f"Commit {known.get('commit', 'unknown')}{changed}; {known.get('cpu', '')}, "
        f"{known.get('machine', '').partition(', load')[0]}, Linux {known.get('kernel', '')}, "
        f"Python {known.get('python', '')}, kubectl {known.get('kubectl', 'none')}, HAProxy {known.get('haproxy', 'none')}; "
        f"API server: {known.get('API server', '')}. Runs, of which medians are shown: {len(result.conditions)}; "
        f"meanwhile other programs used {others:.2f} cores (median of the runs)."
    )


def _targets(result: Result) -> Iterator[str]:
    yield from _table("what", "target", "measured", "", "in full")
    for target in TARGETS:
        found = target.measured(result)
        sign = "at least" if target.least else "at most"
        value = f"{found.value:.2f} {target.unit}" if found else "-"
        yield _row(
            target.what,
            f"{sign} {target.limit:g} {target.unit}",
            value,
            _verdict(target, found.value if found else None),
            found.shown if found else "",
        )


def _verdict(target: Target, value: float | None) -> str:
    if value is None:
        return "not measured"
    return "met" if target.is_met(value) else "not met (stretch)" if target.stretch else "**missed**"


def _series(result: Result) -> Iterator[str]:
    yield "Milliseconds; added over direct at the same percentile; / proxy: added p50 over that of `kubectl proxy`."
    yield ""
    yield from _table(
        "step", "way", "p50", "p90", "p99", "p50 of runs", "+p50", "+p99", "/ proxy", "CPU ms each"
    )
    step = ""
    for one in result.summary:
        yield _row("" if one.step == step else one.step, *_figures(one))
        step = one.step


def _figures(one: Summary) -> Iterator[str]:
    yield one.lane
    yield from (f"{value:.2f}" for value in (one.p50_ms, one.p90_ms, one.p99_ms))
    yield "{:.2f} to {:.2f}".format(*one.spread_p50_ms)
    yield from (
        "" if one.lane == "direct" else f"{value:+.2f}" for value in (one.added_p50_ms, one.added_p99_ms)
    )
    yield f"{one.ratio_to_proxy:.2f}" if one.ratio_to_proxy is not None else ""
    yield _roles(one.cpu_ms)


def _transfers(result: Result) -> Iterator[str]:
    yield from _table("transfer", "way", "MB/s", "of runs", "MB/s per core", "CPU s per GB")
    for one in result.transfers:
        speeds = [run.mb_per_s for run in one.runs]
        per_core = median_or_none(one.runs)
        yield _row(
            f"{one.step}, {one.mib} MiB",
            one.lane,
            f"{statistics.median(speeds):.0f}",
            f"{min(speeds):.0f} to {max(speeds):.0f}",
            f"{per_core:.0f}" if per_core is not None else "",
            _roles(median_by_role(run.cpu_s_per_gb for run in one.runs)),
        )


def _loads(result: Result) -> Iterator[str]:
    yield "So many at once in a closed loop: each asks again as soon as it is answered."
    yield ""
    yield from _table(
        *("load", "at once", "way", "calls/s", "of runs", "p50 ms", "p99 ms"),
        *("CPU ms each", "cores used", "limit"),
    )
    for one in result.loads:
        rates = [run.calls_per_s for run in one.runs]
        yield _row(
            one.step,
            str(one.connections),
            one.lane,
            f"{statistics.median(rates):.0f}",
            f"{min(rates):.0f} to {max(rates):.0f}",
            f"{median_of(one.runs, 'p50_ms'):.2f}",
            f"{median_of(one.runs, 'p99_ms'):.2f}",
            _roles(median_by_role(run.cpu_ms for run in one.runs)),
            _roles(median_by_role(run.cores for run in one.runs)),
            limit_of(one),
        )


def _idle(result: Result) -> Iterator[str]:
    yield from _table("stream", "way", "count", "KiB each")
    for one in result.idle:
        yield _row(one.what, one.lane, str(one.count), _roles(median_by_role(one.kib), digits=0))


def _micro(result: Result) -> Iterator[str]:
    yield from _table("benchmark", "figure", "value")
    for name, found in result.micro.items():
        shown = name
        for figure, value in flatten(found):
            yield _row(shown, figure, f"{value:g}")
            shown = ""


def flatten(found: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Figures anywhere in what a small benchmark wrote: of a distribution its median, of a comparison its ratio."""
    if isinstance(found, int | float):
        yield path, found
    elif isinstance(found, dict):
        for one in ("ratio", "p50"):
            if one in found:
                yield f"{path}, {one}", found[one]
                return
        for name, inner in found.items():
            yield from flatten(inner, f"{path}, {name}" if path else name)
    elif isinstance(found, list):
        for inner in found:  # rows whose first columns say what they are about
            cells = list(inner.items())
            label = ", ".join(f"{name} {value}" for name, value in cells[:ROW_LABELS])
            yield from flatten(dict(cells[ROW_LABELS:]), f"{path}, {label}" if path else label)


def _table(*headers: str) -> Iterator[str]:
    yield _row(*headers)
    yield "|" + "---|" * len(headers)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _roles(figures: dict[str, float], digits: int = 2) -> str:
    shown: Iterable[str] = (f"{role} {value:.{digits}f}" for role, value in figures.items())
    return ", ".join(shown)
