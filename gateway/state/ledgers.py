"""How much of its budgets each session and grant has used, as a fold of `BudgetSpent` and `BudgetRaised`. Pure.

The trap is an entry that comes twice: spending twice is the careful side, but a raise counts once for each hold that
approved it, so a copied entry gives nobody another limit's worth.
"""

from typing import Final

import msgspec

from gateway.state.entries import BudgetRaised, BudgetSpent

KEPT_NS: Final = 7 * 24 * 3600 * 1_000_000_000
"""How long a ledger is kept after its last entry. A session ends after 30 idle minutes, a grant within days."""
MAX_NAMES: Final = 10_000
"""Names told apart in one ledger; beyond them every further one counts as new."""


class Budget(msgspec.Struct, frozen=True):
    """spent and raised: units of the counter. names: what was counted once already (hashes)."""

    spent: int = 0
    raised: int = 0
    names: frozenset[str] = frozenset()


class _Ledger(msgspec.Struct, frozen=True):
    budget: Budget = Budget()
    raises: frozenset[str] = frozenset()
    last_ns: int = 0


class Ledgers:
    """By (subject, counter)."""

    def __init__(self) -> None:
        self._ledgers: dict[tuple[str, str], _Ledger] = {}

    def budget(self, subject: str, counter: str) -> Budget:
        ledger = self._ledgers.get((subject, counter))
        return ledger.budget if ledger is not None else Budget()

    def spend(self, entry: BudgetSpent) -> None:
        key = (entry.subject, entry.counter)
        ledger = self._ledgers.get(key, _Ledger())
        budget = ledger.budget
        new = frozenset(entry.names) - budget.names
        spent = len(new) if entry.names else max(entry.amount, 0)
        names = budget.names | new if len(budget.names) + len(new) <= MAX_NAMES else budget.names
        self._ledgers[key] = msgspec.structs.replace(
            ledger,
            budget=Budget(budget.spent + spent, budget.raised, names),
            last_ns=max(ledger.last_ns, entry.at_ns),
        )

    def raise_limit(self, entry: BudgetRaised) -> None:
        key = (entry.subject, entry.counter)
        ledger = self._ledgers.get(key, _Ledger())
        cause = entry.hold or str(entry.at_ns)
        if cause in ledger.raises:
            return
        budget = ledger.budget
        self._ledgers[key] = msgspec.structs.replace(
            ledger,
            budget=msgspec.structs.replace(budget, raised=budget.raised + max(entry.amount, 0)),
            raises=ledger.raises | {cause},
            last_ns=max(ledger.last_ns, entry.at_ns),
        )

    def forget(self, now_ns: int) -> None:
        for key in [key for key, ledger in self._ledgers.items() if ledger.last_ns + KEPT_NS <= now_ns]:
            del self._ledgers[key]
