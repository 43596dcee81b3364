"""K9: orderly ends, double starts, and a process that stands still for a while."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.ledger import SECRET
from tests.crash.processes import GatewayProcess, Oracle, eventually, is_running
from tests.crash.scene import Scene

pytestmark = [pytest.mark.crash, pytest.mark.slow]

LOAD = ("read", "secret", "write", "write", "watch", "exec", "terminal")
DRAIN_S = 10.0
STOPPED_S = 10.0


def under_load(make_scene: Callable[..., Scene], *more: str, **options: object) -> Scene:
    scene = make_scene(**options)
    scene.gateway.start()
    scene.load(*LOAD, *more)
    eventually(lambda: len(scene.ledger.finished()) > 20, 20.0, "calls are served")
    eventually(
        lambda: any(call.kind == "exec" and call.received for call in scene.ledger.calls), 10.0, "a terminal"
    )
    return scene


def test_sigterm_under_load_drains_seals_and_leaves_no_call_without_an_outcome(
    make_scene: Callable[..., Scene],
) -> None:
    scene = under_load(make_scene, "quiet", drain_seconds=3)
    keepers = scene.gateway.keeper_pids()
    began_s = time.monotonic()
    scene.gateway.signal(signal.SIGTERM)
    assert scene.gateway.wait(DRAIN_S) == 0
    print(
        f"figures: drained and sealed in {time.monotonic() - began_s:.1f} s, {len(scene.ledger.calls)} calls"
    )
    scene.ledger.kills_ns.append(time.time_ns())
    scene.stop_load()
    assert not any(map(is_running, keepers))
    assert list(scene.gateway.log.glob("*.open")) == []
    assert list(scene.gateway.log.glob("*.kseg")) != []
    log = scene.log()
    assert (log.starts, log.orderly_ends, log.recovered) == (1, 1, [])
    assert [exchange.intent for exchange in log.unknown()] == []
    terminal = next(call for call in scene.ledger.calls if ".terminal/" in call.agent)
    assert "shutting down" in terminal.problem
    watch = next(call for call in scene.ledger.calls if ".quiet/" in call.agent)
    assert b'"type":"ERROR"' in watch.received
    assert b"shutting down" in watch.received
    assert "\n".join(scene.faults()) == ""


def test_a_second_sigterm_ends_the_drain_at_once_and_still_seals(make_scene: Callable[..., Scene]) -> None:
    scene = under_load(make_scene, drain_seconds=60)
    scene.gateway.signal(signal.SIGTERM)
    eventually(lambda: scene.gateway.journal("draining"), 5.0, "the drain begins")
    time.sleep(0.5)
    assert scene.gateway.poll() is None, "the terminal keeps the drain waiting"
    scene.gateway.signal(signal.SIGTERM)
    scene.gateway.wait(3.0)
    scene.ledger.kills_ns.append(time.time_ns())
    scene.stop_load()
    assert list(scene.gateway.log.glob("*.open")) == []
    assert [exchange.intent for exchange in scene.log().unknown()] == []
    assert "\n".join(scene.faults()) == ""


def test_a_second_gateway_on_the_same_data_directory_refuses_to_start(
    make_scene: Callable[..., Scene], oracle: Oracle, tmp_path: Path
) -> None:
    scene = under_load(make_scene)
    kubeconfig = scene.gateway.kubeconfig.read_bytes()
    second = GatewayProcess(scene.gateway.data_dir, oracle, tmp_path / "second.err")
    second.spawn()
    try:
        assert second.wait(20.0) == 1
    finally:
        second.kill()
    said = second.said().strip()
    assert said.lower().startswith("error: ")
    assert "is written by another process: stop it" in said
    assert "\n" not in said
    assert scene.gateway.kubeconfig.read_bytes() == kubeconfig
    assert scene.call("GET", SECRET, 1).status == 200
    scene.stop_load()
    assert "\n".join(scene.faults()) == ""


def test_a_gateway_that_was_stopped_for_a_while_loses_nothing(make_scene: Callable[..., Scene]) -> None:
    scene = under_load(make_scene)
    scene.gateway.signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    stopped_until_ns = time.time_ns()
    scene.gateway.signal(signal.SIGCONT)
    eventually(
        lambda: any(call.finished_ns > stopped_until_ns for call in scene.ledger.calls),
        5.0,
        "it serves again",
    )
    time.sleep(0.5)
    scene.stop_load()
    broken = [call for call in scene.ledger.calls if not call.finished_ns]
    assert broken == [], "nobody's call broke"
    assert scene.gateway.readyz()[0] == 200
    assert "\n".join(scene.faults()) == ""
