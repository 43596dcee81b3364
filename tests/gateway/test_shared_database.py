"""One connection that threads share: ended while one of them uses it, in a process of its own that could crash."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection, OperationalError, ProgrammingError

import pytest

from gateway.shared_database import SharedDatabase
from tests.kit.running import ROOT, environment

CLOSED_WHILE_USED = """
import sys, threading
from pathlib import Path
from gateway.errors import GatewayError
from gateway.session_registry import SessionRegistry, Use
from gateway.state.sqlite import SqliteStore

def of_state():
    store = SqliteStore(Path(sys.argv[1]))
    return store, lambda: store.append(b"x" * 1000, b"s")

def of_sessions():
    registry = SessionRegistry(Path(sys.argv[1]), 1000)
    return registry, lambda: registry.claim(Use("c", "S", 1))

def use(once, used):
    try:
        while True:
            once()
            used.release()
    except GatewayError:
        return

for _ in range(100):
    file, once = {"state": of_state, "sessions": of_sessions}[sys.argv[2]]()
    used = threading.Semaphore(0)
    threads = [threading.Thread(target=use, args=(once, used)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        used.acquire()
    file.close()
    for thread in threads:
        thread.join()
print("alive")
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SharedDatabase]:
    with closing(SharedDatabase(tmp_path / "file", busy_timeout_s=1, synchronous="FULL")) as made:
        yield made


@pytest.mark.parametrize("file", ["state", "sessions"])
def test_to_close_what_another_thread_uses_crashes_nobody(tmp_path: Path, file: str) -> None:
    command = [sys.executable, "-c", CLOSED_WHILE_USED, str(tmp_path), file]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


def test_once_closed_it_says_so_and_is_not_opened_again(database: SharedDatabase) -> None:
    database.close()
    with pytest.raises(ProgrammingError, match="closed"):
        database.run(lambda connection: connection.execute("SELECT 1"))
    database.close()


def test_what_fails_in_one_turn_leaves_the_next_one_free(database: SharedDatabase) -> None:
    with pytest.raises(ZeroDivisionError):
        database.run(lambda _: 1 // 0)
    assert database.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)


def test_nobody_waits_for_ever_for_one_who_hangs_and_his_connection_is_not_closed_under_him(
    tmp_path: Path,
) -> None:
    database = SharedDatabase(tmp_path / "file", busy_timeout_s=0.01, synchronous="FULL")
    begun, may_go_on, found = threading.Event(), threading.Event(), list[object]()

    def hang() -> None:
        def work(connection: Connection) -> None:
            begun.set()
            may_go_on.wait()
            found.append(connection.execute("SELECT 1").fetchone())

        database.run(work)

    hanging = threading.Thread(target=hang)
    hanging.start()
    begun.wait()
    with pytest.raises(OperationalError, match="others here still use it"):
        database.run(lambda connection: connection.execute("SELECT 1"))
    database.close()
    may_go_on.set()
    hanging.join()
    assert found == [(1,)]
    database.close()
