"""What a person reads after a crash, and from a copy of a directory that is being written; INV3, INV5."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import CorruptFrame
from storage.reader import iter_records
from tests.crash.processes import eventually
from tests.crash.recorded import Exchange, keys_of
from tests.crash.scene import Scene
from tests.kit.running import Ran, run_cli

pytestmark = [pytest.mark.crash, pytest.mark.slow]

LOAD = ("read", "secret", "write", "write", "watch", "exec", "terminal")


def killed_under_load(make_scene: Callable[..., Scene]) -> Scene:
    scene = make_scene(segment_bytes=48 << 10)
    scene.gateway.start()
    scene.load(*LOAD)
    eventually(
        lambda: sum(call.kind == "delete" for call in scene.ledger.finished()) > 5, 30.0, "calls are served"
    )
    eventually(lambda: list(scene.gateway.log.glob("*.kseg")), 30.0, "a segment is sealed")
    scene.ledger.kills_ns.append(time.time_ns())
    scene.gateway.kill()
    scene.stop_load()
    return scene


def check_ran(done: Ran) -> None:
    """It worked, and complained of nothing (how far it is may be said)."""
    assert done.code == 0, done.err
    assert "warning" not in done.err.lower()
    assert "error" not in done.err.lower()


def listed(data_dir: Path) -> list[dict[str, object]]:
    done = run_cli("sessions", "ls", "--calls", "--limit", "10000", "-o", "json", "--data-dir", str(data_dir))
    check_ran(done)
    calls: list[dict[str, object]] = json.loads(done.out)
    return calls


def check_readable(data_dir: Path, some: Exchange) -> None:
    """ls, get and search agree about one call that was completed."""
    assert some.intent.exchange.hex() in {call["id"] for call in listed(data_dir)}
    shown = run_cli("sessions", "get", some.audit_id, "--bodies", "--data-dir", str(data_dir))
    check_ran(shown)
    assert some.intent.call is not None
    name = some.intent.call.name
    found = run_cli("sessions", "search", f"name:{name}", "-o", "name", "--data-dir", str(data_dir))
    check_ran(found)
    assert some.intent.exchange.hex() in found.out.split()


def copy_live(data_dir: Path, target: Path) -> Path:
    """A copy while it is written. A file renamed between listing and copying is missed, and the copying program
    says so: then, as with cp or rsync, one copies again."""
    for attempt in range(50):
        copy = target.with_name(f"{target.name}.{attempt}")
        try:
            shutil.copytree(data_dir, copy)
        except shutil.Error:
            continue
        return copy
    raise AssertionError("no copy without a file vanishing meanwhile")


def completed_delete(exchanges: list[Exchange]) -> Exchange:
    return next(
        exchange
        for exchange in reversed(exchanges)
        if exchange.intent.method == "DELETE"
        and exchange.outcome is not None
        and exchange.outcome.status == 200
    )


def test_the_record_is_readable_right_after_a_crash_and_says_what_is_unknown(
    make_scene: Callable[..., Scene],
) -> None:
    scene = killed_under_load(make_scene)
    log = scene.log()
    check_readable(scene.gateway.data_dir, completed_delete(list(log.exchanges.values())))
    assert len(listed(scene.gateway.data_dir)) == len(log.exchanges)
    cut = log.unknown()
    assert cut
    shown = run_cli("sessions", "get", cut[0].audit_id, "--data-dir", str(scene.gateway.data_dir))
    assert shown.code == 0
    assert "unknown" in shown.out


def test_a_copy_of_a_directory_that_is_being_written_is_readable(
    make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    scene = killed_under_load(make_scene)  # an earlier crash is part of it
    scene.gateway.start()
    scene.load(*LOAD)
    before = len(scene.ledger.finished())
    eventually(lambda: len(scene.ledger.finished()) > before + 30, 20.0, "calls are served")
    completed = completed_delete(list(scene.log().exchanges.values()))
    for number in range(3):
        copy = copy_live(scene.gateway.data_dir, tmp_path / f"copy{number}")
        check_readable(copy, completed)
    check_readable(scene.gateway.data_dir, completed)  # and the directory itself
    scene.stop_load()
    assert "\n".join(scene.faults()) == ""


def test_nothing_is_served_from_a_frame_that_fails_its_check(
    make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    """INV5: one flipped bit in a sealed segment ends every reading there, in front of the bad frame."""
    scene = killed_under_load(make_scene)
    keys = keys_of(scene.gateway.data_dir)
    whole = [encoded for _, encoded in iter_records(scene.gateway.log, keys=keys)]
    copy = tmp_path / "copy"
    shutil.copytree(scene.gateway.data_dir, copy, ignore=shutil.ignore_patterns("index"))
    victim = sorted((copy / "log" / "0").glob("*.kseg"))[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 3] ^= 0x10
    victim.write_bytes(content)
    served: list[bytes] = []
    with pytest.raises(CorruptFrame):
        served.extend(encoded for _, encoded in iter_records(copy / "log" / "0", keys=keys))
    assert served == whole[: len(served)]
    assert len(served) < len(whole)
    shown = run_cli("sessions", "ls", "--calls", "--data-dir", str(copy))
    assert "the log is damaged" in shown.err
