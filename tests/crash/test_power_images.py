"""K3: power cuts. A real ext4 whose image is copied under a writer and under a gateway, and, everywhere, every
disk that a gateway's own writes and syncs allow. Ten and thirty images here; the long runs take 500 of each."""

import random
import sys
from pathlib import Path

import pytest

from tests.crash.image_disk import need_image_disk
from tests.crash.power_cut import CutReport, cut_gateway, cut_writer
from tests.crash.processes import Oracle
from tests.crash.write_images import check_images, run, write_under_load

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def test_a_cut_under_a_writer_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seed, report = random.randrange(1, 1 << 30), CutReport()
    with need_image_disk(tmp_path / "power") as disk:
        cut_writer(disk, 0, random.Random(seed), report)
    print(f"seed {seed}: log writer: {report}", file=sys.stderr)
    assert report.faults == [], f"seed {seed}"
    assert report.acknowledged > 100 * report.images


def test_a_cut_under_a_gateway_costs_nothing_that_was_answered(tmp_path: Path, oracle: Oracle) -> None:
    seed, report = random.randrange(1, 1 << 30), CutReport()
    with need_image_disk(tmp_path / "power") as disk:
        cut_gateway(disk, 0, random.Random(seed), report, oracle, tmp_path / "gateway.err")
    print(f"seed {seed}: gateway, strict: {report}", file=sys.stderr)
    assert report.faults == [], f"seed {seed}"
    assert report.acknowledged > report.images


def test_whatever_a_disk_makes_of_unsynced_writes_nothing_answered_is_lost(tmp_path: Path) -> None:
    seed = random.randrange(1, 1 << 30)
    report = run(tmp_path / "rig", 30, seed, load_s=1.0)
    print(f"seed {seed}: gateway, strict: {report}", file=sys.stderr)
    assert report.faults == [], f"seed {seed}, artifacts in {tmp_path}"
    assert report.acknowledged > 30 * report.images


def test_a_gateway_that_waits_for_no_disk_is_caught(tmp_path: Path, oracle: Oracle) -> None:
    """The rig can fail: with `durability: relaxed` a cut takes what clients had been told."""
    report = CutReport()
    scene = write_under_load("relaxed", tmp_path / "life", oracle, 1, load_s=0.5, durability="relaxed")
    check_images(scene, tmp_path / "life" / "notes", 20, random.Random(1), report)
    assert any("INV1" in fault or "INV2" in fault for fault in report.faults), report
