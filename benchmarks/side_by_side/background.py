"""What a way still does after it has answered everything, in processes of low priority: waited for, and counted."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.side_by_side.ways import BACKGROUND, Lane, Way

REST_LOOK_S: Final = 0.4
REST_PATIENCE_S: Final = 20.0
RESTING_CORES: Final = 0.05

Spent = Mapping[str, Mapping[str, float]]
"""Way -> background process -> seconds of CPU."""


def wait_for_rest(*ways: Way) -> None:
    """Return when the background processes of all these ways have next to nothing left to do."""
    deadline = time.monotonic() + REST_PATIENCE_S
    before = [sum(_cpu_s(way).values()) for way in ways]
    while any(before) and time.monotonic() < deadline:
        time.sleep(REST_LOOK_S)
        now = [sum(_cpu_s(way).values()) for way in ways]
        if (
            max(later - earlier for earlier, later in zip(before, now, strict=True))
            < RESTING_CORES * REST_LOOK_S
        ):
            return
        before = now


def background_at_rest(lanes: Sequence[Lane]) -> Spent:
    """What all backgrounds have spent so far, once they are at rest."""
    ways = {lane.way.name: lane.way for lane in lanes}
    wait_for_rest(*ways.values())
    return {name: _cpu_s(way) for name, way in ways.items()}


def background_of_each(lanes: Sequence[Lane], before: Spent, units: Mapping[str, int]) -> Spent:
    """Since `before`, to its end, per unit of work. units: by lane; all lanes of a way bear alike."""
    shares: dict[str, dict[str, float]] = {}
    for name, spent in background_at_rest(lanes).items():
        count = max(1, sum(units[lane.name] for lane in lanes if lane.way.name == name))
        shares[name] = {role: (now - before[name].get(role, 0.0)) / count for role, now in spent.items()}
    return shares


def _cpu_s(way: Way) -> dict[str, float]:
    return {role: spent for role, spent in way.cpu_s().items() if role in BACKGROUND}
