"""A Result -> pictures: added latency by way, distributions, CPU by process. The file names stay the same."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.side_by_side.result import Result, Series, Summary
from benchmarks.side_by_side.svg import Picture, colour_of, ticks

WIDTH: Final = 900
LEFT: Final = 210
RIGHT: Final = 90
BAR: Final = 13
CURVES: Final = ("get 3 KB", "create", "exec echo, spdy", "exec echo, websocket", "kubectl get")
SCALE_SHARE: Final = 95
"""Curves are cut where the slowest way has answered so many of a hundred: a stall would flatten all that is left of it."""

Parts = Callable[[Summary], dict[str, float]]


def draw(result: Result) -> dict[str, bytes]:
    """File name -> SVG."""
    calls = [one for one in result.summary if one.group in ("calls", "watch") and one.step != "list 5 MB"]
    others = [one for one in result.summary if one.group == "exec"]
    pictures = {
        "added-calls.svg": _bars("Added over direct, p50, ms: calls and watches", calls, _added),
        "added-exec.svg": _bars("Added over direct, p50, ms: exec", others, _added),
        "cpu-calls.svg": _bars("CPU by process, ms each: calls and watches", calls, lambda one: one.cpu_ms),
        "cpu-exec.svg": _bars("CPU by process, ms each: exec", others, lambda one: one.cpu_ms),
    }
    for step in CURVES:
        found = [one for one in result.series if one.step == step]
        if found:
            name = step.replace(",", "").replace(" ", "-").lower()
            pictures[f"cdf-{name}.svg"] = _curves(f"Share of answers within a time: {step}", found)
    return pictures


def write_plots(result: Result, directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in draw(result).items():
        (directory / name).write_bytes(picture)
        written.append(directory / name)
    return written


def _added(one: Summary) -> dict[str, float]:
    return {one.lane: max(0.0, one.added_p50_ms)}


def _bars(title: str, summaries: Sequence[Summary], parts: Parts) -> bytes:
    """Horizontal bars, grouped by step; a bar of several parts is stacked."""
    shown = [one for one in summaries if one.lane != "direct"]
    steps = list(dict.fromkeys(one.step for one in shown))
    height = 70 + len(shown) * (BAR + 3) + len(steps) * 26
    picture = Picture(WIDTH, height, title)
    highest = max((sum(parts(one).values()) for one in shown), default=0.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / highest
    for value in ticks(highest):
        x = LEFT + value * scale
        picture.line([(x, 40), (x, height - 24)], "#e5e7eb")
        picture.text(x, height - 8, f"{value:g}", anchor="middle")
    y = 40.0
    for step in steps:
        y += 22
        picture.text(16, y - 4, step, size=13)
        for one in (one for one in shown if one.step == step):
            picture.text(LEFT - 8, y + BAR - 3, one.lane, size=11, anchor="end")
            x = float(LEFT)
            for name, value in parts(one).items():
                picture.box(x, y, value * scale, BAR, colour_of(name))
                x += value * scale
            words = " + ".join(f"{value:.2f}" for value in parts(one).values())
            picture.text(x + 5, y + BAR - 3, words, size=11)
            y += BAR + 3
        y += 4
    names = list(dict.fromkeys(name for one in shown for name in parts(one)))
    if "gateway" in names:  # bars by process: the lane beside a bar does not name its parts
        picture.legend(WIDTH - RIGHT, 50, names)
    return picture.encode()


def _curves(title: str, series: Sequence[Series]) -> bytes:
    height, bottom, top = 420, 370, 50
    picture = Picture(WIDTH, height, title)
    highest = max(one.quantiles_ms[SCALE_SHARE] for one in series) or 1.0
    left, right = 60, 220
    scale = (WIDTH - left - right) / highest
    for value in ticks(highest):
        x = left + value * scale
        picture.line([(x, top), (x, bottom)], "#e5e7eb")
        picture.text(x, bottom + 18, f"{value:g}", anchor="middle")
    for share in (0, 25, 50, 75, 90, 100):
        y = bottom - (bottom - top) * share / 100
        picture.line([(left, y), (WIDTH - right, y)], "#e5e7eb")
        picture.text(left - 8, y + 4, f"{share} %", anchor="end")
    for one in series:
        points = [
            (left + value * scale, bottom - (bottom - top) * share / 100)
            for share, value in enumerate(one.quantiles_ms)
            if value <= highest
        ]
        picture.line(points, colour_of(one.lane), 2.0)
    picture.text((left + WIDTH - right) / 2, bottom + 38, "milliseconds", anchor="middle")
    picture.legend(WIDTH - right + 16, top + 10, [one.lane for one in series])
    return picture.encode()
