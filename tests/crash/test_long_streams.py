"""K16: a terminal of eight hours in five seconds: the clock runs, segments rotate under the stream, the gateway is
killed in its middle. Replay shows every chunk that was synced, and says that the gateway ended there."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.reader import iter_records, list_segments
from tests.crash.hours import backward_steps, check_hours
from tests.crash.ledger import bytes_at
from tests.crash.moments import LAG_NS
from tests.crash.processes import eventually
from tests.crash.recorded import keys_of
from tests.crash.scene import Scene
from tests.kit.running import run_cli

pytestmark = [pytest.mark.crash, pytest.mark.slow]

HOURS = 8
HOUR_S = 3600.0
PACE = 6000.0
"""Seconds of wall clock in one: an hour in 0.6 s."""


def test_a_stream_of_many_hours_is_there_up_to_the_crash_and_says_where_it_ended(
    make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    scene = make_scene(segment_bytes=256 << 10)
    clock = tmp_path / "clock"
    clock.write_bytes(b"%-63d\n" % 0)
    scene.gateway.program = "tests.crash.instrumented"
    scene.gateway.changes = {"CRASH_CLOCK": str(clock), "CRASH_PACE": str(PACE)}
    scene.gateway.start()
    scene.load("terminal", "terminal", "quiet", "secret")
    eventually(lambda: hours_of(scene.gateway.log) > HOURS, 60.0, "eight hours of segments")
    killed_ns = time.time_ns()
    scene.ledger.kills_ns.append(killed_ns)
    scene.gateway.kill()
    scene.stop_load()
    scene.gateway.changes["CRASH_PACE"] = "1"
    scene.gateway.start()  # recovers
    scene.gateway.kill()
    assert "\n".join(scene.faults() + check_hours(scene.gateway.log)) == ""
    assert backward_steps(scene.gateway.log) == 1, "only the second life's clock was behind the first's"
    terminals = [call for call in scene.ledger.calls if ".terminal/" in call.agent and call.status == 101]
    assert len(terminals) == 2
    for call in terminals:
        exchange = scene.log().by_agent()[call.agent]
        assert exchange.outcome is None
        stem_count = segments_with(scene, exchange.intent.exchange)
        assert stem_count >= HOURS, f"the stream lies in {stem_count} segments"
        played = run_cli("sessions", "play", exchange.audit_id, "--data-dir", str(scene.gateway.data_dir))
        assert played.code == 0, played.err
        assert "the gateway ended here; what followed is unknown" in played.err
        shown = played.out.replace("\r\n", "\n").encode()
        assert shown == bytes(exchange.stdout)
        assert len(shown) >= bytes_at(call.pieces, killed_ns - LAG_NS)
        assert bytes(call.received).startswith(shown) or shown.startswith(bytes(call.received))


def hours_of(directory: Path) -> int:
    """UTC hours since the first segment began, by the newest one's name."""
    starts = [name.start_ms / 1000 for name in list_segments(directory)]
    return int((starts[-1] - starts[0]) // HOUR_S) if starts else 0


def segments_with(scene: Scene, exchange: bytes) -> int:
    """How many segments hold a record of this exchange."""

    keys = keys_of(scene.gateway.data_dir)
    return len(
        {
            position.segment
            for position, data in iter_records(scene.gateway.log, keys=keys)
            if exchange in data
        }
    )
