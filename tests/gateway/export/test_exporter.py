"""The export as a whole, against a strict S3: once each, in order, whatever goes wrong on the way."""

import hashlib
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from gateway.export import file_lane
from gateway.export.exporter import Exporter
from gateway.export.ledger import LEDGER
from gateway.export.settings import Rows
from gateway.export.ship import Shipped
from gateway.export.store import ObjectStore
from storage.export import Item
from tests.gateway.export.exporting import SEGMENTS, TREE, Tree, envelope, exporter, segments, settings
from tests.kit.segments import begin, header, write_blocks
from tests.kit.strict_s3 import Fault, Request, StrictS3, Version, every

MINUTE = 60.0


async def drain(exporting: Exporter, clock: trio.testing.MockClock, rounds: int = 60) -> None:
    """Run until nothing is left; failures wait for a clock that jumps."""
    for _ in range(rounds):
        if not await exporting.run_once():
            return
        clock.jump(MINUTE)
    raise AssertionError(f"not done: {exporting.status()}")


async def test_sealed_segments_arrive_locked_under_their_keys(tmp_path: Path, s3: StrictS3) -> None:
    paths = segments(tmp_path, 3)
    exporting = exporter(tmp_path, s3)
    assert not await exporting.run_once()
    assert {key: body for key, body in s3.objects().items()} == {
        SEGMENTS + path.name: path.read_bytes() for path in paths
    }
    assert all(version.lock_mode == "COMPLIANCE" for [version] in s3.versions.values())
    status = exporting.status()
    assert (status.backlog, status.uploaded, status.alarms, status.problem, status.warning) == (
        0,
        3,
        (),
        "",
        "",
    )


async def test_a_segment_costs_one_put_and_one_head_and_then_nothing(tmp_path: Path, s3: StrictS3) -> None:
    exporting = exporter(tmp_path, s3)
    await exporting.run_once()
    segments(tmp_path, 2)
    await exporting.run_once()
    await exporting.run_once()
    assert (s3.count("PUT"), s3.count("HEAD")) == (2, 2)
    again = exporter(tmp_path, s3)  # the ledger knows
    assert not await again.run_once()
    assert (s3.count("PUT"), s3.count("HEAD")) == (2, 2)


async def test_a_lost_ledger_costs_a_head_each(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 3)
    await exporter(tmp_path, s3).run_once()
    (tmp_path / LEDGER).unlink()
    heads = s3.count("HEAD")
    assert not await exporter(tmp_path, s3).run_once()
    assert (s3.count("PUT"), s3.count("HEAD")) == (3, heads + 3)


async def test_the_ledger_of_another_bucket_is_not_believed(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 1)
    await exporter(tmp_path, s3).run_once()
    moved = exporter(tmp_path, s3, settings=settings(s3, prefix="elsewhere"))
    while await moved.run_once():
        await trio.lowlevel.checkpoint()
    assert sorted(key.partition("/")[0] for key in s3.objects()) == ["elsewhere", "records"]


async def test_what_is_not_finished_stays_here(tmp_path: Path, s3: StrictS3) -> None:
    directory = tmp_path / "log" / "0"
    directory.mkdir(parents=True)
    segment = begin(directory, header(1, dict_id=0))
    write_blocks(segment, 3)
    (directory / "LOCK").touch()
    segment.path.with_suffix(".torn").write_bytes(b"half made")
    exporting = exporter(tmp_path, s3)
    assert not await exporting.run_once()
    assert s3.objects() == {}
    segment.abandon()
    segment.path.rename(segment.path.with_suffix(".recovered"))
    await exporting.run_once()
    stem = segment.path.stem
    assert sorted(s3.objects()) == [SEGMENTS + stem + ".recovered", SEGMENTS + stem + ".torn"]


