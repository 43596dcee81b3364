import pytest

from protocol.errors import Flooding
from protocol.http2_budgets import ALLOWANCES, FloodBudgets, Waste
from protocol.http2_setup import MAX_CONCURRENT_STREAMS


def spend_all(budgets: FloodBudgets, waste: Waste) -> int:
    for spent in range(100_000):
        try:
            budgets.spend(waste)
        except Flooding:
            return spent
    raise AssertionError("no limit")


@pytest.mark.parametrize("waste", Waste)
def test_each_kind_has_its_base(waste: Waste) -> None:
    assert spend_all(FloodBudgets(), waste) == ALLOWANCES[waste].base


def test_the_error_says_what_was_too_many() -> None:
    budgets = FloodBudgets()
    spend_all(budgets, Waste.PING)
    with pytest.raises(Flooding, match="too many PING frames for the work done"):
        budgets.spend(Waste.PING)


@pytest.mark.parametrize("waste", Waste)
def test_work_earns_more(waste: Waste) -> None:
    budgets = FloodBudgets()
    for _ in range(3):
        budgets.earn_request()
    budgets.earn_bytes(1000)
    budgets.earn_bytes(4 * 1024)
    base, per_request, per_kib = ALLOWANCES[waste]
    assert spend_all(budgets, waste) == base + 3 * per_request + 4 * per_kib


def test_one_kind_does_not_pay_for_another() -> None:
    budgets = FloodBudgets()
    spend_all(budgets, Waste.PING)
    assert spend_all(budgets, Waste.RESET) == ALLOWANCES[Waste.RESET].base


def test_a_refill_forgets_both_sides() -> None:
    budgets = FloodBudgets()
    budgets.earn_request()
    spend_all(budgets, Waste.RESET)
    budgets.refill()
    assert spend_all(budgets, Waste.RESET) == ALLOWANCES[Waste.RESET].base


def test_a_client_may_drop_all_its_streams_within_the_base() -> None:
    assert ALLOWANCES[Waste.RESET].base >= MAX_CONCURRENT_STREAMS
