"""K1: kill -9 of the whole gateway under load, many lives on one data directory.

KUBETAPE_CRASH_ROUNDS and KUBETAPE_CRASH_SEED change the run; a failure names its seed and keeps its directory.
"""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.crash.rig import run

pytestmark = [pytest.mark.crash, pytest.mark.slow]

ROUNDS = int(os.environ.get("KUBETAPE_CRASH_ROUNDS", "50"))
SEED = int(os.environ.get("KUBETAPE_CRASH_SEED", "0")) or random.randrange(1, 1 << 30)


def test_no_call_escapes_the_record_however_often_the_gateway_is_killed(tmp_path: Path) -> None:
    report = run(tmp_path / "rig", ROUNDS, SEED)
    print(f"seed {SEED}: {report}", file=sys.stderr)
    assert report.faults == [], f"seed {SEED}, artifacts in {tmp_path}: {report}"
    assert report.finished_class_1 > 5 * ROUNDS, f"seed {SEED}: hardly any load: {report}"
    assert report.unknown > 0, f"seed {SEED}: nothing was under way at any kill: {report}"


def test_a_gateway_that_waits_for_no_disk_is_caught(tmp_path: Path) -> None:
    """The rig can fail: with `durability: relaxed` a kill takes the last 50 ms of records."""
    report = run(tmp_path / "rig", 16, 4, durability="relaxed")
    assert any(fault.startswith(("INV1", "INV2")) for fault in report.faults), report