async def test_everything_beside_a_segment_comes_with_it(tmp_path: Path, s3: StrictS3) -> None:
    [path] = segments(tmp_path, 1, dict_id=32_769)
    segment_id = envelope(path)
    path.with_suffix(".tombstone").write_bytes(b"deleted by policy")
    rows = tmp_path / "rows" / "0" / "api_calls" / f"{path.stem}.ndjson.zst"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"rows")
    (rows.parent / "other.tmp").write_bytes(b"")
    exporting = exporter(tmp_path, s3, settings=settings(s3, rows=Rows.METADATA, sse_kms_key="alias/records"))
    assert not await exporting.run_once()
    dictionary = [key for key in s3.objects() if "/dict/" in key]
    assert sorted(s3.objects()) == sorted(
        [
            SEGMENTS + path.name,
            SEGMENTS + path.stem + ".tombstone",
            f"records/v1/keys/{segment_id}.json",
            f"records/v1/index/api_calls/cluster=prod/dt=2026-09-21/hr=14/{path.stem}.ndjson.zst",
            *dictionary,
        ]
    )
    assert hashlib.sha256(s3.objects()[dictionary[0]]).hexdigest() in dictionary[0]
    locked = {key for key, [version] in s3.versions.items() if version.lock_mode}
    assert locked == {SEGMENTS + path.name, SEGMENTS + path.stem + ".tombstone"}
    assert {version.kms_key for [version] in s3.versions.values()} == {"alias/records"}


async def test_rows_are_clear_text_and_go_nowhere_unless_asked_for(tmp_path: Path, s3: StrictS3) -> None:
    [path] = segments(tmp_path, 1)
    rows = tmp_path / "rows" / "0" / "api_calls" / f"{path.stem}.ndjson.zst"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"rows")
    await exporter(tmp_path, s3).run_once()
    assert list(s3.objects()) == [SEGMENTS + path.name]


# --- somebody else's object ------------------------------------------------------------------------------


async def test_an_object_of_somebody_else_is_an_alarm_and_the_rest_goes_on(
    tmp_path: Path, s3: StrictS3, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = segments(tmp_path, 3)
    s3.plant(SEGMENTS + paths[0].name, b"forged")
    exporting = exporter(tmp_path, s3)
    assert not await exporting.run_once()
    assert not await exporting.run_once()
    assert s3.objects()[SEGMENTS + paths[0].name] == b"forged"
    assert len(s3.objects()) == 3
    [alarm] = exporting.status().alarms
    assert paths[0].name in alarm
    assert hashlib.sha256(b"forged").hexdigest() in alarm
    assert capsys.readouterr().err.count("export alarm") == 1
    assert exporting.freeable("0") == []


async def test_the_same_bytes_under_our_key_are_our_own(tmp_path: Path, s3: StrictS3) -> None:
    [path] = segments(tmp_path, 1)
    s3.plant(SEGMENTS + path.name, path.read_bytes())
    exporting = exporter(tmp_path, s3)
    assert not await exporting.run_once()
    assert exporting.status().alarms == ()
    assert len(s3.versions[SEGMENTS + path.name]) == 1


async def test_two_gateways_with_the_same_files_make_one_object_each(
    tmp_path: Path, s3: StrictS3, mock_clock: trio.testing.MockClock
) -> None:
    segments(tmp_path / "a", 20)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "log").symlink_to(tmp_path / "a" / "log")
    s3.faults = every(0.2, 1, [Fault.LOST_ACK, Fault.CONFLICT, Fault.ERROR])
    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(drain, exporter(tmp_path / name, s3), mock_clock)
    assert [len(versions) for versions in s3.versions.values()] == [1] * 20


