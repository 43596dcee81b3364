"""Sessions that several workers share: here two of them, in one process, on one registry."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.principal import Principal
from gateway.session_registry import REGISTRY_FILE, SessionRegistry
from gateway.sessions import IDLE_NS
from gateway.shared_sessions import SHARED_IDLE_NS, TOUCH_S, SharedSessions

ANN = Principal("ann", (), "token", "c1")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[SharedSessions, SharedSessions]]:
    registries = [SessionRegistry(tmp_path, SHARED_IDLE_NS) for _ in range(2)]
    yield SharedSessions(registries[0]), SharedSessions(registries[1])
    for registry in registries:
        registry.close()


async def session_of(sessions: SharedSessions, principal: Principal = ANN) -> tuple[str, bool]:
    """As an exchange asks."""
    session, begins = sessions.session_for(principal)
    return (session, begins) if session else await sessions.agree(principal)


async def test_what_one_worker_began_the_other_goes_on_with(
    workers: tuple[SharedSessions, SharedSessions],
) -> None:
    one, other = workers
    session, begins = await session_of(one)
    assert begins
    assert await session_of(other) == (session, False)
    assert other.session_for(ANN) == (session, False), "known now, without asking"
    assert (await session_of(other, Principal("ann", (), "token", "c2")))[0] != session


async def test_calls_that_come_at_once_wait_for_one_answer(
    workers: tuple[SharedSessions, SharedSessions],
) -> None:
    found: list[tuple[str, bool]] = []

    async def ask(sessions: SharedSessions) -> None:
        found.append(await session_of(sessions))

    async with trio.open_nursery() as nursery:
        for sessions in workers * 8:
            nursery.start_soon(ask, sessions)
    assert len({session for session, _ in found}) == 1
    assert sum(begins for _, begins in found) == 1


async def test_a_registry_that_does_not_answer_in_time_costs_the_call_no_more_than_that(
    workers: tuple[SharedSessions, SharedSessions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = sqlite3.connect(tmp_path / REGISTRY_FILE, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    session, begins = await session_of(workers[0])
    assert begins
    assert workers[0].session_for(ANN) == (session, False)
    lock.execute("ROLLBACK")
    lock.close()
    assert "a session of this worker alone begins" in capsys.readouterr().err


async def test_uses_are_told_once_a_minute_so_that_a_session_lives_on_at_the_other_worker(
    workers: tuple[SharedSessions, SharedSessions], autojump_clock: MockClock, tmp_path: Path
) -> None:
    one, other = workers
    session, _ = await session_of(one)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        late_ns = time.time_ns() + IDLE_NS // 2
        one.session_for(ANN, now_ns=late_ns)
        await wait_all_tasks_blocked()
        await trio.sleep(TOUCH_S + 1)
        while not other.open_session(ANN, now_ns=late_ns + SHARED_IDLE_NS):
            await trio.sleep(TOUCH_S)
        nursery.cancel_scope.cancel()
    assert other.open_session(ANN, now_ns=late_ns + SHARED_IDLE_NS) == session


async def test_an_idle_session_is_looked_up_again(workers: tuple[SharedSessions, SharedSessions]) -> None:
    one, other = workers
    session, _ = await session_of(one)
    late_ns = time.time_ns() + IDLE_NS + 1_000_000_000
    assert one.session_for(ANN, now_ns=late_ns) == ("", True)
    assert other.open_session(ANN) == session, "asking does not begin one"
