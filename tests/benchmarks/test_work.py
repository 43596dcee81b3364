"""The gate on counted work, in its short form: real calls and an exec, counted and compared with the baseline.

`make gate` does all operations.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.work.__main__ import BASELINES, PYTHON

ROOT = Path(__file__).parent.parent.parent


def count(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own: other tests leave caches behind."""
    command = [sys.executable, "-m", "benchmarks.work", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.skipif(
    not (BASELINES / f"work-{PYTHON}.json").exists(), reason=f"no baseline is kept for Python {PYTHON}"
)
@pytest.mark.parametrize("operation", ["get", "post", "exec start"])
def test_a_call_does_no_more_work_than_its_baseline_says(operation: str) -> None:
    done = count(*operation.split())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_call_that_became_dearer_fails_the_gate(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    assert count("get", "http1", "--share", "0.1", "--update", "--baseline", str(baseline)).returncode == 0
    cheaper = baseline.read_text().replace('"records": 4.0', '"records": 3.0')
    baseline.write_text(cheaper)
    done = count("get", "http1", "--share", "0.1", "--baseline", str(baseline))
    assert done.returncode == 1
    assert "WORSE" in done.stdout
    assert "make gate-update" in done.stdout


@pytest.mark.slow
def test_without_a_baseline_the_gate_says_how_to_make_one(tmp_path: Path) -> None:
    done = count("exec", "start", "spdy", "--share", "0.05", "--baseline", str(tmp_path / "none.json"))
    assert done.returncode == 3
    assert "make one with `make gate-update`" in done.stderr


def test_an_operation_that_does_not_exist_is_answered_with_those_that_do() -> None:
    done = count("no", "such", "thing")
    assert done.returncode == 4
    assert done.stderr.startswith("no such operation; there are: get http1, post http1")
