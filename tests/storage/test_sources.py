"""Logs of a data directory: which there are, which are live, records by position."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from storage.errors import NoKey, Shredded
from storage.notary.tombstone import Tombstone, sign_tombstone
from storage.reader import Position
from storage.records import decode_record
from storage.sources import SegmentLogs, is_locked, read_positions
from storage.tlog.note import generate_signer, parse_signer
from tests.kit.recorded import MemoryLogs, Tape, whole_story, write_log
from tests.kit.sealing import RING, write_encrypted_log


def test_logs_are_the_directories_below_log(tmp_path: Path) -> None:
    assert SegmentLogs(tmp_path).logs() == []
    for name in ("1", "0"):
        (tmp_path / "log" / name).mkdir(parents=True)
    (tmp_path / "log" / "notes.txt").touch()
    assert SegmentLogs(tmp_path).logs() == ["0", "1"]
    assert not SegmentLogs(tmp_path).is_live("0")


def test_a_log_is_live_while_its_lock_is_held_and_asking_does_not_take_it(tmp_path: Path) -> None:
    (tmp_path / "log" / "0").mkdir(parents=True)
    lock = os.open(tmp_path / "log" / "0" / "LOCK", os.O_RDWR | os.O_CREAT)
    assert not SegmentLogs(tmp_path).is_live("0")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert SegmentLogs(tmp_path).is_live("0")
    fcntl.flock(lock, fcntl.LOCK_UN)
    assert not SegmentLogs(tmp_path).is_live("0")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
    assert not is_locked(tmp_path / "gone")


def test_records_are_read_by_position_from_a_real_log(tmp_path: Path) -> None:
    tape = whole_story()
    write_log(tmp_path, tape)
    source = SegmentLogs(tmp_path)
    everything = list(source.records("0", None))
    wanted = [everything[at] for at in (3, 4, 9, 40, 74)]
    read = list(read_positions(source, "0", [position for position, _ in wanted]))
    assert read == [encoded for _, encoded in wanted]
    assert [decode_record(encoded) for encoded in read] == [tape.records[at] for at in (3, 4, 9, 40, 74)]


def test_far_positions_are_read_without_all_between() -> None:
    tape = Tape()
    for number in range(400):
        tape.delete(name=str(number))
    source = MemoryLogs(a=tape)
    positions = [position for position, _ in source.records("a", None)]
    source.reads = 0
    assert len(list(read_positions(source, "a", [positions[at] for at in (0, 5, 1500)]))) == 3
    assert source.reads < 20


def test_a_source_that_begins_behind_the_position_gives_nothing_for_it() -> None:
    class Late(MemoryLogs):
        def records(self, log: str, start: Position | None) -> Iterator[tuple[Position, bytes]]:
            return super().records(log, None if start is None else self._position(log, start.record_seq + 1))

    source = Late(a=whole_story())
    assert list(read_positions(source, "a", [next(source.records("a", None))[0]])) == []


def test_a_position_that_does_not_exist_gives_nothing() -> None:
    source = MemoryLogs(a=whole_story())
    first = next(source.records("a", None))[0]
    beyond = Position(first.segment, first.offset, 0, 500)
    assert len(list(read_positions(source, "a", [first, beyond]))) == 1


def test_why_a_record_that_is_there_cannot_be_read(tmp_path: Path) -> None:
    tape = Tape()
    tape.get_pods()
    write_encrypted_log(tmp_path, tape)
    source = SegmentLogs(tmp_path, keys=RING)
    (first, _), *_ = source.records("0", None)
    assert source.unreadable("0", first) is None
    assert source.unreadable("0", msgspec.structs.replace(first, offset=1)) is None
    assert source.unreadable("1", first) is None
    assert isinstance(SegmentLogs(tmp_path).unreadable("0", first), NoKey)
    (envelope,) = tmp_path.glob("log/0/*.keys")
    envelope.rename(envelope.with_suffix(".shredded"))
    assert isinstance(source.unreadable("0", first), Shredded)
    with pytest.raises(Shredded):
        list(read_positions(source, "0", [first]))


def test_what_a_tombstone_says_of_a_segment_that_is_gone(tmp_path: Path) -> None:
    directory = tmp_path / "log" / "0"
    directory.mkdir(parents=True)
    signer = parse_signer(generate_signer("gw")[0])
    stem = "1790000000123-000001-00000007-ad151265"
    tombstone = Tombstone("gw", stem, "id", 7, 1, bytes(32), 1, 2, 1_790_000_000_000_000_000, "retention 30d")
    (directory / f"{stem}.tombstone").write_bytes(sign_tombstone(tombstone, signer))
    why = SegmentLogs(tmp_path).why_gone("0", stem)
    assert why is not None
    assert "retention 30d" in why
    assert SegmentLogs(tmp_path).why_gone("0", "1790000000123-000001-00000008-ad151265") is None
