"""`kubetape bench` as a person runs it: what it asks, what it refuses, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.http_client import connect_http1
from benchmarks.processes import start_standin
from benchmarks.side_by_side.figures import summarize
from benchmarks.side_by_side.result import Result as Measured
from benchmarks.side_by_side.result import Run, Series, write_result
from gateway.cli.bench import bench
from gateway.upstream.credentials import load_kubeconfig

APPEAR_TIMEOUT_S = 60


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments])


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    def series(lane: str, p50_ms: float) -> Series:
        return Series("calls", "get 3 KB", lane, [Run(p50_ms, p50_ms, p50_ms, p50_ms, 9)], [p50_ms] * 101)

    found = [series("direct", 0.5), series("kubectl proxy", 0.7), series("kubetape balanced", 1.5)]
    path = tmp_path / "result.json"
    write_result(path, Measured(series=found, summary=summarize(found)))
    return path


def test_a_file_written_before_is_shown(measured: Path) -> None:
    shown = run("--read", measured)
    assert shown.exit_code == 0
    assert "kubetape balanced" in shown.output
    assert "+1.00" in shown.output


def test_check_fails_when_a_target_is_missed(measured: Path) -> None:
    shown = run("--read", measured, "--check")
    assert shown.exit_code == 1
    assert "MISSED" in shown.output
    assert run("--read", measured, "--targets").exit_code == 0


def test_pictures_are_drawn(measured: Path, tmp_path: Path) -> None:
    assert run("--read", measured, "--plot", tmp_path / "plots").exit_code == 0
    assert (tmp_path / "plots" / "added-calls.svg").read_bytes().startswith(b"<svg")


def test_two_files_are_compared(measured: Path) -> None:
    shown = run("--compare", measured, measured)
    assert shown.exit_code == 0
    assert "+0.0%" in shown.output


def test_what_is_no_result_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("no")
    shown = run("--read", tmp_path / "no.json")
    assert shown.exit_code == 1
    assert len(shown.output.splitlines()) == 1
    assert "no result of a benchmark" in shown.output


def test_a_result_that_could_not_be_written_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    shown = run("--quick", "--json", tmp_path / "nowhere" / "result.json")
    assert shown.exit_code == 2
    assert "cannot be written" in shown.output


def test_reading_and_comparing_at_once_is_wrong_usage(measured: Path) -> None:
    assert run("--read", measured, "--compare", measured, measured).exit_code == 2


def test_a_cluster_of_the_user_is_not_touched_without_a_yes(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("{}")
    shown = run("--kubeconfig", tmp_path / "config")
    assert shown.exit_code == 2
    assert "Say so with --yes" in shown.output


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind_on_the_cluster(tmp_path: Path) -> None:
    with ExitStack() as stack:
        kubeconfig = start_standin(stack).kubeconfig
        client = connect_http1(load_kubeconfig(kubeconfig))
        stack.callback(client.close)
        command = [sys.executable, "-m", "gateway.cli", "bench", "--quick", "--yes", "--way", "kubetape"]
        command += ["--kubeconfig", str(kubeconfig)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
        )
        stack.callback(process.kill)
        deadline = time.monotonic() + APPEAR_TIMEOUT_S
        while not (found := namespaces(client.fetch("/api/v1/namespaces"))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(found) == 1
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=APPEAR_TIMEOUT_S)
        assert process.returncode == 130
        assert b"Traceback" not in said
        assert namespaces(client.fetch("/api/v1/namespaces")) == []


def heed_interrupts() -> None:
    """As for a command at a terminal: tests that run in the background have SIGINT ignored, and so would it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def namespaces(listed: bytes) -> list[str]:
    names = [one["metadata"]["name"] for one in json.loads(listed)["items"]]
    return [name for name in names if name.startswith("kubetape-bench-")]
