"""K2 for the keeper: it dies, and the gateway with it, at named points of tree, rows, export and retention. In the end
data directory and bucket together are the log that was written: INV1 to INV4, INV7 to INV11, and verified.

A third of the points, by chance; KUBETAPE_CRASH_POINTS=all takes every one.
"""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.crash.keeper_lane import run
from tests.crash.points import KEEPER_POINTS

pytestmark = [pytest.mark.crash, pytest.mark.slow]

POINTS = len(KEEPER_POINTS) if os.environ.get("KUBETAPE_CRASH_POINTS") == "all" else 8


def test_no_point_of_the_keepers_work_is_a_bad_moment_to_die(tmp_path: Path) -> None:
    seed = random.randrange(1, 1 << 30)
    points = tuple(random.Random(seed).sample(KEEPER_POINTS, POINTS))
    report = run(tmp_path / "rig", 1, seed, points)
    named = ", ".join(point.name for point in points)
    print(f"seed {seed}: {named}: {report}", file=sys.stderr)
    assert report.faults == [], f"seed {seed}, {named}, artifacts in {tmp_path}: {report}"
