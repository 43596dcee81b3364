"""The empty file of a database: made once, and never opened beside SQLite."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

from storage.database_file import create_database_file
from storage.index_schema import open_state

LEAVE = "import sqlite3, sys; one = sqlite3.connect(sys.argv[1]); one.execute('SELECT * FROM t'); one.close()"


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    create_database_file(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").read_bytes() == b""


def test_a_file_that_is_there_keeps_the_locks_this_process_has_on_it(tmp_path: Path) -> None:
    """Without them, another process that leaves believes itself the last one and deletes the log."""
    path = tmp_path / "used"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
        create_database_file(path)
        subprocess.run([sys.executable, "-c", LEAVE, str(path)], check=True)
        assert path.with_name("used-wal").exists()


def test_an_index_file_opened_twice_keeps_them_too(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with contextlib.closing(open_state(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        open_state(path).close()
        subprocess.run([sys.executable, "-c", LEAVE, str(path)], check=True)
        assert path.with_name("state.sqlite-wal").exists()
