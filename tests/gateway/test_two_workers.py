"""Two workers on one shared state: what one decides, the other obeys within a second, on real files and signatures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from gateway.budgets.budgets import Budgets
from gateway.live import Live
from gateway.policy.model import Action, ActiveGrant, BudgetTerms, Mode, Verdict
from gateway.principal import Principal
from gateway.revocations import Revocations
from gateway.state.entries import AnyEntry, GrantRequested, GrantVoted, Requester, Revoked, Voter
from gateway.state.follower import SharedState
from gateway.state.signing import open_seal
from gateway.state.sqlite import SqliteStore
from protocol.apicall import parse_call

ANN = Principal("ann", (), "oidc", "c1", issuer="https://issuer")
DELETE = parse_call(b"DELETE", b"/api/v1/namespaces/d/configmaps/c")
S = 1_000_000_000
DEADLINE_S = 10


def recorded(entry: AnyEntry, encoded: bytes, signature: bytes) -> None:
    """These tests look at the state, not at the log."""


class Worker:
    def __init__(self, data_dir: Path) -> None:
        seal = open_seal(data_dir, "gw", "prod")
        self.state = SharedState(SqliteStore(data_dir), seal, recorded)
        self.live = Live()
        self.revocations = Revocations(self.live, self.state)
        self.budgets = Budgets(self.live, self.state)
        self.state.on_change.append(self.revocations.changed)
        self.told: list[str] = []

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.state.run)
        await nursery.start(self.revocations.run)
        await nursery.start(self.budgets.run)

    async def call(self, session: str, *grants: ActiveGrant) -> None:
        """A call of Ann's that lasts until it is cut."""
        whole = trio.CancelScope()
        with self.live.exchange(whole=whole) as exchange:
            with whole:
                self.revocations.enter(exchange, ANN, session)
                self.revocations.rests_on(exchange, grants)
                await trio.sleep_forever()
            self.told.append(exchange.reason)


@asynccontextmanager
async def two_workers(tmp_path: Path) -> AsyncIterator[tuple[Worker, Worker, trio.Nursery]]:
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            one, other = Worker(tmp_path), Worker(tmp_path)
            await one.start(nursery)
            await other.start(nursery)
            yield one, other, nursery
            nursery.cancel_scope.cancel()


async def ended(worker: Worker) -> str:
    await worker.live.wait_none()
    (reason,) = worker.told
    return reason


async def test_a_revocation_written_by_one_ends_what_runs_on_the_other(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, other, nursery):
        nursery.start_soon(other.call, "S1")
        await wait_all_tasks_blocked()
        began_s = trio.current_time()
        await one.state.append(Revoked(one.state.now_ns(), "R1", "user", "ann", "sec", "laptop stolen"))
        assert await ended(other) == "access revoked by sec: laptop stolen"
        assert trio.current_time() - began_s < DEADLINE_S / 2  # a second in practice; CI machines pause


async def test_a_grant_ends_at_the_second_it_was_given_for(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, other, nursery):
        requester, sre = Requester("ann", issuer="https://issuer"), Voter("sre", ("sre",))
        now_ns = one.state.now_ns()
        await one.state.append(
            GrantRequested(now_ns, "G1", now_ns + 60 * S, requester, "repair", "", 1, (), ("sre",), 1)
        )
        await one.state.append(GrantVoted(one.state.now_ns(), "G1", True, sre))
        while not (grants := other.state.grants_of("ann", "https://issuer")):
            await other.state.wait_change()
        nursery.start_soon(other.call, "S1", *grants)
        await wait_all_tasks_blocked()
        assert await ended(other) == "grant G1 expired"
        late_ns = other.state.now_ns() - grants[0].expires_ns
        assert 0 <= late_ns < DEADLINE_S * S


async def test_what_one_spends_the_other_cannot_spend_again_and_a_freeze_reaches_both(tmp_path: Path) -> None:
    terms = BudgetTerms("p/deletes", "deletes", 2, action="freeze")
    verdict = Verdict(Action.ALLOW, Mode.ENFORCE, budgets=(terms,))
    async with two_workers(tmp_path) as (one, other, nursery):
        with one.live.exchange() as exchange:
            exchange.identify(ANN, "S1")
            for _ in range(2):
                assert one.budgets.check("S1", verdict, DELETE) is None
                with one.budgets.account(exchange, verdict, DELETE):
                    pass
        while other.state.view.budget("S1", "deletes").spent < 2:
            await other.state.wait_change()
        nursery.start_soon(one.call, "S1")
        await wait_all_tasks_blocked()
        assert other.budgets.check("S1", verdict, DELETE) is not None
        assert await ended(one) == (
            "this session revoked by kubetape: p/deletes: "
            "the budget of 2 deletes for this session is used up (2 used)"
        )
