"""The Python and the Node client against every target, each step in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.programs import HERE, NODE_CLIENT, find_node
from tests.clients.targets import TARGETS, Target

pytestmark = [pytest.mark.clients, pytest.mark.slow]

DEADLINE_S = 90

OpenTarget = Callable[[str], Target]


def _run(command: list[str | Path], scratch: Path) -> None:
    inherited = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=scratch,
        env=inherited | {"HOME": str(scratch)},
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("step", ["rest", "watch", "logs", "exec", "exec-stdin", "port-forward"])
@pytest.mark.parametrize("target", TARGETS)
def test_python_client_can(open_target: OpenTarget, tmp_path: Path, target: str, step: str) -> None:
    pytest.importorskip("kubernetes", reason="the Python client is not installed")
    _run([sys.executable, HERE / "python" / "run.py", open_target(target).kubeconfig, step], tmp_path)


@pytest.mark.skipif(find_node() is None, reason="no Node client here: run tests/clients/install")
@pytest.mark.parametrize("step", ["list", "watch", "logs", "exec", "exec-stdin", "port-forward"])
@pytest.mark.parametrize("target", TARGETS)
def test_node_client_can(open_target: OpenTarget, tmp_path: Path, target: str, step: str) -> None:
    node = find_node()
    assert node
    _run([node, HERE / "node" / "run.mjs", NODE_CLIENT, open_target(target).kubeconfig, step], tmp_path)
