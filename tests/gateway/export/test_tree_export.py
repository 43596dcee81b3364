"""The urgent lane: complete before it is visible, never back, soon again after trouble."""

from pathlib import Path

import pytest
import trio
import trio.testing

from gateway.export.exporter import Exporter
from gateway.export.ledger import LEDGER
from storage.errors import CorruptFrame
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint
from storage.tlog.note import generate_signer, parse_signer
from storage.tlog.tiles import new_tiles
from tests.gateway.export.exporting import TREE, Tree, exporter
from tests.kit.strict_s3 import Fault, StrictS3


def tree_names(s3: StrictS3) -> set[str]:
    return {key.removeprefix(TREE) for key in s3.objects()}


async def settle(exporting: Exporter, clock: trio.testing.MockClock) -> None:
    for _ in range(50):
        if not await exporting.run_once():
            return
        clock.jump(10)
    raise AssertionError(exporting.status())


@pytest.mark.parametrize("sizes", [(1,), (255, 256, 257), (300, 70_000)], ids=str)
async def test_every_tile_of_a_checkpoint_is_there_and_came_before_it(
    tmp_path: Path, s3: StrictS3, sizes: tuple[int, ...]
) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    for size in sizes:
        note = tree.grow(size - tree.store.size)
        assert not await exporting.run_once()
        assert s3.objects()[TREE + "checkpoint"] == s3.objects()[f"{TREE}checkpoints/{size}"] == note
        assert {tile.path for tile in new_tiles(0, size)} <= tree_names(s3)
        order = [request.key.removeprefix(TREE) for request in s3.requests if request.method == "PUT"]
        assert order[-2:] == [f"checkpoints/{size}", "checkpoint"]


async def test_full_tiles_and_copies_are_locked_and_nothing_else(tmp_path: Path, s3: StrictS3) -> None:
    Tree(tmp_path).grow(257)
    await exporter(tmp_path, s3).run_once()
    locked = {key.removeprefix(TREE) for key, [version] in s3.versions.items() if version.lock_mode}
    assert locked == {"tile/0/000", "tile/entries/000", "checkpoints/257"}


async def test_nothing_is_sent_twice(tmp_path: Path, s3: StrictS3) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    tree.grow(600)
    await exporting.run_once()
    await exporting.run_once()
    puts = s3.count("PUT")
    tree.grow(1)
    await exporting.run_once()
    assert s3.count("PUT") - puts == 4  # a tile, a bundle, a copy, the checkpoint
    assert not await exporter(tmp_path, s3).run_once()
    assert [len(versions) for key, versions in s3.versions.items() if "/tile/" in key] == [1] * 9


async def test_a_lost_ledger_asks_instead_of_sending(tmp_path: Path, s3: StrictS3) -> None:
    Tree(tmp_path).grow(600)
    await exporter(tmp_path, s3).run_once()
    (tmp_path / LEDGER).unlink()
    puts = s3.count("PUT")
    await exporter(tmp_path, s3).run_once()
    assert s3.count("PUT") - puts == 4  # what may change: three partial tiles and the checkpoint


async def test_more_signatures_on_the_same_tree_are_no_fork(tmp_path: Path, s3: StrictS3) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    note = tree.grow(3)
    await exporting.run_once()
    witness = parse_signer(generate_signer("witness.example.com")[0])
    text = note.partition(b"\n\n")[0].decode() + "\n"
    signed = sign_checkpoint(Checkpoint(*_three(text)), [tree._signer, witness])
    tree.store.publish(signed)
    assert not await exporting.run_once()
    assert exporting.status().alarms == ()
    assert s3.objects()[TREE + "checkpoint"] == signed
    assert s3.objects()[TREE + "checkpoints/3"] == note


def _three(text: str) -> tuple[str, int, bytes]:
    from storage.tlog.checkpoint import parse_checkpoint

    checkpoint = parse_checkpoint(text)
    return checkpoint.origin, checkpoint.size, checkpoint.root


# --- a log that went back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [200, 300])
@pytest.mark.parametrize("lost", [True, False], ids=["ledger lost", "ledger kept"])
async def test_a_log_that_was_rolled_back_or_rewritten_is_an_alarm_and_replaces_nothing(
    tmp_path: Path, s3: StrictS3, size: int, lost: bool
) -> None:
    honest = Tree(tmp_path / "a").grow(300)
    await exporter(tmp_path / "a", s3).run_once()
    Tree(tmp_path / "b").grow(size, lambda index: b"rewritten %d" % index)
    if not lost:
        (tmp_path / "b" / "export").mkdir()
        (tmp_path / "a" / LEDGER).rename(tmp_path / "b" / LEDGER)
    exporting = exporter(tmp_path / "b", s3)
    await exporting.run_once()
    alarms = exporting.status().alarms
    assert [alarm for alarm in alarms if "rolled back or rewritten" in alarm]
    assert s3.objects()[TREE + "checkpoint"] == honest
    assert s3.objects()[TREE + "checkpoints/300"] == honest
    assert [len(versions) for key, versions in s3.versions.items() if ".p/" not in key] == [1] * (
        len([key for key in s3.versions if ".p/" not in key])
    )


async def test_a_log_that_goes_back_while_we_look_is_noticed_too(tmp_path: Path, s3: StrictS3) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    tree.grow(3)
    older = (tree.directory / "checkpoint").read_bytes()
    tree.grow(3)
    await exporting.run_once()
    (tree.directory / "checkpoint").write_bytes(older)
    await exporting.run_once()
    assert "is shorter than its own checkpoint" in exporting.status().alarms[0]


