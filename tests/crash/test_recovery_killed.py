"""K14: the gateway dies while it recovers from its last death, five deep, at chosen points and at random moments."""

import dataclasses
import random
import sys
import time
from pathlib import Path

import pytest

from tests.crash.failpoints import Point
from tests.crash.kill_at_points import PointLane
from tests.crash.points import by_name
from tests.crash.processes import Oracle

pytestmark = [pytest.mark.crash, pytest.mark.slow]

DEEP = ("frame-torn", "examining", "setting-aside", "torn-renamed", "recovery-said", "recovered-renamed")
"""In the order in which a start comes to them; each finds what the one before left."""
RANDOM_KILLS = 5
LONGEST_START_S = 0.8


def alone(name: str) -> Point:
    return dataclasses.replace(by_name(name), behind="")


class DeepLane(PointLane):
    """After the points: lives killed while they start, whenever that is."""

    def life(self) -> None:
        if self.rounds <= len(DEEP):
            super().life()
            return
        self.gateway.spawn()
        time.sleep(0.1 + self.rng.random() * LONGEST_START_S)
        self.gateway.kill()


def test_a_recovery_that_is_killed_again_and_again_takes_nothing_and_repeats_nothing(
    tmp_path: Path, oracle: Oracle
) -> None:
    seed = random.randrange(1, 1 << 30)
    lane = DeepLane("deep", tmp_path / "lane", oracle, seed, [alone(name) for name in DEEP])
    lane.run(len(DEEP) + RANDOM_KILLS)
    report = lane.compare(oracle)
    print(f"seed {seed}: {report}", file=sys.stderr)
    assert report.faults == [], f"seed {seed}, artifacts in {tmp_path}: {report}"
    assert report.torn >= 1
    assert len(list(lane.gateway.log.glob("*.torn"))) >= 1
