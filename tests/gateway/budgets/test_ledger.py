"""What was used counts at once, and is never lost on its way to the shared state."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway.budgets.ledger import Ledger
from gateway.policy.budget import Cost, Spent
from gateway.policy.model import BudgetTerms
from gateway.state.entries import AnyEntry, BudgetRaised, BudgetSpent
from gateway.state.store import StateUnavailable
from tests.gateway.budgets.state import NOW, MemoryState

DELETES = BudgetTerms("p/r", "deletes", 10)
PODS = BudgetTerms("p/r", "podsTouched", 10)


def ledger_of(state: MemoryState) -> Ledger:
    return Ledger(state)


def told(state: MemoryState) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """What other workers know by now."""
    return [
        (entry.subject, entry.counter, entry.amount, entry.names)
        for entry in state.entries
        if isinstance(entry, BudgetSpent)
    ]


async def test_what_is_charged_counts_before_and_after_it_is_written_and_is_written_once() -> None:
    state = MemoryState()
    ledger = ledger_of(state)
    assert not ledger.charge(DELETES, "S1", Cost(deletes=2))
    assert not ledger.charge(DELETES, "S1", Cost(secrets_read=2))
    assert ledger.spent("S1", "deletes") == Spent(2)
    await ledger.write()
    await ledger.write()
    assert told(state) == [("S1", "deletes", 2, ())]
    assert ledger.spent("S1", "deletes") == Spent(2)


async def test_what_other_workers_used_and_what_was_raised_counts_too() -> None:
    state = MemoryState()
    state.add(BudgetSpent(NOW, "S1", "deletes", 5), BudgetRaised(NOW, "S1", "deletes", 10))
    ledger = ledger_of(state)
    ledger.charge(DELETES, "S1", Cost(deletes=1))
    assert ledger.spent("S1", "deletes") == Spent(6, 10)


async def test_a_pod_counts_once_across_workers() -> None:
    state = MemoryState()
    state.add(BudgetSpent(NOW, "S1", "podsTouched", 1, ("a",)))
    ledger = ledger_of(state)
    assert ledger.spent("S1", "podsTouched") == Spent(1, 0, frozenset({"a"}))
    ledger.charge(PODS, "S1", Cost(pods=("a", "b")))
    ledger.charge(PODS, "S1", Cost(pods=("b",)))
    assert ledger.spent("S1", "podsTouched").used == 2
    await ledger.write()
    assert told(state)[1:] == [("S1", "podsTouched", 1, ("b",))]
    assert ledger.spent("S1", "podsTouched").used == 2


async def test_a_state_that_is_down_loses_nothing() -> None:
    state = MemoryState()
    ledger = ledger_of(state)
    ledger.charge(DELETES, "S1", Cost(deletes=2))
    state.is_down = True
    with pytest.raises(StateUnavailable):
        await ledger.write()
    assert ledger.spent("S1", "deletes") == Spent(2)
    state.is_down = False
    await ledger.write()
    assert ledger.spent("S1", "deletes") == Spent(2)


async def test_what_is_charged_while_it_is_being_written_is_not_lost() -> None:
    go_on = trio.Event()

    class SlowState(MemoryState):
        async def append(self, entry: AnyEntry) -> int:
            await go_on.wait()
            return await super().append(entry)

    state = SlowState()
    ledger = ledger_of(state)
    ledger.charge(DELETES, "S1", Cost(deletes=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ledger.write)
        await wait_all_tasks_blocked()
        ledger.charge(DELETES, "S1", Cost(deletes=3))
        go_on.set()
    assert ledger.spent("S1", "deletes") == Spent(4)
    await ledger.write()
    assert ledger.spent("S1", "deletes") == Spent(4)
    assert [entry.amount for entry in state.entries if isinstance(entry, BudgetSpent)] == [1, 3]


async def test_others_are_to_know_at_once_when_a_limit_is_near_but_not_of_every_byte() -> None:
    ledger = ledger_of(MemoryState())
    assert not ledger.charge(DELETES, "S1", Cost(deletes=7))
    assert ledger.charge(DELETES, "S1", Cost(deletes=1))
    assert not ledger.charge(BudgetTerms("p/r", "bytesOut", 1), "S1", Cost(bytes_out=100))
