"""What a gateway has seen of a database stays in force, whoever deletes it there."""

from pathlib import Path

import pytest
import trio

from gateway.state.entries import BudgetSpent
from gateway.state.follower import SharedState
from gateway.state.memory import SEEN_FILE, Memory
from gateway.state.postgres import PostgresStore
from gateway.state.store import AlreadyClaimed, StateUnavailable, Stored
from tests.kit.postgres_server import PostgresServer
from tests.kit.shared_state import become, forged, gateway, now
from tests.kit.state_entries import ANN, GRANT, HOLD, asked, granted, revoked, said, used, wanted

ROW = Stored(1, b"entry", b"signature", 0)


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    return postgres_server.new_space()


async def lived(database: str, data_dir: Path, *entries: object) -> SharedState:
    """A gateway that starts, appends these, and stops; what it knew then."""
    state = gateway(PostgresStore(database), memory=Memory(data_dir))
    async with trio.open_nursery() as nursery:
        await nursery.start(state.run)
        for entry in entries:
            await state.append(now(entry))
        nursery.cancel_scope.cancel()
    return state


async def test_a_revocation_that_was_deleted_stays_in_force(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    await lived(database, tmp_path, revoked("user", "ann"), wanted())
    postgres_server.execute("DELETE FROM kubetape_entries WHERE claim LIKE 'revocation/%'", database)
    state = await lived(database, tmp_path)
    assert state.revocation_of(*ANN, "c", "s") is not None
    assert "1 entries that this gateway had seen were gone from the database" in state.problem()


async def test_what_was_deleted_is_put_back_for_gateways_that_never_saw_it(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    await lived(database, tmp_path, revoked("user", "ann"))
    postgres_server.execute("DELETE FROM kubetape_entries", database)
    await lived(database, tmp_path)
    fresh = gateway(PostgresStore(database))
    async with trio.open_nursery() as nursery:
        await nursery.start(fresh.run)
        assert fresh.revocation_of(*ANN, "c", "s") is not None
        nursery.cancel_scope.cancel()


async def test_an_expiry_that_was_forged_hides_nothing(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    await lived(database, tmp_path, revoked("user", "ann"))
    postgres_server.execute("UPDATE kubetape_entries SET expires_ns = 1", database)
    assert (await lived(database, tmp_path)).revocation_of(*ANN, "c", "s") is not None


async def test_an_approval_whose_use_was_deleted_is_not_used_again(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    await lived(database, tmp_path, asked(), said(), used())
    postgres_server.execute("DELETE FROM kubetape_entries WHERE claim LIKE '%/use/%'", database)
    state = gateway(PostgresStore(database), memory=Memory(tmp_path))
    async with trio.open_nursery() as nursery:
        await nursery.start(state.run)
        hold = state.hold(HOLD)
        assert hold is not None
        assert hold.uses == ("d1",)
        with pytest.raises(AlreadyClaimed):
            await state.append(now(used(exchange="e2")))
        nursery.cancel_scope.cancel()


async def test_what_was_spent_counts_though_it_was_deleted(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    await lived(database, tmp_path, BudgetSpent(at_ns=1, subject="s1", counter="deletes", amount=3))
    postgres_server.execute("DELETE FROM kubetape_entries", database)
    for _ in range(2):
        assert (await lived(database, tmp_path)).view.budget("s1", "deletes").spent == 3


async def test_nothing_is_missed_when_nothing_was_deleted(database: str, tmp_path: Path) -> None:
    await lived(database, tmp_path, wanted(), granted(), revoked("session", "s9"))
    state = await lived(database, tmp_path)
    assert state.problem() == ""
    assert [grant.id for grant in state.view.grants_of(*ANN, state.now_ns())] == [GRANT]


async def test_what_is_not_believed_is_not_remembered(database: str, tmp_path: Path) -> None:
    store = PostgresStore(database)
    store.append(*forged(now(wanted())))
    store.close()
    await lived(database, tmp_path, revoked("session", "s9"))
    memory = Memory(tmp_path)
    assert len(memory.missing([], 1)) == 1
    memory.close()


async def test_a_memory_that_cannot_be_written_is_tried_again(database: str, tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    failing = [True]
    keep = memory.keep

    class Failing(Memory):
        def keep(self, rows: object) -> None:
            if failing[0]:
                raise StateUnavailable("cannot write: the disk is full")
            keep(rows)  # type: ignore[arg-type]

    state = gateway(PostgresStore(database), memory=Failing(tmp_path))
    async with trio.open_nursery() as nursery:
        await nursery.start(state.run)
        with pytest.raises(StateUnavailable, match="the disk is full"):
            await state.append(now(revoked("user", "ann")))
        assert state.revocation_of(*ANN, "c", "s") is not None
        await become(lambda: "the disk is full" in state.problem())
        failing[0] = False
        await become(lambda: len(memory.missing([], 1)) == 1)
        await become(lambda: state.problem() == "")
        nursery.cancel_scope.cancel()
    memory.close()


def test_what_is_kept_twice_is_there_once_and_survives(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.keep([ROW, ROW])
    memory.close()
    again = Memory(tmp_path)
    (row,) = again.missing([], 1)
    assert (row.encoded, row.signature) == (ROW.encoded, ROW.signature)
    assert again.missing([ROW], 1) == []
    again.close()
    assert (tmp_path / SEEN_FILE).stat().st_mode & 0o777 == 0o600


def test_what_has_expired_is_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.keep([Stored(1, b"a", b"s", 10)])
    assert memory.missing([], 9) != []
    assert memory.missing([], 10) == []
    assert memory.delete_expired(10**18) == 1
    memory.close()
