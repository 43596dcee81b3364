"""The layers below the gateway answer as it does, so that what lies between them is what it does more."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("work", ["get", "echo", "start"])
def test_every_layer_is_asked_and_has_its_row(work: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.limit", "--rounds", "2", "--only", work],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = [re.split(r"  +| (?=\d)", line)[0] for line in done.stdout.splitlines()[1:]]
    assert [name for name in names if name != "kubectl proxy"] == [
        "direct",
        "relay of bytes",
        "relay of HTTP",
        "kubetape relaxed",
        "kubetape balanced",
    ]
