"""The stores under test: SQLite in a temporary directory, PostgreSQL on a real server of our own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.state.postgres import PostgresStore
from gateway.state.sqlite import SqliteStore
from gateway.state.store import StateStore
from tests.kit.postgres_server import PostgresServer, why_not

OpenStore = Callable[[], StateStore]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if why_not():
        pytest.skip(why_not())
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server for one test, which may be killed and paused."""
    if why_not():
        pytest.skip(why_not())
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the store of this test, as often as it is called: one of each process that shares it."""
    opened: list[StateStore] = []
    dsn = ""
    if request.param == "postgres":
        dsn = request.getfixturevalue("postgres_server").new_space()

    def open_one() -> StateStore:
        store: StateStore = PostgresStore(dsn) if dsn else SqliteStore(tmp_path)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()
