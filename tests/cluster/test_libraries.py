"""The Python and the Node client on a real cluster, through the gateway, each step in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.programs import NODE_CLIENT, find_node
from tests.cluster.gateways import MODES, Front
from tests.cluster.scene import Scene
from tests.cluster.surroundings import why_not

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

HERE = Path(__file__).parent
DEADLINE_S = 60

OpenFront = Callable[[str], Front]


@pytest.mark.parametrize("step", ["rest", "watch", "logs", "exec", "exec-stdin", "port-forward"])
@pytest.mark.parametrize("mode", MODES)
def test_python_client_can(scene: Scene, open_front: OpenFront, tmp_path: Path, mode: str, step: str) -> None:
    pytest.importorskip("kubernetes", reason="the Python client is not installed")
    program: list[str | Path] = [sys.executable, HERE / "python_client.py"]
    _run([*program, open_front(mode).member, scene.namespace, step], tmp_path)


@pytest.mark.skipif(find_node() is None, reason="no Node client here: run tests/clients/install")
@pytest.mark.parametrize("step", ["rest", "watch", "logs", "exec"])
@pytest.mark.parametrize("mode", MODES)
def test_node_client_can(scene: Scene, open_front: OpenFront, tmp_path: Path, mode: str, step: str) -> None:
    program: list[str | Path] = [find_node() or "", HERE / "node_client.mjs", NODE_CLIENT]
    _run([*program, open_front(mode).member, scene.namespace, step], tmp_path)


def _run(command: list[str | Path], scratch: Path) -> None:
    inherited = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    environ = inherited | {"HOME": str(scratch)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_S, cwd=scratch, env=environ
    )
    assert done.returncode == 0, done.stderr[-4000:]