async def test_a_forged_checkpoint_in_the_bucket_is_an_alarm(tmp_path: Path, s3: StrictS3) -> None:
    s3.plant(TREE + "checkpoint", b"no note")
    note = Tree(tmp_path).grow(1)
    exporting = exporter(tmp_path, s3)
    assert not await exporting.run_once()
    assert "is no checkpoint" in exporting.status().alarms[0]
    assert s3.objects()[TREE + "checkpoint"] == note, "of those there may be versions, and it is ours"


# --- trouble ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [Fault.ERROR, Fault.LOST_ACK, Fault.CORRUPT, Fault.CONFLICT, Fault.DENIED, Fault.RESET], ids=str
)
async def test_a_checkpoint_is_never_there_before_its_tiles(
    tmp_path: Path, s3: StrictS3, mock_clock: trio.testing.MockClock, fault: Fault
) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    await exporting._check_bucket()
    tree.grow(700)
    at = [0]

    def every_third(request: object) -> Fault | None:
        at[0] += 1
        if f"{TREE}checkpoint" in s3.objects():
            assert {tile.path for tile in new_tiles(0, 700)} <= tree_names(s3)
        return fault if at[0] % 3 == 0 else None

    s3.faults = every_third
    await settle(exporting, mock_clock)
    assert {tile.path for tile in new_tiles(0, 700)} <= tree_names(s3)


async def test_a_failure_is_said_and_over_when_it_is_over(
    tmp_path: Path, s3: StrictS3, mock_clock: trio.testing.MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    await exporting._check_bucket()
    tree.grow(1)
    s3.faults = lambda request: Fault.ERROR
    for _ in range(2):
        assert await exporting.run_once()
        mock_clock.jump(6)
    status = exporting.status()
    assert "the checkpoint of log 0 is not exported" in status.problem
    assert status.checkpoint_behind_s >= 6
    assert capsys.readouterr().err.count("is not exported") == 1
    s3.faults = lambda request: None
    assert not await exporting.run_once()
    status = exporting.status()
    assert (status.problem, status.checkpoint_behind_s) == ("", 0.0)
    assert status.last_checkpoint_s is not None


async def test_failures_are_waited_out_for_seconds_and_not_at_all_in_a_hurry(
    tmp_path: Path, s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    await exporting._check_bucket()
    tree.grow(1)
    left = [Fault.ERROR]
    s3.faults = lambda request: left.pop() if left else None
    assert await exporting.run_once()
    asked = len(s3.requests)
    assert await exporting.run_once()
    assert len(s3.requests) == asked, "it is not due yet"
    assert await exporting.flush(5)


async def test_a_tree_that_grows_meanwhile_is_exported_at_its_newer_size(
    tmp_path: Path, s3: StrictS3
) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    await exporting._check_bucket()
    tree.grow(3)
    left = [1]

    def grow(request: object) -> None:
        if left:
            left.pop()
            tree.grow(1)
            tree.grow(1)  # now the partial tiles of size 3 are gone

    s3.faults = grow
    assert not await exporting.run_once()
    assert f"{TREE}checkpoints/5" in s3.objects()
    assert f"{TREE}checkpoints/3" not in s3.objects()


async def test_a_tree_that_grows_faster_than_it_is_read_is_tried_again(tmp_path: Path, s3: StrictS3) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    await exporting._check_bucket()
    tree.grow(3)
    (tree.directory / "tile" / "0" / "000.p" / "3").unlink()
    assert await exporting.run_once()
    assert "faster than it can be read" in exporting.status().problem


async def test_a_full_tile_that_is_missing_is_for_the_log_to_make_again(tmp_path: Path, s3: StrictS3) -> None:
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    tree.grow(300)
    (tree.directory / "tile" / "0" / "000").unlink()
    assert await exporting.run_once()
    assert "tile/0/000 is missing on disk" in exporting.status().problem
    assert TREE + "checkpoint" not in s3.objects()


@pytest.mark.parametrize("content", [b"garbage", bytes(2 << 20)], ids=["garbage", "huge"])
async def test_a_checkpoint_that_is_none_is_not_exported(
    tmp_path: Path, s3: StrictS3, content: bytes
) -> None:
    directory = tmp_path / "log" / "0" / "tlog"
    directory.mkdir(parents=True)
    (directory / "checkpoint").write_bytes(content)
    exporting = exporter(tmp_path, s3)
    assert await exporting.run_once()
    assert "the checkpoint of log 0 is not exported" in exporting.status().problem
    assert s3.count("PUT") == 0


async def test_not_knowing_what_is_covered_frees_nothing_and_stops_nothing(
    tmp_path: Path, s3: StrictS3
) -> None:
    note = Tree(tmp_path).grow(1)

    def fails(log: Path) -> int:
        raise CorruptFrame("x", 0, "no")

    exporting = exporter(tmp_path, s3, covered=fails)
    assert not await exporting.run_once()
    assert s3.objects()[TREE + "checkpoint"] == note
    assert "cannot be read" in exporting.status().problem


async def test_two_logs_do_not_wait_for_each_other(tmp_path: Path, s3: StrictS3) -> None:
    Tree(tmp_path).grow(1)
    (tmp_path / "log" / "1" / "tlog").mkdir(parents=True)
    (tmp_path / "log" / "1" / "tlog" / "checkpoint").write_bytes(b"broken")
    exporting = exporter(tmp_path, s3)
    assert await exporting.run_once()
    assert TREE + "checkpoint" in s3.objects()
    assert "log 1" in exporting.status().problem
