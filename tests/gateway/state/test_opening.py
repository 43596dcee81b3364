"""Settings -> a store, or one line that says what is missing."""

import sys
from pathlib import Path

import msgspec
import pytest
import trio

from gateway.state.memory import SEEN_FILE
from gateway.state.opening import open_shared_state, open_store
from gateway.state.postgres import PostgresStore
from gateway.state.settings import PostgresSettings, StateSettings
from gateway.state.sqlite import SqliteStore
from gateway.state.store import StateError, StateUnavailable
from tests.kit.postgres_server import PostgresServer
from tests.kit.shared_state import now
from tests.kit.state_entries import HOLD, asked


def settings(path: Path) -> StateSettings:
    return StateSettings(PostgresSettings(str(path)))


def test_nothing_set_is_sqlite_in_the_data_directory(tmp_path: Path) -> None:
    store = open_store(StateSettings(), tmp_path)
    assert isinstance(store, SqliteStore)
    store.close()
    assert (tmp_path / "state.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_file_with_a_connection_string_is_postgresql(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    path = tmp_path / "dsn"
    path.write_text(postgres_server.new_space() + "\n")
    store = open_store(settings(path), tmp_path)
    assert isinstance(store, PostgresStore)
    store.close()


def test_a_missing_driver_is_named_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gateway.state.postgres", "gateway.state.postgres_link"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StateError, match=r"install kubetape\[postgres\]"):
        open_store(settings(tmp_path / "dsn"), tmp_path)


def test_a_connection_string_that_is_missing_or_wrong_is_named_without_it(tmp_path: Path) -> None:
    path = tmp_path / "dsn"
    with pytest.raises(StateError, match=r"dsnFile: cannot read .*: No such file"):
        open_store(settings(path), tmp_path)
    path.write_text("\n")
    with pytest.raises(StateError, match="is empty: write postgresql://"):
        open_store(settings(path), tmp_path)
    path.write_bytes(b"\xff")
    with pytest.raises(StateError, match="not a text file"):
        open_store(settings(path), tmp_path)
    path.write_text("hunter2 in the wrong place")
    with pytest.raises(StateError, match="not a connection string") as caught:
        open_store(settings(path), tmp_path)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "dsn"
    path.write_text("postgresql://gw:hunter2@127.0.0.1:1/state")
    with pytest.raises(StateUnavailable, match=r"PostgreSQL cannot be used .*refused") as caught:
        open_store(settings(path), tmp_path)
    assert "hunter2" not in str(caught.value)


def test_the_keys_of_the_file_are_strict() -> None:
    text = b'{"postgres": {"dsnFile": "/run/dsn"}, "trustedKeys": ["k"], "signingKeyFile": "/run/key"}'
    parsed = msgspec.json.decode(text, type=StateSettings)
    assert parsed == StateSettings(PostgresSettings("/run/dsn"), "/run/key", ["k"])
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"postgres": {"dsn": "x"}}', type=StateSettings)


async def test_a_gateway_is_opened_whole_and_starts(tmp_path: Path, postgres_server: PostgresServer) -> None:
    path = tmp_path / "dsn"
    path.write_text(postgres_server.new_space())
    for chosen, memory in ((StateSettings(), False), (settings(path), True)):
        state = open_shared_state(chosen, tmp_path, "gw-1", "prod", lambda *_: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(state.run)
            await state.append(now(asked()))
            assert state.hold(HOLD) is not None
            nursery.cancel_scope.cancel()
        assert (tmp_path / SEEN_FILE).exists() == memory
    assert (tmp_path / "keys" / "state.vkey").exists()
