"""K7, the other half: what is made of the record cannot be written. Recording goes on, and somebody is told.

Also inodes instead of bytes: a file system without a free one, which is a full disk that statvfs calls roomy.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.indexed import indexed_calls
from tests.crash.invariants import header
from tests.crash.ledger import SECRET, body_of
from tests.crash.processes import eventually
from tests.crash.proving import check_proven
from tests.crash.scene import Scene, journal_ns, status_of
from tests.crash.small_disk import mounted_tmpfs

pytestmark = [pytest.mark.crash, pytest.mark.slow]

LOAD = ("read", "secret", "write", "write", "watch", "quiet", "terminal")
INODES = 120
IN_FLIGHT_NS = 300_000_000


def served_more(scene: Scene, calls: int) -> None:
    before = len(scene.ledger.finished())
    eventually(lambda: len(scene.ledger.finished()) > before + calls, 20.0, "calls are served")


@pytest.mark.parametrize(("event", "directory"), [("index", "index"), ("tree", "log/0/tlog")])
def test_a_keeper_that_cannot_write_stops_no_call_says_so_and_catches_up(
    make_scene: Callable[..., Scene], event: str, directory: str
) -> None:
    scene = make_scene(segment_bytes=96 << 10)
    scene.gateway.start()
    scene.load(*LOAD)
    place = scene.gateway.data_dir / directory
    eventually(lambda: place.is_dir() and any(place.iterdir()), 20.0, "it is there")
    aside = place.with_name(place.name + ".aside")
    place.rename(aside)
    place.write_text("a file where a directory belongs")
    eventually(lambda: scene.gateway.journal(event), 20.0, "the journal says it")
    served_more(scene, 20)
    code, report = scene.gateway.readyz()
    assert code == 200, report
    assert not scene.gateway.journal("recording")
    place.unlink()
    aside.rename(place)
    changed_ns = newest_change_ns(place)
    eventually(lambda: newest_change_ns(place) > changed_ns, 60.0, "it is tried again")
    served_more(scene, 10)
    scene.ledger.kills_ns.append(time.time_ns())
    scene.gateway.kill()
    scene.stop_load()
    assert "\n".join(scene.faults()) == ""
    calls = indexed_calls(scene.gateway.data_dir)
    assert sorted(row.exchange for row in calls) == sorted(scene.log().exchanges)
    assert check_proven(scene.gateway.data_dir) == []


def newest_change_ns(directory: Path) -> int:
    return max(path.stat().st_mtime_ns for path in directory.rglob("*"))


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "disk", f"size=64m,nr_inodes={INODES}") as disk:
        yield disk


def take_all_inodes(disk: Path) -> Path:
    ballast = disk / "ballast"
    ballast.mkdir()
    with contextlib.suppress(OSError):
        for number in range(INODES):
            (ballast / str(number)).touch()
    return ballast


def test_a_disk_without_inodes_latches_the_gateway_and_costs_nothing_that_was_acknowledged(
    make_scene: Callable[..., Scene], few_inodes: Path
) -> None:
    scene = make_scene(few_inodes / "data", segment_bytes=128 << 10)
    scene.gateway.start()
    scene.load(*LOAD)
    eventually(lambda: len(scene.ledger.finished()) > 20, 20.0, "calls are served")
    ballast = take_all_inodes(few_inodes)
    # There is room for bytes, so calls go on until a segment must begin.
    eventually(lambda: scene.gateway.journal("recording"), 60.0, "no further segment can begin")
    latched_ns = journal_ns(scene.gateway.journal("recording")[0])
    code, report = scene.gateway.readyz()
    assert code == 503
    assert "No space left on device" in report
    late = scene.call("POST", "/api/v1/namespaces/prod/configmaps", 1, body_of("late", 200))
    assert (late.status, status_of(late)["reason"]) == (503, "ServiceUnavailable")
    scene.stop_load()
    assert not scene.seen_after(latched_ns + IN_FLIGHT_NS)
    after = {call.agent for call in scene.ledger.calls if call.began_ns > latched_ns}
    assert not after & {header(request, "user-agent") for request in scene.seen()}
    scene.gateway.kill()
    scene.ledger.kills_ns.append(latched_ns)
    shutil.rmtree(ballast)
    assert "\n".join(scene.faults()) == ""
    scene.gateway.start()
    assert scene.call("GET", SECRET, 1).status == 200
    assert "\n".join(scene.faults()) == ""
