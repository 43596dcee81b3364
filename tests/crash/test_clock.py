"""K10: the clock jumps, under a gateway at work. Order is by number; numbers rise; a segment holds one UTC hour;
nothing is lost, and everything can be found again.

The wall clock is bent inside the process (`instrumented`), so that certificates keep their validity, and once by
libfaketime (Debian package faketime), which bends it for everything in the process.
"""

import glob
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.log import SegmentLog
from storage.pace import Clock, LogSettings
from storage.reader import iter_records
from tests.crash.hours import backward_steps, check_hours, newest_start_s
from tests.crash.indexed import indexed_calls
from tests.crash.ledger import SECRET
from tests.crash.processes import eventually
from tests.crash.scene import Scene
from tests.kit.acks import IDENTITY, PATIENCE_S, SMALL, Acks

pytestmark = [pytest.mark.crash, pytest.mark.slow]

NS = 10**9
LOAD = ("read", "secret", "write", "watch", "exec", "terminal")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


MOMENTS = {
    "an hour ahead": 3600,
    "an hour back": 0,
    "before midnight": at("2027-03-01T23:59:59"),
    "back across midnight, and its hour": at("2027-02-28T22:30:00"),
    "the second before a leap second": at("2016-12-31T23:59:59"),
    "that second again": at("2016-12-31T23:59:59"),
    "the end of 32 bits, signed": at("2038-01-19T03:14:07"),
    "and unsigned": at("2106-02-07T06:28:15"),
    "the beginning of time": 5,
    "now": 0,
}


class Hands:
    """The hands of a bent clock: a file that `instrumented` reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ahead(0.0)

    def ahead(self, seconds: float) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(fd, b"%-63.3f\n" % seconds, 0)
        os.close(fd)

    def turn(self, moment_s: int) -> None:
        """To a moment of UTC; below a day: so far ahead of now."""
        self.ahead(moment_s - time.time() if moment_s > 86_400 or moment_s == 5 else moment_s)


def served_more(scene: Scene, calls: int) -> None:
    before = len(scene.ledger.finished())
    eventually(lambda: len(scene.ledger.finished()) > before + calls, 20.0, "calls are served")


def check_all(scene: Scene) -> None:
    """After the last life: the invariants, the hours, and that the index has every call."""
    assert "\n".join(scene.faults()) == ""
    assert "\n".join(check_hours(scene.gateway.log)) == ""
    log = scene.log()
    assert sorted(row.exchange for row in indexed_calls(scene.gateway.data_dir)) == sorted(log.exchanges)


def test_a_gateway_whose_clock_jumps_records_serves_and_finds_as_ever(
    make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    scene = make_scene(segment_bytes=128 << 10)
    hands = Hands(tmp_path / "clock")
    scene.gateway.program = "tests.crash.instrumented"
    scene.gateway.changes = {"CRASH_CLOCK": str(hands.path)}
    scene.gateway.start()
    scene.load(*LOAD)
    served_more(scene, 5)
    for moment_s in MOMENTS.values():
        hands.turn(moment_s)
        served_more(scene, 8)
        assert scene.gateway.readyz()[0] == 200
    hands.turn(at("2106-02-07T06:28:15"))
    served_more(scene, 8)
    scene.ledger.kills_ns.append(time.time_ns())
    scene.gateway.kill()
    scene.stop_load()
    assert "\n".join(scene.faults()) == ""
    hands.ahead(0.0)  # a start eighty years before the end of the last life
    scene.gateway.changes["TZ"] = "Pacific/Kiritimati"
    scene.gateway.start()
    assert scene.call("GET", SECRET, 1).status == 200
    scene.gateway.kill()
    check_all(scene)
    assert backward_steps(scene.gateway.log) >= 4
    years = {
        datetime.fromtimestamp(row.at_ns / NS, UTC).year for row in indexed_calls(scene.gateway.data_dir)
    }
    assert {1970, 2016, 2027, 2038, 2106} <= years


def test_a_log_that_is_written_while_the_clock_jumps_keeps_numbers_and_hours(tmp_path: Path) -> None:
    now_ns = [at("2026-05-04T10:59:59") * NS]
    acks = Acks()
    log = SegmentLog.open(
        tmp_path / "log",
        identity=IDENTITY,
        on_commit=acks.on_commit,
        on_failure=acks.on_failure,
        settings=SMALL,
        clock=Clock(now_ns=lambda: now_ns[0]),
    )
    written: list[bytes] = []
    for moment_s in MOMENTS.values():
        now_ns[0] = moment_s * NS
        for step in range(5):
            now_ns[0] += (-1) ** step * 700_000_000
            written.append(b"%d at %d" % (len(written) + 1, now_ns[0]))
            assert acks.wait_durable(log.append(written[-1], urgent=True))
    log.close(PATIENCE_S)
    read = list(iter_records(tmp_path / "log"))
    assert [position.record_seq for position, _ in read] == list(range(1, len(written) + 1))
    assert [data for _, data in read] == written
    assert check_hours(tmp_path / "log") == []
    assert backward_steps(tmp_path / "log") > 10


def test_a_segment_is_rotated_by_age_in_monotonic_time_only(tmp_path: Path) -> None:
    """A clock set back by a year must not keep a segment open for a year: the age is not the clock's."""
    now_ns, monotonic_s = [at("2026-05-04T10:30:00") * NS], [100.0]
    acks = Acks()
    log = SegmentLog.open(
        tmp_path / "log",
        identity=IDENTITY,
        on_commit=acks.on_commit,
        on_failure=acks.on_failure,
        settings=LogSettings(
            segment_bytes=64 << 10, first_segment_bytes=64 << 10, spares=0, max_segment_age_s=60
        ),
        clock=Clock(now_ns=lambda: now_ns[0], monotonic_s=lambda: monotonic_s[0]),
    )
    assert acks.wait_durable(log.append(b"one", urgent=True))
    now_ns[0] = at("2026-05-04T10:00:00") * NS
    monotonic_s[0] += 61.0
    assert acks.wait_durable(log.append(b"two", urgent=True))
    assert acks.wait_durable(log.append(b"three", urgent=True))
    log.close(PATIENCE_S)
    assert len(list((tmp_path / "log").glob("*.kseg"))) == 2


def libfaketime() -> str:
    """Its library, or skip with the reason."""
    pattern = "/usr/lib/*/faketime/libfaketimeMT.so.1"
    if not glob.glob(pattern) and os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "faketime"]
        subprocess.run(command, capture_output=True, check=False, timeout=120)
    found = glob.glob(pattern)
    if not found:
        pytest.skip("libfaketime (package faketime) is not installed, and cannot be")
    return found[0]


def test_a_process_whose_whole_clock_jumps_by_an_hour_and_back(
    make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    library, hands = libfaketime(), tmp_path / "faketime"
    hands.write_text("+0\n")
    scene = make_scene(segment_bytes=128 << 10)
    scene.gateway.changes = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(hands),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    scene.gateway.start()
    scene.load(*LOAD)
    for ahead_s in (3600, -3600, 0):
        hands.write_text(f"{ahead_s:+d}\n")

        def has_jumped(ahead_s: int = ahead_s) -> bool:
            return abs(newest_start_s(scene.gateway.log) - time.time() - ahead_s) < 60

        eventually(has_jumped, 20.0, "the hour is another: a new segment")
        served_more(scene, 8)
        assert scene.gateway.readyz()[0] == 200
    scene.ledger.kills_ns.append(time.time_ns())
    scene.gateway.kill()
    scene.stop_load()
    check_all(scene)
    assert backward_steps(scene.gateway.log) >= 1
