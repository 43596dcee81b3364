"""What only a server can do to us: die, stand still, drop connections, disappear behind the network."""

import threading
import time

import psycopg
import pytest
import trio

from gateway.state.postgres import APPEND_LOCK, PostgresStore
from gateway.state.postgres_link import DEADLINE_S
from gateway.state.store import StateUnavailable
from tests.kit.cable import cabled
from tests.kit.postgres_server import PostgresServer
from tests.kit.shared_state import gateway, make_seal, now, until
from tests.kit.state_entries import ANN, granted, revoked, wanted


@pytest.mark.slow
async def test_a_server_that_is_killed_and_comes_back_is_followed_again(own_postgres: PostgresServer) -> None:
    dsn = own_postgres.dsn()
    one, other = (
        gateway(PostgresStore(dsn), stale_after_s=1.0),
        gateway(PostgresStore(dsn), stale_after_s=1.0),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(one.run)
        await nursery.start(other.run)
        await one.append(now(wanted()))
        await one.append(now(granted()))
        own_postgres.kill()
        await until(other, lambda: other.is_stale)
        assert other.grants_of(*ANN) == ()
        with pytest.raises(StateUnavailable, match="PostgreSQL cannot be used"):
            await one.append(now(revoked("user", "ann")))
        await trio.to_thread.run_sync(own_postgres.start)
        await until(other, lambda: not other.is_stale)
        assert other.grants_of(*ANN) != ()
        await until(one, lambda: not one.is_stale)
        await one.append(now(revoked("user", "ann")))
        await until(other, lambda: other.revocation_of(*ANN, "c", "s") is not None)
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_server_that_stands_still_is_given_up_within_seconds(own_postgres: PostgresServer) -> None:
    state = gateway(PostgresStore(own_postgres.dsn()), stale_after_s=1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(state.run)
        await state.append(now(wanted()))
        await state.append(now(granted()))
        with own_postgres.paused():
            await until(state, lambda: state.is_stale)
            assert state.grants_of(*ANN) == ()
            with trio.fail_after(5 * DEADLINE_S), pytest.raises(StateUnavailable):
                await state.append(now(revoked("user", "ann")))
        await until(state, lambda: not state.is_stale)
        assert state.grants_of(*ANN) != ()
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_s31_a_partitioned_gateway_grants_nothing_and_learns_of_the_revocation_when_it_is_back(
    postgres_server: PostgresServer,
) -> None:
    dsn = postgres_server.new_space()
    async with cabled(dsn, postgres_server) as (cable, through_cable):
        near = gateway(PostgresStore(dsn))
        store = await trio.to_thread.run_sync(PostgresStore, through_cable)
        far = gateway(store, stale_after_s=1.0)
        async with trio.open_nursery() as nursery:
            await nursery.start(near.run)
            await nursery.start(far.run)
            await near.append(now(wanted()))
            await near.append(now(granted()))
            await until(far, lambda: far.grants_of(*ANN) != ())
            cable.cut()
            await near.append(now(revoked("user", "ann")))
            await until(far, lambda: far.is_stale)
            assert far.grants_of(*ANN) == ()
            cable.mend()
            await until(far, lambda: far.revocation_of(*ANN, "c", "s") is not None)
            await until(far, lambda: not far.is_stale)
            nursery.cancel_scope.cancel()


def test_a_dropped_listener_listens_again(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.new_space()
    store, heard = PostgresStore(dsn), threading.Semaphore(0)
    store.listen(heard.release)
    assert heard.acquire(timeout=20)  # it looks as soon as it listens
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        dsn,
    )
    assert heard.acquire(timeout=20)  # and when it listens again
    store.append(b"x", b"s")
    assert heard.acquire(timeout=20)
    store.close()


def test_after_a_dropped_connection_the_next_use_opens_one(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.new_space()
    store = PostgresStore(dsn)
    store.append(b"x", b"s")
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        dsn,
    )
    with pytest.raises(StateUnavailable):
        store.append(b"y", b"s")
    assert store.append(b"y", b"s") > 1
    store.close()


@pytest.mark.slow
def test_a_lock_that_somebody_keeps_is_waited_for_two_seconds(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.new_space()
    store = PostgresStore(dsn)
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (APPEND_LOCK,))
        with pytest.raises(StateUnavailable, match="lock timeout"):
            store.append(b"x", b"s")
        assert store.read_after(0, 10) == []
    store.append(b"x", b"s")
    store.close()


@pytest.mark.slow
def test_an_append_behind_one_that_hangs_is_given_up_too(own_postgres: PostgresServer) -> None:
    """Three appends at once to a server that stands still: each is told within seconds."""
    store = PostgresStore(own_postgres.dsn())
    failures: list[str] = []

    def append() -> None:
        try:
            store.append(b"x", b"s")
        except StateUnavailable as error:
            failures.append(str(error))

    threads = [threading.Thread(target=append) for _ in range(3)]
    with own_postgres.paused():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
    assert len(failures) == 3
    store.close()


def test_a_role_that_may_only_read_and_write_rows_is_enough(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.new_database()
    PostgresStore(dsn).close()
    role = f"gateway_{time.time_ns()}"
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"GRANT SELECT, INSERT ON kubetape_entries TO {role}",
    ):
        postgres_server.execute(statement, dsn)
    store = PostgresStore(dsn.replace("postgres@", f"{role}@"))
    seq = store.append(*make_seal().close(now(wanted())))
    assert store.last_seq() == seq
    store.close()
