"""What only a file can do to us: damage, a lock that somebody keeps, a place that cannot be written."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.state.sqlite import STATE_FILE, SqliteStore
from gateway.state.store import StateUnavailable
from tests.kit.running import ROOT, environment


def test_what_append_returned_for_is_there_after_kill_9(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from gateway.state.sqlite import SqliteStore\n"
        "store = SqliteStore(Path(sys.argv[1]))\n"
        "for n in range(20): print(store.append(b'x', b's'), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, cwd=ROOT, env=environment()
    )
    assert done.returncode == -9
    store = SqliteStore(tmp_path)
    assert [row.seq for row in store.read_after(0, 100)] == [int(line) for line in done.stdout.split()]
    store.close()


def test_it_writes_with_full_synchronisation_and_a_log(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    for database in (store._writing, store._reading):
        assert database.run(lambda one: one.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
        assert database.run(lambda one: one.execute("PRAGMA synchronous").fetchone()) == (2,)
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"nonsense" * 1000)
    with pytest.raises(StateUnavailable, match=r"cannot open .*state\.sqlite \(file is not a database\)"):
        SqliteStore(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateUnavailable, match="No such file"):
        SqliteStore(tmp_path / "missing")


@pytest.mark.slow
def test_a_lock_that_somebody_keeps_is_waited_for_three_seconds(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    other = sqlite3.connect(tmp_path / STATE_FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailable, match="database is locked"):
        store.append(b"x", b"s")
    assert store.read_after(0, 10) == []
    other.execute("ROLLBACK")
    other.close()
    assert store.append(b"x", b"s") == 1
    store.close()


def test_after_a_failed_append_the_next_one_works(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    other = sqlite3.connect(tmp_path / STATE_FILE, isolation_level=None)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(StateUnavailable, match="full"):
        store.append(b"x", b"s")
    other.execute("DROP TRIGGER full")
    other.close()
    assert store.append(b"x", b"s") == 1
    store.close()


def test_s30_its_clock_is_never_before_its_newest_entry(tmp_path: Path) -> None:
    """As a host finds it whose clock was set back by an hour since."""
    store = SqliteStore(tmp_path)
    store.append(b"x", b"s")
    later_ns = time.time_ns() + 3600 * 10**9
    with contextlib.closing(sqlite3.connect(tmp_path / STATE_FILE, isolation_level=None)) as other:
        other.execute("UPDATE entries SET stored_ns = ?", (later_ns,))
    assert store.clock_ns() == later_ns
    store.close()


def test_an_append_is_told_of_though_the_nudge_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, writing = SqliteStore(tmp_path), SqliteStore(tmp_path)
    monkeypatch.setattr("gateway.state.sqlite.nudge_all", lambda _: None)
    monkeypatch.setattr("gateway.file_times.SETTLED_S", 1e-9)  # each change is told of once
    told = threading.Semaphore(0)
    assert watching.listen(told.release)
    assert told.acquire(timeout=10), "nothing had been seen yet"
    writing.append(b"x", b"s")
    assert told.acquire(timeout=10)
    watching.close()
    writing.close()


def test_a_store_that_another_one_of_this_process_joined_keeps_its_log_when_another_process_leaves(
    tmp_path: Path,
) -> None:
    """Whose locks are gone is overlooked by others: who leaves then deletes the log that is still written to."""
    with contextlib.closing(SqliteStore(tmp_path)) as first, contextlib.closing(SqliteStore(tmp_path)):
        first.append(b"x", b"s")
        program = (
            "import sys; from pathlib import Path; from gateway.state.sqlite import SqliteStore\n"
            "store = SqliteStore(Path(sys.argv[1])); print(len(store.read_after(0, 9))); store.close()"
        )
        command = [sys.executable, "-c", program, str(tmp_path)]
        for entries in (1, 2):
            done = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment(), check=True)
            assert int(done.stdout) == entries
            first.append(b"y", b"s")


def test_it_opens_no_more_connections_the_more_threads_use_it(tmp_path: Path) -> None:
    with contextlib.closing(SqliteStore(tmp_path)) as store:
        before = open_files_of(tmp_path)
        for _ in range(5):
            thread = threading.Thread(target=store.append, args=(b"x", b"s"))
            thread.start()
            thread.join()
        assert store.last_seq() == 5
        assert open_files_of(tmp_path) == before


def open_files_of(directory: Path) -> list[str]:
    """What this process has open there."""
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(link.readlink()))
    return sorted(target for target in targets if target.startswith(str(directory)))
