"""K6: the disk says EIO once. The gateway latches, says so to everybody, and asks the cluster for nothing more,
even though every later write and sync would succeed."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.clients import SIZES
from tests.crash.invariants import header
from tests.crash.ledger import SECRET, body_of
from tests.crash.processes import eventually
from tests.crash.scene import Scene, journal_ns, status_of
from tests.crash.strace import inject, need_strace

pytestmark = [pytest.mark.crash, pytest.mark.slow]

LOAD = ("read", "secret", "write", "write", "watch", "quiet", "exec", "terminal")
LATCH_S = 1.0
NS = 10**9
IN_FLIGHT_NS = 300_000_000
"""What was sent before the latch is read by a busy API server a little later."""


@pytest.fixture(autouse=True)
def _strace() -> None:
    need_strace()


@pytest.mark.parametrize(
    ("calls", "when"),
    [
        ("fdatasync", "3"),
        ("fdatasync", "40"),
        ("pwritev,pwritev2,pwrite64", "5"),
        ("rename", "1"),
        ("ftruncate", "1"),
        ("fsync", "2"),
    ],
)
def test_one_error_latches_the_gateway_for_good(
    make_scene: Callable[..., Scene], tmp_path: Path, calls: str, when: str
) -> None:
    scene = make_scene(segment_bytes=64 << 10)  # rotations, seals and spares all the time
    gateway = scene.gateway
    gateway.start()
    scene.load(*LOAD)
    eventually(lambda: len(scene.ledger.finished()) > 20, 20.0, "calls are served")
    with inject(gateway.pid, calls, "EIO", when, tmp_path / "strace.out") as injection:
        eventually(injection.injected_ns, 60.0, f"{calls} is called often enough")
        eventually(lambda: gateway.journal("recording"), 5.0, "the journal says that recording failed")
    failed_ns = injection.injected_ns()
    latched_ns = journal_ns(gateway.journal("recording")[0])
    latch_s = (latched_ns - failed_ns) / NS
    assert latch_s < LATCH_S
    _check_refusals(scene)
    time.sleep(1.0)  # a disk that works again must change nothing
    _check_refusals(scene)
    scene.stop_load()
    _check_streams(scene, latched_ns)
    late = scene.seen_after(latched_ns + IN_FLIGHT_NS)
    after = [call for call in scene.ledger.calls if call.began_ns > latched_ns]
    print(f"figures: latched after {latch_s * 1000:.1f} ms, then {len(after)} calls refused, 0 seen upstream")
    assert after
    otherwise = [call for call in after if call.status != 503]
    assert not otherwise, otherwise
    assert not {call.agent for call in after} & {header(request, "user-agent") for request in scene.seen()}
    assert not late, f"{len(late)} requests reached the API server after the latch"
    _check_restart(scene, failed_ns)


def _check_refusals(scene: Scene) -> None:
    """Every kind of call is answered 503, and the probe says why."""
    code, report = scene.gateway.readyz()
    assert code == 503
    assert "[-]recorder failed: " in report
    assert "Input/output error" in report
    for call in (
        scene.call("GET", "/version"),
        scene.call("GET", SECRET, 1),
        scene.call("POST", "/api/v1/namespaces/prod/configmaps", 1, body_of("late", SIZES[1])),
    ):
        status = status_of(call)
        assert (call.status, status["code"], status["reason"]) == (503, 503, "ServiceUnavailable")
        assert "cannot record" in status["message"]


def _check_streams(scene: Scene, latched_ns: int) -> None:
    """Whatever was open was ended, and its client was told why: a watch in the middle of an event is broken off
    instead, a terminal that had its result needs no other words."""
    streams = [
        call for call in scene.ledger.calls if call.kind in ("exec", "watch") and call.status in (101, 200)
    ]
    cut = [call for call in streams if call.began_ns < latched_ns and not 0 < call.finished_ns < latched_ns]
    told = [call for call in cut if "no longer" in call.problem or b"no longer record" in call.received]
    silent = [call for call in cut if call not in told]
    assert [call for call in silent if call.kind == "exec" and not call.finished_ns] == []
    assert [call for call in silent if ".quiet/" in call.agent] == []
    late_ns = latched_ns + IN_FLIGHT_NS  # what ended by itself may be read a little later
    assert [call for call in silent if call.kind == "watch" and call.finished_ns > late_ns] == []
    assert {"terminal", "quiet"} <= {call.agent.split("/")[0].rpartition(".")[2] for call in told}


def _check_restart(scene: Scene, failed_ns: int) -> None:
    """The next start reads the log, finds all that was acknowledged, and serves."""
    scene.gateway.kill()
    scene.ledger.kills_ns.append(failed_ns)
    assert "\n".join(scene.faults()) == ""
    scene.gateway.start()
    assert scene.gateway.readyz()[0] == 200
    assert scene.call("GET", SECRET, 1).status == 200
    assert "\n".join(scene.faults()) == ""
