"""The trees of a data directory while its log is written: leaves, checkpoints, cosignatures."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from gateway.config import WitnessSettings
from gateway.keeping import tree
from gateway.keeping.tree import Trees
from gateway.log_name import identify_log
from storage.errors import StorageError
from storage.log import SegmentLog
from storage.notary.log_key import open_signer, read_vkeys
from storage.records import LogStopped, encode_record
from storage.tlog.checkpoint import cosignatures
from storage.tlog.note import parse_note
from tests.kit.acks import PATIENCE_S, SMALL, Acks
from tests.kit.segments import flip
from tests.kit.witness_rig import WITNESS_KEY, open_witness

RECORD = encode_record(LogStopped(1, "x"))
GATEWAY = "gw-1"


class WrittenLog:
    """A real log, being written."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir / "log" / "0"
        self.acks = Acks()
        self.log = SegmentLog.open(
            self.directory,
            identity=identify_log(GATEWAY, 0),
            on_commit=self.acks.on_commit,
            on_failure=self.acks.on_failure,
            settings=SMALL,
        )

    def write(self, count: int) -> None:
        for _ in range(count):
            assert self.acks.wait_durable(self.log.append(RECORD, urgent=True))


@pytest.fixture
def written(tmp_path: Path) -> Iterator[WrittenLog]:
    log = WrittenLog(tmp_path)
    yield log
    log.log.close(PATIENCE_S)


def catch_up(trees: Trees) -> None:
    while trees.step():
        pass


def test_every_frame_gets_its_leaf_and_a_checkpoint(tmp_path: Path, written: WrittenLog) -> None:
    trees = Trees(tmp_path, GATEWAY)
    written.write(5)
    catch_up(trees)
    assert trees.facts()["kubetape_tree_size"] == 5.0
    assert trees.facts()["kubetape_checkpoint_age_seconds"] < 60
    trees.close()


def test_a_keeper_that_starts_again_goes_on(tmp_path: Path, written: WrittenLog) -> None:
    written.write(3)
    first = Trees(tmp_path, GATEWAY)
    catch_up(first)
    first.close()
    written.write(2)
    second = Trees(tmp_path, GATEWAY)
    catch_up(second)
    second.put_leaves("0")
    assert second.facts()["kubetape_tree_size"] == 5.0
    second.close()


def test_the_public_key_lies_beside_the_checkpoint(tmp_path: Path, written: WrittenLog) -> None:
    written.write(1)
    for _ in range(2):
        trees = Trees(tmp_path, GATEWAY)
        catch_up(trees)
        trees.close()
    assert read_vkeys(written.directory / "tlog" / "vkey") == [trees.signer("0").verifier]


def test_at_the_end_a_log_is_signed_whole_however_young_its_checkpoint_is(
    tmp_path: Path, written: WrittenLog
) -> None:
    trees = Trees(tmp_path, GATEWAY)
    written.write(1)
    catch_up(trees)
    written.write(1)
    written.log.close(PATIENCE_S)
    catch_up(trees)
    assert trees.facts()["kubetape_tree_size"] == 1.0
    trees.finish()
    assert trees.facts()["kubetape_tree_size"] == 3.0  # two frames, one manifest
    trees.close()


def test_damage_is_said_once(tmp_path: Path, written: WrittenLog, capsys: pytest.CaptureFixture[str]) -> None:
    written.write(4)
    (segment,) = written.directory.glob("*.open")
    flip(segment, 4096 + 50)
    trees = Trees(tmp_path, GATEWAY)
    catch_up(trees)
    catch_up(trees)
    trees.close()
    assert capsys.readouterr().err.count("a segment is damaged") == 1


async def test_a_witness_cosigns_and_the_copy_is_kept(tmp_path: Path, written: WrittenLog) -> None:
    log_key = open_signer(tmp_path, identify_log(GATEWAY, 0).log_origin).verifier
    written.write(3)
    async with open_witness(tmp_path / "w", log_key) as url:
        trees = Trees(tmp_path, GATEWAY, [WitnessSettings(url, WITNESS_KEY.verifier.vkey)])
        catch_up(trees)
        await trio.to_thread.run_sync(trees.cosign)
        trees.close()
    for path in (written.directory / "tlog" / "checkpoint", written.directory / "tlog" / "checkpoints" / "3"):
        assert list(cosignatures(parse_note(path.read_bytes()), [WITNESS_KEY.verifier])) == [
            WITNESS_KEY.verifier
        ]


async def test_a_witness_that_is_away_is_said_and_holds_nothing_up(
    tmp_path: Path, written: WrittenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "COSIGN_S", 0.0)
    trees = Trees(tmp_path, GATEWAY, [WitnessSettings("http://127.0.0.1:9/", WITNESS_KEY.verifier.vkey)])
    written.write(1)
    catch_up(trees)
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9"):
        await trio.to_thread.run_sync(trees.cosign)
    assert trees.facts()["kubetape_witness_failures_total"] == 1.0
    written.write(1)
    monkeypatch.setattr(time, "monotonic", lambda start=time.monotonic: start() + 100)
    catch_up(trees)
    assert trees.facts()["kubetape_tree_size"] == 2.0
    trees.close()