# --- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [fault for fault in Fault if fault not in (Fault.HOLD, Fault.NO_LISTING)],
    ids=lambda fault: fault.name,
)
async def test_a_fault_of_the_store_delays_and_loses_nothing(
    tmp_path: Path, s3: StrictS3, mock_clock: trio.testing.MockClock, fault: Fault
) -> None:
    [path] = segments(tmp_path, 1)
    exporting = exporter(tmp_path, s3)
    await exporting._check_bucket()
    left = [fault] * 2
    s3.faults = lambda request: left.pop() if left else None
    await drain(exporting, mock_clock)
    assert s3.objects() == {SEGMENTS + path.name: path.read_bytes()}
    assert len(s3.versions[SEGMENTS + path.name]) == 1
    assert exporting.status().problem == ""


async def test_a_failure_is_waited_out_and_said_once(
    tmp_path: Path, s3: StrictS3, capsys: pytest.CaptureFixture[str], mock_clock: trio.testing.MockClock
) -> None:
    segments(tmp_path, 1)
    exporting = exporter(tmp_path, s3)
    exporting._files._jitter = lambda: 1.0
    await exporting._check_bucket()
    s3.faults = lambda request: Fault.EXPIRED
    assert await exporting.run_once()
    assert await exporting.run_once()  # not due yet
    assert s3.count("PUT") == 1
    mock_clock.jump(1.1)
    assert await exporting.run_once()
    assert s3.count("PUT") == 2
    assert "credentials have expired" in exporting.status().problem
    said = capsys.readouterr().err
    assert said.count("credentials have expired") == 1
    assert "AKIDSECRET" not in said + str(exporting.status())


async def test_a_dead_store_is_not_asked_for_every_file(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 20)
    exporting = exporter(tmp_path, s3)
    exporting._files._jitter = lambda: 1.0
    await exporting._check_bucket()
    s3.faults = lambda request: Fault.SLOW_DOWN
    await exporting.run_once()
    assert s3.count("PUT") <= 5


async def test_no_listing_and_no_reading_rights_still_upload_everything_once(
    tmp_path: Path, s3: StrictS3, mock_clock: trio.testing.MockClock
) -> None:
    segments(tmp_path, 2)
    s3.faults = lambda request: Fault.DENIED if request.method == "HEAD" else None
    exporting = exporter(tmp_path, s3)
    for _ in range(3):
        assert await exporting.run_once()
        mock_clock.jump(MINUTE)
    assert [len(versions) for versions in s3.versions.values()] == [1, 1]
    assert exporting.freeable("0") == []
    assert "403" in exporting.status().problem


async def test_a_store_without_checksums_is_read_to_compare(tmp_path: Path, s3: StrictS3) -> None:
    paths = segments(tmp_path, 2)
    s3.with_checksums = False
    forged = bytearray(paths[0].read_bytes())
    forged[100] ^= 1
    s3.plant(SEGMENTS + paths[0].name, bytes(forged))
    exporting = exporter(tmp_path, s3)
    assert not await exporting.run_once()
    assert len(exporting.status().alarms) == 1
    assert exporting.status().uploaded == 1


async def test_exactly_once_at_a_fifth_of_all_requests_failing(
    tmp_path: Path, s3: StrictS3, mock_clock: trio.testing.MockClock
) -> None:
    """K11 and K12 in small; the thousand segments are in tests/crash/s3_faults.py."""
    from tests.crash.s3_faults import FAULTS, check

    paths = segments(tmp_path, 150)
    s3.faults = every(0.2, 20_261_123, FAULTS)
    exporting = exporter(tmp_path, s3)
    await drain(exporting, mock_clock, rounds=500)
    check(s3, paths)


# --- keys ----------------------------------------------------------------------------------------------------


async def test_rotated_keys_replace_the_old_ones(tmp_path: Path, s3: StrictS3) -> None:
    [path] = segments(tmp_path, 1)
    key = f"records/v1/keys/{envelope(path, b'old')}.json"
    exporting = exporter(tmp_path, s3)
    await exporting.run_once()
    envelope(path, b"new wrap")
    assert not await exporting.run_once()
    assert s3.objects()[key] == path.with_suffix(".keys").read_bytes()
    assert not await exporter(tmp_path, s3).run_once()
    assert s3.count("PUT", "/keys/") == 2


