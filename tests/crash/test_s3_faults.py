"""K11 and K12, the quick round: see s3_faults.py, whose command line runs the thousand."""

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.crash.s3_faults import run
from tests.kit.strict_s3 import credentials

SEGMENTS = int(os.environ.get("KUBETAPE_CRASH_SEGMENTS", "80"))
SEED = int(os.environ.get("KUBETAPE_CRASH_SEED", "20261123"))


@pytest.mark.crash
@pytest.mark.slow
def test_two_gateways_that_are_killed_export_each_segment_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials(monkeypatch.setenv)
    trio.run(run, tmp_path, SEGMENTS, 0.2, SEED, clock=trio.testing.MockClock())
    assert "each exactly once" in capsys.readouterr().out
