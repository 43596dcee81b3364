"""Index files are exactly what this version writes, private, or refused."""

import os
import sqlite3
from pathlib import Path

import pytest

from storage.index import Indexer
from storage.index_day import Day
from storage.index_schema import (
    STATE_FILE,
    GarbledIndex,
    IndexFailed,
    day_files,
    open_day,
    open_reading,
    open_state,
    remove_index_file,
    translated,
)
from storage.index_state import IndexState, indexed_up_to
from storage.query import Query
from storage.search import Archive
from tests.kit.recorded import MemoryLogs, whole_story


def changed(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()


@pytest.fixture
def day(tmp_path: Path) -> Path:
    path = tmp_path / "2026-01-31.sqlite"
    Day(path).close()
    return path


def test_a_day_file_keeps_its_token(day: Path) -> None:
    connection = open_day(day, token="another")
    token = connection.execute("SELECT token FROM meta").fetchone()[0]
    connection.close()
    reopened = Day(day)
    assert reopened.token == token != "another"
    reopened.close()


@pytest.mark.parametrize("sql", ["PRAGMA user_version = 99", "PRAGMA application_id = 1"])
def test_a_file_of_another_version_or_program_is_refused(day: Path, sql: str) -> None:
    changed(day, sql)
    for open_it in (Day, open_reading):
        with pytest.raises(GarbledIndex, match="no index of schema"):
            open_it(day)


@pytest.mark.parametrize("table", ["meta", "applied", "segments", "calls"])
def test_a_file_that_lost_a_table_is_refused(day: Path, table: str) -> None:
    changed(day, f"DROP TABLE {table}")
    with pytest.raises(GarbledIndex):
        Day(day)


def test_rows_that_are_not_what_they_must_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / STATE_FILE
    open_state(path).close()
    changed(path, "INSERT INTO logs VALUES ('a', x'c1', x'00', x'90')")
    with pytest.raises(GarbledIndex):
        IndexState(path)
    with pytest.raises(GarbledIndex):
        indexed_up_to(tmp_path, MemoryLogs())
    changed(path, "DROP TABLE logs; DROP TABLE days")
    with pytest.raises(GarbledIndex):
        IndexState(path)


def test_a_state_that_breaks_while_used_is_said(tmp_path: Path) -> None:
    state = IndexState(tmp_path / STATE_FILE)
    assert state.in_place()
    changed(tmp_path / STATE_FILE, "DROP TABLE days")
    with pytest.raises(GarbledIndex):
        state.days()
    (tmp_path / STATE_FILE).unlink()
    assert not state.in_place()
    state.close()


def test_a_day_that_breaks_while_used_is_said(day: Path) -> None:
    used = Day(day)
    changed(day, "DROP TABLE open_calls; DROP TABLE pieces")
    with pytest.raises(GarbledIndex):
        used.open_calls()
    with pytest.raises(GarbledIndex):
        used.commit("a", 1)
    assert used.in_place()
    day.unlink()
    assert not used.in_place()
    used.close()


@pytest.mark.parametrize("sql", ["UPDATE open_calls SET state = x'c1'", "DROP TABLE open_calls"])
def test_a_day_whose_open_calls_are_damaged_is_made_again(tmp_path: Path, sql: str) -> None:
    source = MemoryLogs(a=whole_story())
    for attempt in range(2):
        indexer = Indexer(tmp_path, source=source)
        while indexer.run_once():
            pass
        indexer.close()
        (path,) = day_files(tmp_path / "index").values()
        if attempt == 0:
            changed(path, sql)
    assert len(Archive(tmp_path / "index", source).calls(Query(), limit=99)) == 13


@pytest.mark.parametrize(
    "sql", ["UPDATE calls SET argv = 'x'", "UPDATE calls SET user = x'ff'", "UPDATE calls SET at_ns = 'now'"]
)
def test_a_row_that_is_not_what_it_must_be_is_not_shown(tmp_path: Path, sql: str) -> None:
    source = MemoryLogs(a=whole_story())
    indexer = Indexer(tmp_path, source=source)
    indexer.run_once()
    indexer.close()
    (path,) = day_files(tmp_path / "index").values()
    changed(path, sql)
    with pytest.raises(GarbledIndex):
        Archive(tmp_path / "index", source).calls(Query(), limit=9)


def test_what_cannot_be_opened_is_a_failure_of_the_index_not_damage(tmp_path: Path) -> None:
    with pytest.raises(IndexFailed, match="cannot open"):
        open_state(tmp_path / "no" / "such" / STATE_FILE)
    (tmp_path / "directory").mkdir()
    with pytest.raises(IndexFailed):
        open_reading(tmp_path / "directory")
    with pytest.raises(IndexFailed):
        open_reading(tmp_path / "missing.sqlite")


def test_a_full_disk_is_no_damage() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert isinstance(translated(full, Path("x")), IndexFailed)
    assert isinstance(translated(sqlite3.DatabaseError("malformed"), Path("x")), GarbledIndex)


def test_removing_takes_the_side_files_along(day: Path) -> None:
    for suffix in ("-wal", "-shm"):
        day.with_name(day.name + suffix).write_bytes(b"")
    remove_index_file(day)
    assert list(day.parent.iterdir()) == []


def test_only_days_are_day_files(day: Path) -> None:
    (day.parent / "2026-02-01.sqlite").touch()
    for other in (STATE_FILE, "2026-1-1.sqlite", "2026-01-31.sqlite-wal", "notes.txt"):
        (day.parent / other).touch()
    assert list(day_files(day.parent)) == ["2026-02-01", "2026-01-31"]


def test_others_than_root_give_no_files_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "fchown", None)
    monkeypatch.setattr(os, "chown", None)
    indexer = Indexer(tmp_path, source=MemoryLogs(a=whole_story()))
    indexer.run_once()
    indexer.close()
    assert day_files(tmp_path / "index")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_root_leaves_files_that_the_gateway_can_write(tmp_path: Path) -> None:
    os.chown(tmp_path, 12_345, 12_345)
    indexer = Indexer(tmp_path, source=MemoryLogs(a=whole_story()))
    indexer.run_once()
    made = [tmp_path / "index", *(tmp_path / "index").iterdir()]
    assert {path.stat().st_uid for path in made} == {12_345}
    indexer.close()
