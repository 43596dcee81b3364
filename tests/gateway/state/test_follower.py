"""A view that is kept fresh, added to, and not trusted when it is old."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from gateway.state import follower
from gateway.state.clock import SteadyClock
from gateway.state.entries import AnyEntry
from gateway.state.follower import SharedState
from gateway.state.memory import SEEN_FILE, Memory
from gateway.state.news import PAGE
from gateway.state.sqlite import SqliteStore
from gateway.state.store import AlreadyClaimed, ClockSkew, StateStore, StateUnavailable, Stored
from storage.errors import LogFailed
from tests.kit.faulty_store import FaultyStore
from tests.kit.shared_state import become, forged, gateway, make_seal, now, until
from tests.kit.state_entries import ANN, GRANT, HOLD, asked, granted, revoked, said, used, wanted

OpenStore = Callable[[], StateStore]


async def grant_ann(state: SharedState, duration_s: int = 3600) -> None:
    await state.append(now(wanted(duration_s=duration_s)))
    await state.append(now(granted()))


# --- adding -----------------------------------------------------------------------------------------


async def test_what_is_appended_counts_here_when_the_call_returns(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    state = gateway(open_store())
    await nursery.start(state.run)
    await grant_ann(state)
    assert [grant.id for grant in state.grants_of(*ANN)] == [GRANT]
    assert state.problem() == ""


async def test_it_is_recorded_before_it_is_stored(open_store: OpenStore, nursery: trio.Nursery) -> None:
    store, seen = open_store(), []

    def record(entry: AnyEntry, encoded: bytes, signature: bytes) -> None:
        seen.append((entry, encoded, signature, store.last_seq()))

    state = gateway(store, record)
    await nursery.start(state.run)
    entry = now(asked())
    seq = await state.append(entry)
    (stored,) = store.read_after(0, 10)
    assert seen == [(entry, stored.encoded, stored.signature, 0)]
    assert stored.seq == seq
    assert make_seal().open(stored) == entry


async def test_what_cannot_be_recorded_is_not_stored(open_store: OpenStore, nursery: trio.Nursery) -> None:
    def record(*_: object) -> None:
        raise LogFailed("write", "x", "full")

    store = open_store()
    state = gateway(store, record)
    await nursery.start(state.run)
    with pytest.raises(LogFailed):
        await state.append(now(asked()))
    assert store.last_seq() == 0


async def test_an_approval_is_used_once_over_all_gateways(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    one, other = gateway(open_store()), gateway(open_store())
    await nursery.start(one.run)
    await nursery.start(other.run)
    await one.append(now(asked()))
    await one.append(now(said()))
    await one.append(now(used(exchange="e1")))
    with pytest.raises(AlreadyClaimed):
        await other.append(now(used(exchange="e2")))


async def test_a_key_of_the_callers_own_can_be_claimed(open_store: OpenStore, nursery: trio.Nursery) -> None:
    state = gateway(open_store())
    await nursery.start(state.run)
    await state.append(now(asked()), unique="mine")
    with pytest.raises(AlreadyClaimed, match="mine"):
        await state.append(now(said()), unique="mine")


async def test_an_entry_that_cannot_be_read_back_is_an_error(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    store = FaultyStore(open_store())
    state = gateway(store)
    await nursery.start(state.run)
    store.hides = 1
    with pytest.raises(StateUnavailable, match="cannot be read back"):
        await state.append(now(revoked("user", "ann")))


# --- following --------------------------------------------------------------------------------------


async def test_s31_a_revocation_reaches_every_other_gateway(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    one, other = gateway(open_store()), gateway(open_store())
    await nursery.start(one.run)
    await nursery.start(other.run)
    await one.append(now(revoked("user", "ann")))
    await until(other, lambda: other.revocation_of(*ANN, "c", "s") is not None)


async def test_a_lost_nudge_costs_a_poll(open_store: OpenStore, nursery: trio.Nursery) -> None:
    deaf = FaultyStore(open_store())
    deaf.deaf = True
    one, other = gateway(open_store()), gateway(deaf)
    await nursery.start(one.run)
    await nursery.start(other.run)
    await one.append(now(asked()))
    await until(other, lambda: other.hold(HOLD) is not None)


async def test_whoever_asked_to_be_told_is_told(open_store: OpenStore, nursery: trio.Nursery) -> None:
    one, other = gateway(open_store()), gateway(open_store())
    told: list[int] = []
    other.on_change.append(lambda: told.append(other.view.seq))
    await nursery.start(one.run)
    await nursery.start(other.run)
    seq = await one.append(now(asked()))
    await become(lambda: told == [seq])


async def test_a_start_knows_what_is_in_force_and_the_same_ends(open_store: OpenStore) -> None:
    first = gateway(open_store())
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run)
        await grant_ann(first)
        await first.append(now(asked()))
        await first.append(now(said()))
        await first.append(now(revoked("session", "s9")))
        nursery.cancel_scope.cancel()
    second = gateway(open_store())
    async with trio.open_nursery() as nursery:
        await nursery.start(second.run)
        assert second.grants_of(*ANN) == first.view.grants_of(*ANN, first.now_ns())
        hold = second.hold_for(ANN, "d2", "k1")
        assert hold == first.view.hold(HOLD)
        assert second.revocation_of("x", "", "c", "s9") is not None
        nursery.cancel_scope.cancel()


async def test_a_start_does_not_read_what_has_expired(open_store: OpenStore, nursery: trio.Nursery) -> None:
    store = open_store()
    for entry, expires_ns in ((asked(), 1), (wanted(), 0)):
        store.append(*make_seal().close(entry), expires_ns=expires_ns)
    state = gateway(open_store())
    await nursery.start(state.run)
    assert state.view.hold(HOLD) is None
    assert state.view.grant(GRANT) is not None


async def test_a_long_backlog_is_read_whole(open_store: OpenStore, nursery: trio.Nursery) -> None:
    store, state = open_store(), gateway(open_store())
    await nursery.start(state.run)
    for number in range(PAGE + 1):
        store.append(*make_seal().close(now(revoked("user", f"u{number}"))))
    await until(state, lambda: len(state.view.revocations(state.now_ns())) == PAGE + 1)


async def test_a_look_that_fails_half_way_loses_nothing(open_store: OpenStore, nursery: trio.Nursery) -> None:
    store, faulty = open_store(), FaultyStore(open_store())
    state = gateway(faulty)
    await nursery.start(state.run)
    faulty.pages_until_failure = 1
    for number in range(PAGE + 1):
        store.append(*make_seal().close(now(revoked("user", f"u{number}"))))
    await become(lambda: "failed while it was read" in state.problem())
    faulty.pages_until_failure = None
    await until(state, lambda: len(state.view.revocations(state.now_ns())) == PAGE + 1)
    assert state.problem() == ""


async def test_a_start_without_a_store_serves_nothing(open_store: OpenStore) -> None:
    store = FaultyStore(open_store())
    store.away = True
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(gateway(store).run)
    assert caught.group_contains(StateUnavailable, match="away")
    assert store.closed


async def test_the_store_is_closed_at_the_end(open_store: OpenStore) -> None:
    store = FaultyStore(open_store())
    async with trio.open_nursery() as nursery:
        await nursery.start(gateway(store).run)
        nursery.cancel_scope.cancel()
    assert store.closed


async def test_what_is_over_is_dropped_from_memory_and_a_month_later_from_the_store(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "TIDY_S", 0.05)
    store = SqliteStore(tmp_path)
    store.append(*make_seal().close(asked()), expires_ns=1)
    memory = Memory(tmp_path)
    memory.keep([Stored(1, b"old", b"s", 1)])
    state = gateway(store, memory=memory)
    await nursery.start(state.run)
    long_over = now(asked(), wait_s=-7200)
    await state.append(long_over)
    await become(lambda: state.view.hold(HOLD) is None)
    await become(lambda: len(store.read_after(0, 10)) == 1)
    seen = SqliteStore(tmp_path, file_name=SEEN_FILE)
    await become(lambda: [row.encoded for row in seen.read_after(0, 10) if row.encoded == b"old"] == [])
    seen.close()


async def test_a_store_that_cannot_delete_is_no_problem(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "TIDY_S", 0.01)
    asked_to: list[int] = []

    class Keeping(FaultyStore):
        def delete_expired(self, now_ns: int) -> int:
            asked_to.append(now_ns)
            raise StateUnavailable("permission denied")

    state = gateway(Keeping(SqliteStore(tmp_path)))
    await nursery.start(state.run)
    await become(lambda: len(asked_to) > 2)
    assert state.problem() == ""


# --- who may not be believed ------------------------------------------------------------------------


async def test_who_has_the_database_grants_himself_nothing(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    store = open_store()
    state = gateway(open_store())
    await nursery.start(state.run)
    store.append(*forged(now(wanted())))
    store.append(*forged(now(granted())))
    await until(state, lambda: "2 entries refused" in state.problem())
    assert state.grants_of(*ANN) == ()
    assert "unknown key" in state.problem()
    assert not state.is_stale


async def test_a_forged_approval_opens_no_hold_and_later_entries_count(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    store = open_store()
    state = gateway(open_store())
    await nursery.start(state.run)
    await state.append(now(asked()))
    store.append(*forged(now(said())))
    await state.append(now(said("carol", approve=False, note="no")))
    hold = state.hold(HOLD)
    assert hold is not None
    assert [vote.by.user for vote in hold.votes] == ["carol"]


async def test_a_copied_entry_changes_nothing(open_store: OpenStore, nursery: trio.Nursery) -> None:
    store = open_store()
    state = gateway(open_store())
    await nursery.start(state.run)
    await grant_ann(state)
    before = state.view.grant(GRANT)
    rows = store.read_after(0, 10)
    for row in rows:
        last = store.append(row.encoded, row.signature)
    await until(state, lambda: state.view.seq == last)
    assert state.view.grant(GRANT) == before


# --- when it is old ---------------------------------------------------------------------------------


async def test_without_the_store_grants_and_approvals_count_as_expired_and_revocations_stay(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    store = FaultyStore(open_store())
    state = gateway(store, stale_after_s=0.5)
    await nursery.start(state.run)
    await grant_ann(state)
    await state.append(now(asked()))
    await state.append(now(said()))
    await state.append(now(revoked("user", "eve")))
    store.away = True
    await until(state, lambda: state.is_stale)
    assert state.grants_of(*ANN) == ()
    assert state.hold(HOLD) is state.hold_for(ANN, "d1", "k1") is None
    assert state.revocation_of("eve", "", "c", "s") is not None
    assert "grants and approvals count as expired: the store is away" in state.problem()
    with pytest.raises(StateUnavailable):
        await state.append(now(used()))
    store.away = False
    await until(state, lambda: not state.is_stale)
    assert [grant.id for grant in state.grants_of(*ANN)] == [GRANT]
    assert state.problem() == ""


async def test_a_short_absence_is_named_and_harms_nobody(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    store = FaultyStore(open_store())
    state = gateway(store)
    await nursery.start(state.run)
    await grant_ann(state)
    store.away = True
    await become(lambda: state.problem() == "shared state: the store is away")
    assert state.grants_of(*ANN) != ()


async def test_s30_a_grant_ends_on_time_while_the_store_is_away(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    store = FaultyStore(open_store())
    state = gateway(store)
    await nursery.start(state.run)
    await grant_ann(state, duration_s=1)
    assert state.grants_of(*ANN) != ()
    store.away = True
    await become(lambda: state.grants_of(*ANN) == ())
    assert not state.is_stale


# --- clocks -----------------------------------------------------------------------------------------


class Wall:
    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s

    def __call__(self) -> int:
        return time.time_ns() + int(self.ahead_s * 1e9)


async def test_a_host_whose_clock_is_wrong_does_not_start(open_store: OpenStore) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(gateway(open_store(), clock=SteadyClock(Wall(3.0))).run)
    assert caught.group_contains(ClockSkew, match=r"clock is 3\.0 s ahead of the store's")


async def test_a_clock_that_goes_wrong_expires_everything_until_it_is_right(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    wall = Wall()
    state = gateway(open_store(), clock=SteadyClock(wall))
    await nursery.start(state.run)
    await grant_ann(state)
    wall.ahead_s = 60.0
    await until(state, lambda: state.is_stale)
    assert state.grants_of(*ANN) == ()
    assert "ahead of the store's" in state.problem()
    with pytest.raises(ClockSkew):
        await state.append(now(asked()))
    wall.ahead_s = 0.0
    await until(state, lambda: not state.is_stale)
    assert state.grants_of(*ANN) != ()


async def test_s30_a_clock_set_back_before_a_restart_is_noticed(tmp_path: Path) -> None:
    """The store's newest entry says what time it was at least."""
    first = gateway(SqliteStore(tmp_path))
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run)
        await grant_ann(first)
        nursery.cancel_scope.cancel()
    set_back = SteadyClock(Wall(-3600.0))
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(gateway(SqliteStore(tmp_path), clock=set_back).run)
    assert caught.group_contains(ClockSkew, match="behind the store's: correct it")
