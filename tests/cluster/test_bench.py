"""`kubetape bench --kubeconfig` on a real cluster: all kinds of streams work, and nothing of it is left, also after Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from benchmarks.side_by_side.result import Result
from tests.clients.targets import ROOT
from tests.cluster.scene import Scene
from tests.cluster.surroundings import IMAGE, admin_kubeconfig, why_not

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

DEADLINE_S = 240
OURS = ("get", "namespace", "-l", "kubetape-bench=true", "-o", "name")


def test_streams_are_measured_and_the_namespace_is_gone(scene: Scene, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    with _bench(tmp_path, "--only", "exec", "--only", "transfers", "--json", str(found)) as running:
        _, errors = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0, errors
    result = msgspec.json.decode(found.read_bytes(), type=Result)
    steps = {(one.step, one.lane) for one in result.transfers} | {
        (one.step, one.lane) for one in result.series
    }
    wanted = ("exec start, spdy", "exec echo, spdy", "copy in, spdy", "copy out, spdy", "port-forward, spdy")
    assert steps >= {(step, lane) for step in wanted for lane in ("direct", "kubetape balanced")}
    _is_clean(scene, tmp_path)


@pytest.mark.parametrize("mark", ["making a namespace", "starting the ways", "exec"])
def test_after_ctrl_c_nothing_is_left(scene: Scene, tmp_path: Path, mark: str) -> None:
    with _bench(tmp_path, "--only", "exec") as running:
        assert running.stderr
        while mark not in (line := running.stderr.readline()):
            assert line, f"it ended before {mark!r}"
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: all of them
        running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 130
    _is_clean(scene, tmp_path)


@contextmanager
def _bench(scratch: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """A process group of its own, whose temporary files are in scratch."""
    (scratch / "tmp").mkdir()
    command = [sys.executable, "-m", "gateway.cli", "bench", "--quick", "--yes", "--mib", "16"]
    command += ["--kubeconfig", str(admin_kubeconfig()), "--image", IMAGE, "--way", "kubetape", *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch / "tmp")},
        start_new_session=True,
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


def _is_clean(scene: Scene, scratch: Path) -> None:
    if names := scene.admin.run(*OURS).text.split():
        scene.admin.run("wait", "--for=delete", "--timeout=50s", *names)
    assert list((scratch / "tmp").iterdir()) == []
