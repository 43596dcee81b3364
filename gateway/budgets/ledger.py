"""What sessions and grants used: counted here at once, written to the shared state within a second.

A state that cannot be written is tried again, and what is not written yet counts all the same. The trap: an entry
counts in the state before `append` returns. So it is taken off here only afterwards: for a moment it counts twice,
never not at all.
"""

from typing import Protocol

from gateway.policy.budget import BYTES_OUT, PODS_TOUCHED, Cost, Spent, amount_of, is_near
from gateway.policy.model import BudgetTerms
from gateway.state.entries import AnyEntry, BudgetSpent
from gateway.state.view import View


class BudgetState(Protocol):
    """What is asked of the shared state: a part of `gateway.state.follower.SharedState`."""

    @property
    def view(self) -> View: ...

    def now_ns(self) -> int: ...

    async def append(self, entry: AnyEntry) -> int:
        """Returns once the entry is applied to the view. Raises StateError, LogFailed."""


class _Unwritten:
    """What was used and is not in the shared state yet."""

    def __init__(self) -> None:
        self.amount = 0
        self.names: set[str] = set()


class Ledger:
    """The counters of one worker on top of those in the shared state."""

    def __init__(self, state: BudgetState) -> None:
        self._state = state
        self._unwritten: dict[tuple[str, str], _Unwritten] = {}

    def spent(self, subject: str, counter: str) -> Spent:
        """What was used so far: as far as the state knows, and what is not written yet."""
        total = self._state.view.budget(subject, counter)
        unwritten = self._unwritten.get((subject, counter))
        if counter == PODS_TOUCHED:
            names = total.names | unwritten.names if unwritten else total.names
            return Spent(len(names), total.raised, names)
        return Spent(total.spent + (unwritten.amount if unwritten else 0), total.raised)

    def charge(self, terms: BudgetTerms, subject: str, cost: Cost) -> bool:
        """Add a cost to one counter of one subject. Returns whether others should know at once."""
        spent = self.spent(subject, terms.counter)
        amount = amount_of(cost, terms.counter, spent)
        if not amount:
            return False
        unwritten = self._unwritten.setdefault((subject, terms.counter), _Unwritten())
        unwritten.amount += amount
        if terms.counter == PODS_TOUCHED:
            unwritten.names |= set(cost.pods) - spent.names
        # Bytes flow too fast to be told one by one.
        return terms.counter != BYTES_OUT and is_near(terms, self.spent(subject, terms.counter))

    async def write(self) -> None:
        """Tell the shared state what is new. Raises StateError, LogFailed; nothing is lost then."""
        for subject, counter in tuple(self._unwritten):
            unwritten = self._unwritten[subject, counter]
            amount, names = unwritten.amount, frozenset(unwritten.names)
            entry = BudgetSpent(self._state.now_ns(), subject, counter, amount, tuple(sorted(names)))
            await self._state.append(entry)
            unwritten.amount -= amount
            unwritten.names -= names
            if not unwritten.amount:
                del self._unwritten[subject, counter]
