"""K7: a disk that fills up under the whole gateway. A small tmpfs, mounted where root may do so."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.invariants import header
from tests.crash.ledger import SECRET, body_of
from tests.crash.processes import eventually
from tests.crash.scene import Scene, journal_ns, status_of
from tests.crash.small_disk import mounted_tmpfs

pytestmark = [pytest.mark.crash, pytest.mark.slow]

SIZE_BYTES = 24 << 20
SEGMENT_BYTES = 1 << 20
LOAD = ("read", "secret", "write", "write", "watch", "quiet", "terminal", "noise", "noise")
IN_FLIGHT_NS = 300_000_000
CONFIG_MAPS = "/api/v1/namespaces/prod/configmaps"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "disk", f"size={SIZE_BYTES}") as disk:
        yield disk


def fill(disk: Path, *, leave_bytes: int = 0) -> Path:
    """Take what is left of a disk, but for so much; the file that takes it."""
    ballast = disk / "ballast"
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(OSError):
        while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > leave_bytes:
            os.write(fd, bytes(4096))
    os.close(fd)
    return ballast


def start(make_scene: Callable[..., Scene], disk: Path) -> Scene:
    """A gateway on the small disk, with its spares made."""
    scene = make_scene(disk / "data", segment_bytes=SEGMENT_BYTES)
    scene.gateway.start()
    eventually(lambda: len(list(scene.gateway.log.glob("*.spare"))) == 2, 20.0, "spares are made")
    return scene


def test_new_calls_are_refused_at_the_low_water_mark_and_served_again_once_there_is_room(
    make_scene: Callable[..., Scene], small_disk: Path
) -> None:
    scene = start(make_scene, small_disk)
    scene.load("terminal")
    eventually(lambda: any(call.received for call in scene.ledger.calls), 10.0, "the terminal is open")
    ballast = fill(small_disk, leave_bytes=256 << 10)
    eventually(lambda: scene.gateway.readyz()[0] == 503, 5.0, "the probe notices")
    assert "[-]disk-headroom failed: " in scene.gateway.readyz()[1]
    refused = scene.call("GET", SECRET, 1)
    assert (refused.status, status_of(refused)["reason"]) == (503, "ServiceUnavailable")
    assert "disk is full" in status_of(refused)["message"]
    terminal = next(call for call in scene.ledger.calls if call.kind == "exec")
    before = len(terminal.received)
    eventually(lambda: len(terminal.received) > before, 5.0, "what runs goes on: spares carry it")
    ballast.unlink()
    eventually(lambda: scene.gateway.readyz()[0] == 200, 5.0, "the probe notices that there is room")
    assert scene.call("GET", SECRET, 1).status == 200
    scene.stop_load()
    assert terminal.finished_ns
    assert refused.agent not in {header(request, "user-agent") for request in scene.seen()}
    assert "\n".join(scene.faults()) == ""


def test_refused_calls_do_not_eat_the_reserve_of_those_that_run(
    make_scene: Callable[..., Scene], small_disk: Path
) -> None:
    """Whoever can connect could otherwise end every recorded session, without as much as a token."""
    scene = start(make_scene, small_disk)
    fill(small_disk, leave_bytes=64 << 10)
    eventually(lambda: scene.gateway.readyz()[0] == 503, 5.0, "the probe notices")
    written = scene.log().records
    scene.load("read", "read", "secret")
    eventually(lambda: len(scene.ledger.finished()) > 500, 30.0, "many calls are refused")
    scene.stop_load()
    assert {call.status for call in scene.ledger.finished()} == {503}
    assert scene.log().records - written < 20
    assert not scene.gateway.journal("recording")


def test_a_full_disk_latches_the_gateway_and_costs_nothing_that_was_acknowledged(
    make_scene: Callable[..., Scene], small_disk: Path
) -> None:
    scene = start(make_scene, small_disk)
    scene.load(*LOAD)
    eventually(lambda: len(scene.ledger.finished()) > 30, 20.0, "calls are served")
    eventually(
        lambda: any(call.kind == "exec" and call.received for call in scene.ledger.calls), 10.0, "a terminal"
    )
    filled_ns = time.time_ns()
    ballast = fill(small_disk)
    # New calls are refused by now; the terminals that run use up the reserve.
    eventually(lambda: scene.gateway.journal("recording"), 60.0, "the reserve is used up")
    latched_ns = journal_ns(scene.gateway.journal("recording")[0])
    code, report = scene.gateway.readyz()
    assert code == 503
    assert "[-]recorder failed: " in report
    assert "No space left on device" in report
    for call in (scene.call("GET", "/version"), scene.call("POST", CONFIG_MAPS, 1, body_of("late", 200))):
        status = status_of(call)
        assert (call.status, status["reason"]) == (503, "ServiceUnavailable")
        assert "kubetape" in status["message"]
    scene.stop_load()
    cut = [
        call
        for call in scene.ledger.calls
        if call.kind == "exec" and call.status == 101 and not call.finished_ns
    ]
    assert cut
    assert all("record" in call.problem for call in cut), cut
    watch = next(call for call in scene.ledger.calls if ".quiet/" in call.agent)
    assert b"no longer record" in watch.received
    assert not scene.seen_after(latched_ns + IN_FLIGHT_NS)
    after = {call.agent for call in scene.ledger.calls if call.began_ns > latched_ns}
    assert not after & {header(request, "user-agent") for request in scene.seen()}
    print(
        f"figures: latched {(latched_ns - filled_ns) / 1e9:.1f} s after the disk was full, {len(scene.ledger.calls)} calls"
    )
    scene.gateway.kill()
    scene.ledger.kills_ns.append(latched_ns)
    ballast.unlink()
    assert "\n".join(scene.faults()) == ""
    scene.gateway.start()
    assert scene.gateway.readyz()[0] == 200
    assert scene.call("GET", SECRET, 1).status == 200
    assert "\n".join(scene.faults()) == ""
