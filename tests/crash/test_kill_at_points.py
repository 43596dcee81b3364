"""K2: the gateway dies at every named point of its protocol once; the long run takes each of them twenty times."""

import random
import sys
from pathlib import Path

import pytest

from tests.crash.failpoints import Point
from tests.crash.kill_at_points import run
from tests.crash.points import POINTS

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def test_no_point_of_the_protocol_is_a_bad_moment_to_die(tmp_path: Path) -> None:
    seed = random.randrange(1, 1 << 30)
    report = run(tmp_path / "rig", 1, seed)
    print(f"seed {seed}: {len(POINTS)} points, {report}", file=sys.stderr)
    assert report.faults == [], f"seed {seed}, artifacts in {tmp_path}: {report}"
    assert report.unknown > 0


def test_a_point_that_is_never_reached_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.crash.kill_at_points.REACHED_S", 2.0)
    never = Point("intent-reserved", "", "gateway.tape:Tape.intent", most=10**9)
    report = run(tmp_path / "rig", 1, 1, (never,))
    assert [fault for fault in report.faults if "was not reached" in fault]
