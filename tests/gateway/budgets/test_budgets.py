"""At a limit a call is not forwarded and a stream is cut; a freeze holds until somebody lifts it or raises the budget."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.budgets import freezes
from gateway.budgets.account import Account
from gateway.budgets.budgets import Budgets, raised
from gateway.live import Live, LiveExchange
from gateway.policy.budget import Crossed
from gateway.policy.model import Action, ActiveGrant, BudgetTerms, Mode, Verdict
from gateway.principal import Principal
from gateway.state.entries import BudgetRaised, BudgetSpent, Reinstated, Revoked
from protocol.apicall import Call, parse_call
from tests.gateway.budgets.state import NOW, MemoryState

DELETE = parse_call(b"DELETE", b"/api/v1/namespaces/d/configmaps/c")
DELETE_ALL = parse_call(b"DELETE", b"/api/v1/namespaces/d/configmaps")
GET = parse_call(b"GET", b"/api/v1/namespaces/d/configmaps/c")
SECRETS = parse_call(b"GET", b"/api/v1/secrets")
WATCH = parse_call(b"GET", b"/api/v1/secrets?watch=true")
EXEC = parse_call(b"GET", b"/api/v1/namespaces/d/pods/p/exec?command=sh")
ANN = Principal("ann", (), "oidc", "c1")


def verdict(*terms: BudgetTerms, grants: tuple[str, ...] = ()) -> Verdict:
    return Verdict(Action.ALLOW, Mode.ENFORCE, budgets=terms, grants=grants)


def terms(counter: str, limit: int, action: str = "hold", per: str = "session") -> BudgetTerms:
    return BudgetTerms(f"p/{counter}", counter, limit, per=per, action=action)


class Rig:
    def __init__(self) -> None:
        self.state, self.live = MemoryState(), Live()
        self.budgets = Budgets(self.live, self.state)
        self.crossed: list[Crossed] = []

    def exchange(self, session: str = "S1") -> LiveExchange:
        exchange = LiveExchange()
        exchange.identify(ANN, session)
        return exchange

    def one(self, decided: Verdict, call: Call) -> Crossed | None:
        """A short call: asked for, and charged if it may go ahead."""
        crossed = self.budgets.check("S1", decided, call)
        if crossed is None:
            with self.budgets.account(self.exchange(), decided, call):
                pass
        return crossed

    async def runs(self, decided: Verdict, call: Call, act: list[str], session: str = "S1") -> None:
        """A call that stays until it is cut; what it was told is added to `act`."""
        whole = trio.CancelScope()
        with self.live.exchange(whole=whole) as exchange:
            exchange.identify(ANN, session)
            exchange.grants = tuple(ActiveGrant(grant, "b", NOW) for grant in decided.grants)
            with whole, self.budgets.account(exchange, decided, call, self.crossed.append):
                await trio.sleep_forever()
            act.append(f"{trio.current_time():.0f}: {exchange.reason}")


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Rig, trio.Nursery]]:
    rig = Rig()
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.budgets.run)
        yield rig, nursery
        nursery.cancel_scope.cancel()


async def test_the_call_beyond_the_limit_is_held_and_others_go_on() -> None:
    rig = Rig()
    decided = verdict(terms("deletes", 2))
    assert [rig.one(decided, DELETE) for _ in range(2)] == [None, None]
    crossed = rig.one(decided, DELETE)
    assert crossed is not None
    assert (crossed.subject, crossed.used, crossed.limit, crossed.is_freeze) == ("S1", 2, 2, False)
    assert rig.one(decided, GET) is None
    assert rig.one(verdict(), DELETE) is None


async def test_an_approval_gives_another_limits_worth() -> None:
    rig = Rig()
    decided = verdict(terms("deletes", 2))
    rig.one(decided, DELETE)
    rig.one(decided, DELETE)
    crossed = rig.one(decided, DELETE)
    assert crossed is not None
    entry = raised(crossed, "H1", NOW)
    assert entry == BudgetRaised(NOW, "S1", "deletes", 2, "H1")
    await rig.state.append(entry)
    assert [rig.one(decided, DELETE) is None for _ in range(3)] == [True, True, False]


async def test_two_rules_on_one_counter_charge_it_once() -> None:
    rig = Rig()
    decided = verdict(terms("deletes", 2), BudgetTerms("p/other", "deletes", 5))
    assert [rig.one(decided, DELETE) is None for _ in range(3)] == [True, True, False]


async def test_a_budget_of_a_grant_is_shared_by_its_sessions() -> None:
    rig = Rig()
    decided = verdict(terms("deletes", 1, per="grant"), grants=("G1",))
    assert rig.one(decided, DELETE) is None
    crossed = rig.budgets.check("S2", decided, DELETE)
    assert crossed is not None
    assert crossed.subject == "G1"


async def test_what_is_used_reaches_the_state_within_a_second(autojump_clock: MockClock) -> None:
    async with running() as (rig, _):
        rig.one(verdict(terms("deletes", 10)), DELETE)
        await wait_all_tasks_blocked()
        assert rig.state.entries == []
        await trio.sleep(1.01)
        (entry,) = rig.state.entries
        assert isinstance(entry, BudgetSpent)
        assert (entry.subject, entry.counter, entry.amount) == ("S1", "deletes", 1)


async def test_near_a_limit_it_reaches_the_state_at_once(autojump_clock: MockClock) -> None:
    async with running() as (rig, _):
        rig.one(verdict(terms("deletes", 1)), DELETE)
        await wait_all_tasks_blocked()
        (entry,) = rig.state.entries
        assert isinstance(entry, BudgetSpent)
        assert (entry.subject, entry.counter, entry.amount) == ("S1", "deletes", 1)


async def test_a_state_that_is_down_is_reported_once_and_tried_again(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running() as (rig, _):
        rig.state.is_down = True
        decided = verdict(terms("deletes", 1))
        rig.one(decided, DELETE)
        await trio.sleep(5)
        assert rig.one(decided, DELETE) is not None
        rig.state.is_down = False
        await trio.sleep(1.01)
        assert len(rig.state.entries) == 1
    assert capsys.readouterr().err.count('"budgets"') == 1


# --- while a call runs ------------------------------------------------------------------------------


async def test_the_minute_beyond_the_limit_ends_an_exec_with_the_reason(autojump_clock: MockClock) -> None:
    async with running() as (rig, nursery):
        told: list[str] = []
        nursery.start_soon(rig.runs, verdict(terms("execMinutes", 2)), EXEC, told)
        await trio.sleep(119)
        assert told == []
        await trio.sleep(3)
        ((end, _, why),) = [one.partition(": ") for one in told]
        assert end in ("120", "121")
        assert "the budget of 2 execMinutes for this session is used up (2 used)" in why
        assert [one.terms.rule for one in rig.crossed] == ["p/execMinutes"]


async def test_bytes_are_charged_as_they_flow_and_the_stream_is_cut() -> None:
    rig = Rig()
    exchange = rig.exchange()
    with rig.budgets.account(exchange, verdict(terms("bytesOut", 100)), GET, rig.crossed.append) as account:
        account.sent(0)
        account.sent(100)
        assert not exchange.reason
        account.sent(1)
        assert "p/bytesOut: the budget of 100 bytesOut" in exchange.reason
        account.sent(1)
        assert len(rig.crossed) == 1
    assert rig.budgets.check("S1", verdict(terms("bytesOut", 100)), GET) is not None


def account_of(rig: Rig, decided: Verdict, call: Call) -> Account:
    with rig.budgets.account(rig.exchange(), decided, call) as account:
        return account


def listed(count: int) -> bytes:
    return json.dumps({"kind": "SecretList", "items": [{}] * count}).encode()


async def test_a_list_of_secrets_beyond_the_limit_is_not_shown() -> None:
    rig = Rig()
    decided = verdict(terms("secretsRead", 10))
    assert account_of(rig, decided, SECRETS).must_count_answer
    assert not account_of(rig, verdict(terms("deletes", 10)), SECRETS).must_count_answer
    assert not account_of(rig, decided, GET).must_count_answer
    rig = Rig()
    assert account_of(rig, decided, SECRETS).answered(listed(4)) is None
    crossed = account_of(rig, decided, SECRETS).answered(listed(7))
    assert crossed is not None
    assert crossed.used == 5  # what was attempted, and what was shown
    assert account_of(rig, decided, SECRETS).answered(b"k8s\x00") is not None
    assert account_of(rig, decided, GET).answered(b"") is None


async def test_a_list_of_secrets_may_freeze_the_session() -> None:
    rig = Rig()
    decided = verdict(terms("secretsRead", 10, action="freeze"))
    assert account_of(rig, decided, SECRETS).answered(listed(50)) is not None
    assert rig.budgets.check("S1", verdict(), GET) is not None


async def test_what_a_deletecollection_deleted_is_charged_afterwards() -> None:
    rig = Rig()
    decided = verdict(terms("deletes", 5))
    account = account_of(rig, decided, DELETE_ALL)
    assert account.must_count_answer
    assert account.answered(listed(9)) is None
    crossed = rig.budgets.check("S1", decided, DELETE)
    assert crossed is not None
    assert crossed.used == 9
    assert account.answered(b"garbage") is None


async def test_events_of_a_watch_of_secrets_are_secrets_read() -> None:
    rig = Rig()
    exchange = rig.exchange()
    with rig.budgets.account(exchange, verdict(terms("secretsRead", 3)), WATCH) as account:
        assert account.must_count_events
        account.events(b"{}\n{")
        account.events(b"}\n")
        assert not exchange.reason
        account.events(b"{}\n")
        assert "p/secretsRead" in exchange.reason
    other = account_of(rig, verdict(terms("deletes", 3)), WATCH)
    other.events(b"\n" * 100)
    assert rig.budgets.check("S1", verdict(terms("deletes", 1)), DELETE) is None


# --- freezes ----------------------------------------------------------------------------------------


async def test_a_freeze_cuts_everything_of_the_session_and_keeps_it_out(autojump_clock: MockClock) -> None:
    async with running() as (rig, nursery):
        told: list[str] = []
        other: list[str] = []
        nursery.start_soon(rig.runs, verdict(), WATCH, told)
        nursery.start_soon(rig.runs, verdict(), WATCH, other, "S2")
        await wait_all_tasks_blocked()
        decided = verdict(terms("deletes", 1, action="freeze"))
        assert rig.one(decided, DELETE) is None
        crossed = rig.one(decided, DELETE)
        assert crossed is not None
        assert crossed.is_freeze
        await wait_all_tasks_blocked()
        assert "frozen by kubetape policy p/deletes: the budget of 1 deletes" in told[0]
        assert other == []
        assert rig.budgets.check("S1", verdict(), GET) == crossed
        assert rig.one(decided, DELETE) == crossed
        (revoked,) = rig.state.revoked()
        assert (revoked.subject_kind, revoked.subject, revoked.by) == ("session", "S1", "kubetape")
        assert revoked.reason.startswith("p/deletes: ")


async def test_a_stream_that_crosses_a_freezing_limit_freezes_its_grant(autojump_clock: MockClock) -> None:
    async with running() as (rig, nursery):
        told: list[str] = []
        decided = verdict(terms("execMinutes", 1, action="freeze", per="grant"), grants=("G1",))
        nursery.start_soon(rig.runs, decided, EXEC, told)
        nursery.start_soon(rig.runs, verdict(grants=("G1",)), WATCH, told, "S2")
        await trio.sleep(63)
        assert len(told) == 2
        assert len(rig.crossed) == 1
        (revoked,) = rig.state.revoked()
        assert (revoked.subject_kind, revoked.subject) == ("grant", "G1")
        await trio.sleep(2)
        # the entry keeps the grant out from now on, here as elsewhere
        assert rig.budgets.check("S1", verdict(grants=("G1",)), GET) is None


async def frozen(rig: Rig) -> Revoked:
    decided = verdict(terms("deletes", 1, action="freeze"))
    rig.one(decided, DELETE)
    rig.one(decided, DELETE)
    await trio.sleep(1.1)
    (revoked,) = rig.state.revoked()
    assert rig.budgets.check("S1", decided, DELETE) is not None
    return revoked


async def test_lifting_a_freeze_raises_the_budget(autojump_clock: MockClock) -> None:
    async with running() as (rig, _):
        revoked = await frozen(rig)
        await rig.state.append(Reinstated(NOW, revoked.id, "sec", "fine"))
        await trio.sleep(1.1)
        last = rig.state.entries[-1]
        assert isinstance(last, BudgetRaised)
        assert (last.subject, last.counter, last.amount) == ("S1", "deletes", 1)
        assert rig.one(verdict(terms("deletes", 1, action="freeze")), DELETE) is None


async def test_raising_the_budget_lifts_the_freeze(autojump_clock: MockClock) -> None:
    async with running() as (rig, _):
        revoked = await frozen(rig)
        await rig.state.append(BudgetRaised(NOW, "S1", "deletes", 1, "H1"))
        await trio.sleep(1.1)
        last = rig.state.entries[-1]
        assert isinstance(last, Reinstated)
        assert (last.id, last.by) == (revoked.id, "kubetape")
        assert rig.one(verdict(terms("deletes", 1, action="freeze")), DELETE) is None


async def test_doing_both_is_fine_too(autojump_clock: MockClock) -> None:
    async with running() as (rig, _):
        revoked = await frozen(rig)
        rig.state.add(Reinstated(NOW, revoked.id, "sec", "fine"), BudgetRaised(NOW, "S1", "deletes", 1, "H1"))
        before = len(rig.state.entries)
        await trio.sleep(1.1)
        assert len(rig.state.entries) == before
        assert rig.one(verdict(terms("deletes", 1, action="freeze")), DELETE) is None


async def test_a_freeze_stays_while_the_state_is_down_and_is_written_later(autojump_clock: MockClock) -> None:
    async with running() as (rig, _):
        rig.state.is_down = True
        decided = verdict(terms("deletes", 0, action="freeze"))
        assert rig.one(decided, DELETE) is not None
        await trio.sleep(5)
        assert rig.state.entries == []
        assert rig.budgets.check("S1", verdict(), GET) is not None
        rig.state.is_down = False
        await trio.sleep(1.1)
        assert len(rig.state.revoked()) == 1


async def test_a_freeze_that_was_stored_unheard_is_written_once(autojump_clock: MockClock) -> None:
    async with running() as (rig, _):
        rig.state.loses_answers = True
        assert rig.one(verdict(terms("deletes", 0, action="freeze")), DELETE) is not None
        await trio.sleep(2)
        rig.state.loses_answers = False
        await trio.sleep(2)
        (revoked,) = rig.state.revoked()
        rig.state.add(Reinstated(NOW, revoked.id, "sec", "fine"))
        await trio.sleep(2)
        assert isinstance(rig.state.entries[-1], BudgetRaised)
        assert rig.budgets.check("S1", verdict(), GET) is None


async def test_only_freezes_the_state_knows_are_ever_forgotten(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezes, "MAX_FOLLOWED", 2)
    decided = verdict(terms("deletes", 0, action="freeze"))
    async with running() as (rig, _):
        for session in ("S1", "S2"):
            assert rig.budgets.check(session, decided, DELETE) is not None
        await trio.sleep(1.1)
        rig.state.is_down = True
        for session in ("S3", "S4", "S5"):
            assert rig.budgets.check(session, decided, DELETE) is not None
        sessions = ("S1", "S2", "S3", "S4", "S5")
        found = [rig.budgets.check(session, verdict(), GET) is not None for session in sessions]
        assert found == [False, False, True, True, True]