async def test_shredded_keys_are_destroyed_in_every_version(tmp_path: Path, s3: StrictS3) -> None:
    [path] = segments(tmp_path, 1)
    key = f"records/v1/keys/{envelope(path)}.json"
    exporting = exporter(tmp_path, s3)
    await exporting.run_once()
    envelope(path, b"rotated")
    await exporting.run_once()
    assert len(s3.versions[key]) == 2
    path.with_suffix(".keys").unlink()
    path.with_suffix(".shredded").write_bytes(b"{}")
    assert not await exporting.run_once()
    assert s3.versions[key] == []
    assert SEGMENTS + path.stem + ".shredded" in s3.objects()


async def test_rows_of_a_shredded_segment_go_from_the_bucket_too(tmp_path: Path, s3: StrictS3) -> None:
    [path] = segments(tmp_path, 1)
    envelope(path)
    rows = tmp_path / "rows" / "0" / "stream_events" / f"{path.stem}.ndjson.zst"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"what was typed")
    with_rows = settings(s3, rows=Rows.FULL)
    await exporter(tmp_path, s3, settings=with_rows).run_once()
    assert b"what was typed" in s3.objects().values()
    rows.unlink()
    path.with_suffix(".keys").unlink()
    path.with_suffix(".shredded").touch()
    assert not await exporter(tmp_path, s3).run_once()  # even where rows are no longer exported
    assert [
        version
        for versions in s3.versions.values()
        for version in versions
        if version.body == b"what was typed"
    ] == []


async def test_keys_of_a_segment_that_is_gone_are_destroyed_by_what_the_marker_says(
    tmp_path: Path, s3: StrictS3
) -> None:
    first, _ = segments(tmp_path, 2)
    segment_id = envelope(first)
    await exporter(tmp_path, s3).run_once()
    first.unlink()
    first.with_suffix(".keys").unlink()
    first.with_suffix(".shredded").write_text(f'{{"segment_id": "{segment_id}"}}')
    assert not await exporter(tmp_path, s3).run_once()
    assert s3.versions[f"records/v1/keys/{segment_id}.json"] == []


async def test_a_lock_on_keys_that_were_shredded_is_a_problem_until_it_is_gone(
    tmp_path: Path, s3: StrictS3
) -> None:
    [path] = segments(tmp_path, 1)
    envelope(path)
    s3.default_mode = "GOVERNANCE"
    exporting = exporter(tmp_path, s3)
    await exporting.run_once()
    assert "shredded" in exporting.status().warning
    path.with_suffix(".keys").unlink()
    path.with_suffix(".shredded").touch()
    assert await exporting.run_once()
    assert "AccessDenied" in exporting.status().problem
    assert exporting.status().backlog == 1


# --- the bucket ------------------------------------------------------------------------------------------------


async def test_a_bucket_that_does_not_fit_gets_nothing_until_it_does(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 1)
    exporting = exporter(tmp_path, s3, settings=settings(s3, object_lock=None))
    assert await exporting.run_once()
    assert "objectLock: {mode: GOVERNANCE, days: 30}" in exporting.status().problem
    assert s3.objects() == {}
    s3.lock = False
    assert not await exporting.run_once()
    assert exporting.status().problem == ""


async def test_an_unknown_lock_stops_the_export(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 1)
    s3.faults = lambda request: Fault.DENIED
    exporting = exporter(tmp_path, s3)
    assert await exporting.run_once()
    assert "AccessDenied" in exporting.status().problem
    assert s3.count("PUT") == 0


# --- freeing -----------------------------------------------------------------------------------------------------


