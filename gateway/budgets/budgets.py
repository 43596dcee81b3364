"""The budgets of one worker: asked before a call is forwarded, charged while it runs.

At a limit a call is not forwarded: it waits for an approval ("hold", which the caller arranges, and which ends in a
BudgetRaised), or its session or grant is frozen. A stream that crosses a limit mid-way is cut with the reason either
way: asked for again, it is held. Workers learn of each other within a second, so together they may go beyond a limit
by what they do within it; near a limit they are told at once.
"""

from collections.abc import Callable
from typing import Final

import trio

from gateway import journal
from gateway.budgets.account import Account
from gateway.budgets.freezes import Freezes
from gateway.budgets.ledger import BudgetState, Ledger
from gateway.live import Live, LiveExchange
from gateway.policy.budget import Cost, Crossed, crossing, known_cost, strongest, subjects
from gateway.policy.model import Verdict
from gateway.state.entries import BudgetRaised
from gateway.state.store import StateError
from protocol.apicall import Call
from storage.errors import LogFailed

FLUSH_S: Final = 1.0


class Budgets:
    """One per worker; `run` has to run."""

    def __init__(self, live: Live, state: BudgetState) -> None:
        self._ledger = Ledger(state)
        self._freezes = Freezes(live, state)
        self._timed: set[Account] = set()
        self._news = trio.Event()
        self._is_failing = False

    def check(self, session: str, verdict: Verdict, call: Call) -> Crossed | None:
        """The limit this call would cross, or the freeze it runs into. Nothing is charged; a freeze begins here."""
        crossed = self._freezes.of(session, *verdict.grants)
        if crossed is None and verdict.budgets:
            crossed = self.would_cross(session, verdict, known_cost(call))
            if crossed is not None and crossed.is_freeze:
                self.freeze(crossed)
        return crossed

    def account(
        self,
        exchange: LiveExchange,
        verdict: Verdict,
        call: Call,
        crossed: Callable[[Crossed], None] = lambda crossed: None,
    ) -> Account:
        """Charge a call that goes ahead; what it uses is followed while the account is entered. Nothing may be awaited between `check` and this.

        exchange: identified. crossed: told when a limit is crossed mid-way, to record it.
        """
        return Account(self, exchange, verdict, call, crossed)

    def follow(self, account: Account) -> None:
        """Minutes pass for this one, until `leave`."""
        self._timed.add(account)

    def leave(self, account: Account) -> None:
        self._timed.discard(account)

    def would_cross(self, session: str, verdict: Verdict, cost: Cost | None) -> Crossed | None:
        """The strongest limit this would cross. cost: None for an answer that cannot be counted."""
        found = (
            crossing(terms, subject, self._ledger.spent(subject, terms.counter), cost)
            for terms in verdict.budgets
            for subject in subjects(terms, session, verdict.grants)
        )
        return strongest(crossed for crossed in found if crossed is not None)

    def charge(self, session: str, verdict: Verdict, cost: Cost) -> None:
        """Count it, once for each counter, whatever the limits say."""
        charged = set()
        for terms in verdict.budgets:
            for subject in subjects(terms, session, verdict.grants):
                if (subject, terms.counter) not in charged:
                    charged.add((subject, terms.counter))
                    if self._ledger.charge(terms, subject, cost):
                        self._news.set()

    def freeze(self, crossed: Crossed) -> None:
        """From now on nothing of this session or grant goes ahead."""
        self._freezes.begin(crossed)
        self._news.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Let minutes pass and tell the shared state, every second, until cancelled."""
        task_status.started()
        while True:
            with trio.move_on_after(FLUSH_S):
                await self._news.wait()
            self._news = trio.Event()
            for account in tuple(self._timed):
                account.pass_time()
            await self._tell_state()

    async def _tell_state(self) -> None:
        """A state that cannot be written is tried again a second later; until then everything counts here."""
        try:
            await self._freezes.write()
            await self._ledger.write()
        except (StateError, LogFailed) as error:
            if not self._is_failing:
                journal.problem("budgets", "what sessions use cannot be shared yet; it counts here", error)
            self._is_failing = True
        else:
            self._is_failing = False


def raised(crossed: Crossed, hold_id: str, now_ns: int) -> BudgetRaised:
    """What an approved hold of a budget gives: another limit's worth."""
    terms = crossed.terms
    return BudgetRaised(now_ns, crossed.subject, terms.counter, terms.limit, hold_id)
