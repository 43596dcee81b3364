"""The index says what the log says: after crashes, damage, deletion, in any steps, with several logs."""

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from protocol.events import Channel
from storage.errors import CorruptFrame
from storage.index import MAX_OPEN_DAYS, Indexer, rebuild_index
from storage.index_day import Day
from storage.index_rows import IndexSettings
from storage.index_schema import STATE_FILE, IndexFailed, day_files
from storage.index_state import indexed_up_to
from storage.query import Query, parse_query
from storage.reader import Position
from storage.records import ChannelChunk, Gap, Outcome, PolicyLoaded, ResponseStarted, encode_record
from storage.search import Archive
from storage.sources import RecordSource, SegmentLogs
from tests.kit.recorded import SECOND_NS, START_NS, MemoryLogs, Tape, open_log, whole_story, write_log

DAY_S = 86_400
COMMIT = Day.commit


def index(
    directory: Path, source: RecordSource, *, budget: int = 4000, settings: IndexSettings | None = None
) -> int:
    """Index everything and close; returns the number of records taken."""
    indexer = Indexer(directory, source=source, settings=settings)
    try:
        while indexer.run_once(budget):
            pass
        return indexer.indexed
    finally:
        indexer.close()


def dump(directory: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything a reader can see, without row numbers that depend on how steps were cut."""
    content: dict[str, list[tuple[object, ...]]] = {"calls": [], "texts": []}
    for path in day_files(directory / "index").values():
        with sqlite3.connect(path) as day:
            calls = dict(day.execute("SELECT id, exchange FROM calls"))
            content["calls"] += day.execute("SELECT * FROM calls ORDER BY exchange").fetchall()
            rows = day.execute("SELECT call, kind, count(*) FROM pieces GROUP BY call, kind").fetchall()
            content["texts"] += sorted((calls[call], kind) for call, kind, _ in rows)
            content["sessions"] = day.execute("SELECT * FROM sessions").fetchall()
        day.close()
    return content


def found(directory: Path, source: RecordSource, expression: str = "") -> list[str]:
    """Ids of the calls that match."""
    archive = Archive(directory / "index", source)
    query = parse_query(expression, now_ns=START_NS)
    return [row.exchange.hex() for row in archive.calls(query, limit=10_000, oldest_first=True)]


def test_the_index_is_the_same_in_one_step_and_in_steps_of_one_record(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    index(tmp_path / "one", source)
    index(tmp_path / "many", source, budget=1)
    assert dump(tmp_path / "one") == dump(tmp_path / "many")
    assert len(dump(tmp_path / "one")["calls"]) == 13


def test_a_new_indexer_after_every_record_gives_the_same(tmp_path: Path) -> None:
    """What is open between two records is kept on disk: streams, half lines, counters."""
    tape = whole_story()
    source = MemoryLogs(a=tape)
    index(tmp_path / "one", source)
    records, tape.records = tape.records, []
    for record in records:
        tape.records.append(record)
        index(tmp_path / "many", source)
    assert dump(tmp_path / "one") == dump(tmp_path / "many")
    assert found(tmp_path / "many", source, '"4111 1111" grün')


def test_idle_steps_read_nothing_again(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    index(tmp_path, source)
    source.reads = 0
    indexer = Indexer(tmp_path, source=source)
    assert not any(indexer.run_once() for _ in range(5))
    assert source.reads == 1  # once, to see that the log is still the same
    indexer.close()


def test_a_step_is_bounded_and_says_whether_there_is_more(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    indexer = Indexer(tmp_path, source=source)
    assert indexer.run_once(10)
    assert source.reads == indexer.indexed == 10
    indexer.close()


def test_a_crash_between_day_and_state_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemoryLogs(a=whole_story())
    index(tmp_path / "whole", source)
    for fail_at in range(3):
        directory = tmp_path / str(fail_at)
        commits = 0

        def commit(day: Day, log: str, seq: int, _fail_at: int = fail_at) -> None:
            nonlocal commits
            COMMIT(day, log, seq)
            commits += 1
            if commits == _fail_at + 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Day, "commit", commit)
            with pytest.raises(KeyboardInterrupt):
                index(directory, source, budget=20)
        index(directory, source, budget=7)
        assert dump(directory) == dump(tmp_path / "whole")


@pytest.mark.parametrize(
    "garble", ["delete day", "delete state", "overwrite day", "overwrite state", "cut day", "empty"]
)
def test_derived_files_deleted_or_garbled_are_made_again(tmp_path: Path, garble: str) -> None:
    source = MemoryLogs(a=whole_story())
    index(tmp_path, source)
    expected = dump(tmp_path)
    day, state = next(iter(day_files(tmp_path / "index").values())), tmp_path / "index" / STATE_FILE
    target = state if "state" in garble else day
    if garble.startswith("delete"):
        target.unlink()
    elif garble.startswith("overwrite"):
        target.write_bytes(b"garbage" * 1000)
    elif garble == "cut day":
        target.write_bytes(target.read_bytes()[:9000])
    else:
        target.write_bytes(b"")
    for path in target.parent.glob(f"{target.name}-*"):
        path.unlink()
    index(tmp_path, source)
    assert dump(tmp_path) == expected


def test_a_day_file_of_another_index_is_not_trusted(tmp_path: Path) -> None:
    source, other = MemoryLogs(a=whole_story()), Tape(tag="other")
    other.delete(name="planted")
    index(tmp_path / "real", source)
    index(tmp_path / "other", MemoryLogs(a=other))
    real, planted = (next(iter(day_files(tmp_path / name / "index").values())) for name in ("real", "other"))
    real.write_bytes(planted.read_bytes())
    index(tmp_path / "real", source)
    assert not found(tmp_path / "real", source, "planted")
    assert len(found(tmp_path / "real", source)) == 13


def test_a_day_that_lost_its_last_commits_is_read_again(tmp_path: Path) -> None:
    """A power cut may take more of one file than of the other."""
    source = MemoryLogs(a=whole_story())
    index(tmp_path, source)
    expected = dump(tmp_path)
    day = next(iter(day_files(tmp_path / "index").values()))
    with sqlite3.connect(day) as connection:
        connection.execute("UPDATE meta SET generation = generation - 1")
        connection.execute("DELETE FROM calls WHERE id > 5")
        connection.execute("UPDATE applied SET seq = 20")
    connection.close()
    index(tmp_path, source)
    assert dump(tmp_path) == expected


def test_an_index_of_another_log_is_thrown_away(tmp_path: Path) -> None:
    index(tmp_path, MemoryLogs(a=whole_story()))
    other = Tape(tag="other")
    for number in range(40):
        other.delete(name=f"new-{number}")
    source = MemoryLogs(a=other)
    index(tmp_path, source)
    assert len(found(tmp_path, source)) == 40


def test_an_index_of_a_longer_log_is_thrown_away(tmp_path: Path) -> None:
    tape = whole_story()
    source = MemoryLogs(a=tape)
    index(tmp_path, source)
    del tape.records[20:]
    index(tmp_path, source)
    assert len(found(tmp_path, source)) == 5


def test_deleting_the_files_under_a_running_indexer_heals(tmp_path: Path) -> None:
    tape = whole_story()
    source = MemoryLogs(a=tape)
    indexer = Indexer(tmp_path, source=source)
    while indexer.run_once():
        pass
    for path in (tmp_path / "index").glob("*.sqlite*"):
        path.unlink()
    tape.delete(name="after")
    while indexer.run_once():
        pass
    indexer.close()
    assert len(found(tmp_path, source)) == 14


def test_deleting_the_whole_directory_under_a_running_indexer_heals(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    indexer = Indexer(tmp_path, source=source)
    indexer.run_once()
    shutil.rmtree(tmp_path / "index")
    while indexer.run_once():
        pass
    other = Indexer(tmp_path, source=source)
    assert not other.take_lock()
    indexer.close()
    assert len(found(tmp_path, source)) == 13


def test_only_one_indexer_works_at_a_time(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story())
    first, second = Indexer(tmp_path, source=source), Indexer(tmp_path, source=source)
    assert first.take_lock()
    assert not second.run_once()
    assert second.indexed == 0
    with pytest.raises(IndexFailed, match="running gateway"):
        rebuild_index(tmp_path, source=source)
    first.close()
    second.run_once()
    assert second.indexed == 75
    second.close()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"")
    with pytest.raises(IndexFailed, match="cannot write"):
        Indexer(tmp_path, source=MemoryLogs()).run_once()


def test_a_full_disk_is_an_error_and_nothing_is_lost_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemoryLogs(a=whole_story())
    indexer = Indexer(tmp_path, source=source)
    indexer.run_once(30)

    def full(*_: object) -> None:
        raise IndexFailed("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Day, "commit", full)
        with pytest.raises(IndexFailed):
            indexer.run_once(30)
    while indexer.run_once():
        pass
    indexer.close()
    index(tmp_path / "fresh", source)
    assert dump(tmp_path) == dump(tmp_path / "fresh")


def test_index_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        index(tmp_path, MemoryLogs(a=whole_story()))
    finally:
        os.umask(before)
    assert (tmp_path / "index").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "index").iterdir())


def test_an_index_whose_position_is_not_in_the_log_is_thrown_away(tmp_path: Path) -> None:
    tape = whole_story()
    source = MemoryLogs(a=tape)
    index(tmp_path, source)

    class Moved(MemoryLogs):
        """The same number of records, in other frames."""

        def _position(self, log: str, seq: int) -> Position:
            return Position(f"{log}-moved", 4096 + seq, 0, seq)

    other = Moved(a=tape)
    index(tmp_path, other)
    archive = Archive(tmp_path / "index", other)
    assert {at.segment for row in archive.calls(Query(), limit=99) for at in archive.positions(row)} == {
        "a-moved"
    }


def test_damage_at_the_place_reached_keeps_what_was_indexed(tmp_path: Path) -> None:
    tape = whole_story()
    source = MemoryLogs(a=tape)
    index(tmp_path, source)
    source.damaged_at = len(tape.records) - 1
    tape.delete(name="after")
    index(tmp_path, source)
    assert len(found(tmp_path, source)) == 14


def test_a_lost_day_is_read_again_without_doubling_the_others(tmp_path: Path) -> None:
    tape = Tape()
    tape.started()
    stream = tape.logs(end=False)
    tape.records.append(Gap(tape.now_ns, "a gap of that day"))
    tape.wait(DAY_S)
    tape.delete(name="second-day")
    crashed = tape.crashed()
    tape.wait(DAY_S)
    tape.started()
    tape.delete(name="third-day")
    source = MemoryLogs(a=tape)
    index(tmp_path, source)
    expected = dump(tmp_path)
    for day in list(day_files(tmp_path / "index").values()):
        day.unlink()
        index(tmp_path, source)
        assert dump(tmp_path) == expected
    assert found(tmp_path, source, "result:unknown") == [stream.hex(), crashed.hex()]


# --- what happened in the log -------------------------------------------------------------------


def test_what_lies_before_damage_is_indexed_and_the_damage_is_raised(tmp_path: Path) -> None:
    source = MemoryLogs(a=whole_story(), b=Tape(tag="b"))
    source.damaged_at = 33
    with pytest.raises(CorruptFrame):
        index(tmp_path, source)
    assert len(found(tmp_path, source)) == 7
    with pytest.raises(CorruptFrame):  # and again: it is never skipped
        index(tmp_path, source)


def test_expired_segments_leave_what_was_indexed_of_them(tmp_path: Path) -> None:
    tape = Tape()
    for number in range(60):
        tape.delete(name=f"pod-{number}")
    source = MemoryLogs(a=tape)
    indexer = Indexer(tmp_path, source=source)
    indexer.run_once(50)
    indexer.close()
    source.expired_before = 100  # in the middle of what is not indexed yet
    index(tmp_path, source)
    names = [
        row.name for row in Archive(tmp_path / "index", source).calls(Query(), limit=100, oldest_first=True)
    ]
    assert names[0] == "pod-0"
    assert names[-1] == "pod-59"
    assert len(names) == len(set(names)) < 60


def test_segments_that_expire_while_the_indexer_runs_do_not_stop_it(tmp_path: Path) -> None:
    tape = Tape()
    for number in range(60):
        tape.delete(name=f"pod-{number}")
    source = MemoryLogs(a=tape)
    indexer = Indexer(tmp_path, source=source)
    indexer.run_once(50)
    source.expired_before = 100
    while indexer.run_once():
        pass
    indexer.close()
    assert found(tmp_path, source, "name:pod-59")


def test_a_call_without_outcome_is_unknown_once_another_run_begins(tmp_path: Path) -> None:
    tape = Tape()
    tape.started()
    crashed = tape.crashed()
    source = MemoryLogs(a=tape)
    source.live.add("a")
    index(tmp_path, source)
    assert found(tmp_path, source, "result:live") == [crashed.hex()]
    tape.started()
    alive = tape.logs(end=False)
    index(tmp_path, source)
    assert found(tmp_path, source, "result:unknown") == [crashed.hex()]
    assert found(tmp_path, source, "result:live") == [alive.hex()]
    tape.stopped()
    source.live.clear()
    index(tmp_path, source)
    assert found(tmp_path, source, "result:unknown") == [crashed.hex(), alive.hex()]


def test_the_end_of_one_log_says_nothing_about_another(tmp_path: Path) -> None:
    one, other = Tape(tag="1"), Tape(tag="2")
    open_call = one.crashed()
    source = MemoryLogs(a=one, b=other)
    source.live |= {"a", "b"}
    index(tmp_path, source)
    other.started()
    index(tmp_path, source)
    assert found(tmp_path, source, "result:live") == [open_call.hex()]


def test_a_stream_over_midnight_belongs_to_the_day_it_began(tmp_path: Path) -> None:
    tape = Tape(start_ns=START_NS + 13 * 3600 * SECOND_NS + 3599 * SECOND_NS + 900_000_000)
    stream = tape.logs(end=False)
    for day in range(1, MAX_OPEN_DAYS + 3):
        tape.now_ns = START_NS + day * DAY_S * SECOND_NS
        tape.delete(name=f"day-{day}")
    tape.records.append(Outcome(stream, 7 * DAY_S * 1_000_000, "client-left", 200, response_bytes=9))
    source = MemoryLogs(a=tape)
    index(tmp_path, source, budget=5)
    assert len(day_files(tmp_path / "index")) == MAX_OPEN_DAYS + 3
    archive = Archive(tmp_path / "index", source)
    (row,) = archive.calls(parse_query("kind:log", now_ns=0), limit=9)
    assert (row.exchange, row.result, row.last_us) == (stream, "client-left", 7 * DAY_S * 1_000_000)
    assert len(archive.positions(row)) == 8


def test_two_logs_share_days_commands_and_sessions(tmp_path: Path) -> None:
    one, other = Tape(tag="1"), Tape(tag="2")
    one.get_pods(run="same")
    other.get_pods(run="same")
    source = MemoryLogs(a=one, b=other)
    index(tmp_path, source, budget=3)
    (command,) = Archive(tmp_path / "index", source).commands(Query(), limit=9)
    assert command.facts.calls == 8


def test_records_of_unknown_and_orphaned_kinds_are_passed_over(tmp_path: Path) -> None:
    tape = Tape()
    tape.records.append(ResponseStarted(b"o" * 16, 1, 200, ()))  # its Intent expired
    tape.records.append(Gap(START_NS, "disk full"))
    tape.records.append(PolicyLoaded(START_NS, "p" * 64, "enforce"))
    tape.delete()

    class Newer(MemoryLogs):
        def records(self, log, start):  # type: ignore[no-untyped-def]
            for position, encoded in super().records(log, start):
                if position.record_seq == 1:
                    encoded = b"\x92\xcc\xc8\x01"  # [200, 1]: a record type of a later version
                if position.record_seq == 2:
                    encoded = b"\xc1"  # no record at all
                yield position, encoded

    source = Newer(a=tape)
    index(tmp_path, source)
    assert len(found(tmp_path, source)) == 1


def test_text_beyond_the_limit_is_counted_as_cut(tmp_path: Path) -> None:
    tape = Tape()
    tape.exec(output=tuple((at, b"x%d some output\n" % at) for at in range(100)))
    source = MemoryLogs(a=tape)
    index(tmp_path, source, settings=IndexSettings(max_stream_bytes=200))
    (row,) = Archive(tmp_path / "index", source).calls(parse_query("kind:exec", now_ns=0), limit=9)
    assert row.text_cut
    assert found(tmp_path, source, "x3")
    assert not found(tmp_path, source, "x99")


def test_a_clock_gone_mad_does_not_stop_the_index(tmp_path: Path) -> None:
    tape = Tape(start_ns=2**63 + 5)
    tape.delete()
    tape.now_ns = -5
    tape.delete()
    source = MemoryLogs(a=tape)
    index(tmp_path, source)
    assert list(day_files(tmp_path / "index")) == ["2262-04-11", "1970-01-01"]


def test_a_hostile_flood_of_one_stream_is_bounded_in_a_step(tmp_path: Path) -> None:
    tape = Tape()
    exchange = tape.exec(end=False)
    for at in range(300):
        tape.records.append(ChannelChunk(exchange, at, Channel.STDOUT, False, b"\x1b]0;" * 30_000))
    indexer = Indexer(tmp_path, source=MemoryLogs(a=tape))
    indexer.run_once()
    assert indexer.indexed < 200
    indexer.close()


# --- the real log -------------------------------------------------------------------------------


def test_a_real_log_is_indexed_while_it_is_written(tmp_path: Path) -> None:
    tape, source = whole_story(), SegmentLogs(tmp_path)
    log = open_log(tmp_path)
    indexer = Indexer(tmp_path)
    for record in tape.records:
        log.append(encode_record(record), urgent=True)
    deadline = time.monotonic() + 20
    while indexer.indexed < len(tape.records):
        indexer.run_once()
        assert time.monotonic() < deadline
    assert source.is_live("0")
    assert len(found(tmp_path, source, "result:live")) == 1
    log.close(10)
    assert not source.is_live("0")
    assert len(found(tmp_path, source, "result:unknown")) == 1
    assert indexed_up_to(tmp_path / "index", source)["0"] is not None
    indexer.close()


def test_rebuilding_gives_the_same_and_shows_progress(tmp_path: Path) -> None:
    tape = Tape()
    for number in range(1500):
        tape.delete(name=f"pod-{number}", run=str(number))
    write_log(tmp_path, tape)
    index(tmp_path, SegmentLogs(tmp_path))
    expected = dump(tmp_path)
    seen: list[int] = []
    assert rebuild_index(tmp_path, seen.append) == len(tape.records)
    assert dump(tmp_path) == expected
    assert seen == sorted(set(seen))
    assert 0 < seen[0] <= seen[-1] < len(tape.records)


def test_an_empty_data_directory_has_an_empty_index(tmp_path: Path) -> None:
    assert indexed_up_to(tmp_path / "index", MemoryLogs(a=Tape())) == {"a": None}
    assert index(tmp_path, SegmentLogs(tmp_path)) == 0
    assert indexed_up_to(tmp_path / "index", SegmentLogs(tmp_path)) == {}


@pytest.mark.slow
def test_a_hundred_thousand_records_are_indexed_at_five_thousand_a_second(tmp_path: Path) -> None:
    tape, run = Tape(), 0
    while len(tape.records) < 100_000:
        run += 1
        tape.get_pods(run=f"g{run}")
        tape.apply(run=f"a{run}")
        tape.delete(run=f"d{run}", name=f"web-{run}")
        if run % 5 == 0:
            tape.exec(run=f"e{run}")
    write_log(tmp_path, tape)
    began = time.perf_counter()
    taken = index(tmp_path, SegmentLogs(tmp_path))
    rate = taken / (time.perf_counter() - began)
    print(f"index: {rate:.0f} records a second")
    assert rate > 5000