async def test_a_local_copy_may_go_when_a_checkpoint_in_the_bucket_covers_it(
    tmp_path: Path, s3: StrictS3
) -> None:
    paths = segments(tmp_path, 3)
    envelope(paths[0])
    covered = 0
    tree = Tree(tmp_path)
    tree.grow(3)
    exporting = exporter(tmp_path, s3, covered=lambda log: covered)
    await exporting.run_once()
    assert exporting.freeable("0") == []
    covered = 2
    await exporting.run_once()
    assert exporting.freeable("0") == [], "the checkpoint that covers them is not in the bucket"
    tree.grow(1)
    await exporting.run_once()
    names = exporting.freeable("0")
    assert [name.number for name in names] == [1, 2]
    assert await exporting.confirm("0", names[0])
    envelope(paths[0], b"rotated, and not exported yet")
    s3.faults = lambda request: Fault.ERROR if "/keys/" in request.key else None
    await exporting.run_once()
    assert [name.number for name in exporting.freeable("0")] == [2]


async def test_a_copy_that_vanished_is_noticed_before_the_local_one_goes(
    tmp_path: Path, s3: StrictS3
) -> None:
    [path] = segments(tmp_path, 1)
    Tree(tmp_path).grow(1)
    exporting = exporter(tmp_path, s3, covered=lambda log: 1)
    await exporting.run_once()
    [name] = exporting.freeable("0")
    s3.versions.clear()
    assert not await exporting.confirm("0", name)
    assert exporting.freeable("0") == []
    assert not await exporting.run_once()
    assert s3.objects()[SEGMENTS + path.name] == path.read_bytes()
    assert await exporting.confirm("0", name)


# --- lanes ---------------------------------------------------------------------------------------------------------


async def test_checkpoints_arrive_while_every_segment_upload_hangs(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 4)
    tree = Tree(tmp_path)
    first = tree.grow(3)
    s3.faults = lambda request: (
        Fault.HOLD if request.method == "PUT" and "/segments/" in request.key else None
    )
    exporting = exporter(tmp_path, s3, settings=settings(s3, checkpoint_seconds=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exporting.run)
        with trio.fail_after(10):
            await until(lambda: s3.objects().get(TREE + "checkpoint") == first)
            second = tree.grow(300)
            await until(lambda: s3.objects().get(TREE + "checkpoint") == second)
        assert exporting.status().backlog == 4
        assert exporting.status().last_checkpoint_s is not None
        nursery.cancel_scope.cancel()
    s3.released.set()


async def test_the_loop_goes_on_while_boto3_waits_and_opens_no_socket(
    tmp_path: Path, s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments(tmp_path, 8)
    Tree(tmp_path).grow(10)
    s3.faults = every(0.5, 7, [Fault.SLOW_DOWN, Fault.RESET, Fault.DRIP, Fault.LOST_ACK])
    import urllib3.connection

    loop_thread, offences = threading.get_ident(), []
    connect = urllib3.connection.HTTPConnection.connect

    def watched(self: urllib3.connection.HTTPConnection) -> None:
        if threading.get_ident() == loop_thread:
            offences.append(self)
        connect(self)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "connect", watched)
    exporting = exporter(tmp_path, s3)
    exporting._files._store._attempts = 3  # type: ignore[attr-defined]
    lags: list[float] = []

    async def probe() -> None:
        while True:
            before = trio.current_time()
            await trio.sleep(0.005)
            lags.append(trio.current_time() - before - 0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(probe)
        with trio.fail_after(60):
            assert await exporting.flush(50)
        nursery.cancel_scope.cancel()
    assert offences == []
    assert len(lags) > 20
    assert sorted(lags)[-3] < 0.25, f"the loop stood still: {sorted(lags)[-5:]}"


async def test_flush_gives_up_at_its_deadline(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 1)
    s3.faults = lambda request: Fault.HOLD if request.method == "PUT" else None
    with trio.fail_after(5):
        assert not await exporter(tmp_path, s3).flush(0.2)
    s3.released.set()


async def test_a_bucket_that_is_mended_starts_the_export(
    tmp_path: Path, s3: StrictS3, autojump_clock: trio.testing.MockClock
) -> None:
    segments(tmp_path, 1)
    s3.lock = False
    exporting = exporter(tmp_path, s3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exporting.run)
        await until(lambda: "no object lock" in exporting.status().problem)
        s3.lock = True
        await until(lambda: len(s3.objects()) == 1)
        segments(tmp_path, 1, first=2)
        await until(lambda: len(s3.objects()) == 2)
        nursery.cancel_scope.cancel()


async def test_a_directory_that_cannot_be_read_is_a_problem_until_it_can(
    tmp_path: Path, s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments(tmp_path, 1)
    exporting = exporter(tmp_path, s3)

    def broken(*_: object) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(exporting._scanner, "logs", broken)
    assert await exporting.run_once()
    assert "Permission denied" in exporting.status().problem
    monkeypatch.undo()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "neverintext")
    assert not await exporting.run_once()
    assert exporting.status().problem == ""


async def test_files_that_go_or_fail_meanwhile_are_met_again(
    tmp_path: Path, s3: StrictS3, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    gone, broken, fine = segments(tmp_path, 3)
    exporting = exporter(tmp_path, s3)
    ship_file = file_lane.ship_file

    def disturbed(store: ObjectStore, item: Item, now_ns: int, *, probably_there: bool) -> Shipped:
        if item.path == gone:
            gone.unlink()
        if item.path == broken:
            raise OSError(5, "Input/output error")
        return ship_file(store, item, now_ns, probably_there=probably_there)

    monkeypatch.setattr(file_lane, "ship_file", disturbed)
    assert await exporting.run_once()
    assert "Input/output error" in next(job.problem for job in exporting._files._jobs.values() if job.problem)
    monkeypatch.setattr(file_lane, "ship_file", ship_file)
    await drain(exporting, mock_clock)
    assert sorted(s3.objects()) == sorted(SEGMENTS + path.name for path in (broken, fine))


async def test_a_file_that_changes_while_it_waits_is_looked_at_anew(
    tmp_path: Path, s3: StrictS3, mock_clock: trio.testing.MockClock
) -> None:
    [path] = segments(tmp_path, 1)
    segment_id = envelope(path, b"one")
    exporting = exporter(tmp_path, s3)
    await exporting._check_bucket()
    s3.faults = lambda request: Fault.ERROR
    await exporting.run_once()
    envelope(path, b"another one")
    s3.faults = lambda request: None
    await drain(exporting, mock_clock)
    assert s3.objects()[f"records/v1/keys/{segment_id}.json"] == path.with_suffix(".keys").read_bytes()


async def test_what_was_never_exported_is_not_confirmed(tmp_path: Path, s3: StrictS3) -> None:
    segments(tmp_path, 1)
    exporting = exporter(tmp_path, s3)
    await exporting.run_once()
    [segment] = exporting._files._segments["0"]
    assert not await exporting.confirm("0", segment.name), "no checkpoint covers it"
    assert not await exporting.confirm("1", segment.name)
    assert not exporting._files._is_there("never heard of")


async def test_a_store_that_shows_no_lock_is_a_warning(
    tmp_path: Path, s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments(tmp_path, 1)
    put = s3.put

    def forgetful(request: Request, body: bytes) -> Version:
        version = put(request, body)
        s3.versions[request.key] = [version._replace(lock_mode="")]
        return version

    monkeypatch.setattr(s3, "put", forgetful)
    exporting = exporter(tmp_path, s3)
    assert not await exporting.run_once()
    assert "shows no lock" in exporting.status().warning


async def test_an_empty_or_missing_directory_is_no_trouble(tmp_path: Path, s3: StrictS3) -> None:
    exporting = exporter(tmp_path / "not made yet", s3)
    assert not await exporting.run_once()
    assert exporting.status().backlog == 0


async def until(holds: object) -> None:
    while not holds():  # type: ignore[operator]
        await trio.sleep(0.01)
