"""Unique keys and how long entries matter."""

from gateway.state.claims import UNKNOWN_NS, needed_until_ns, unique_key
from gateway.state.entries import BudgetRaised, BudgetSpent, HoldClosed, Reinstated
from gateway.state.ledgers import KEPT_NS
from gateway.state.view import View
from tests.kit.state_entries import GRANT, HOLD, asked, at, granted, revoked, said, used, wanted

CLOSED = HoldClosed(at_ns=at(5), id=HOLD, why="withdrawn")
LIFTED = Reinstated(at_ns=at(5), id="r1", by="bob", reason="back")
SPENT = BudgetSpent(at_ns=at(5), subject="s1", counter="deletes", amount=1)
RAISED = BudgetRaised(at_ns=at(5), subject="s1", counter="deletes", amount=9, hold=HOLD)


def view() -> View:
    known = View()
    known.apply(1, asked(wait_s=300))
    known.apply(2, wanted(wait_s=600, duration_s=3600))
    return known


def test_an_approval_is_used_once_per_request() -> None:
    assert unique_key(used("d1", exchange="e1")) == unique_key(used("d1", exchange="e2"))
    assert unique_key(used("d1")) != unique_key(used("d2"))


def test_a_person_votes_once_whatever_the_issuer_and_case() -> None:
    assert unique_key(said("bob")) == unique_key(said("Bob", approve=False, issuer="https://other"))
    assert unique_key(said("bob")) != unique_key(said("carol"))
    assert unique_key(granted("bob")) == unique_key(granted("BOB"))


def test_what_may_be_said_once_has_a_key_of_its_own() -> None:
    entries = [asked(), said(), used(), CLOSED, wanted(), granted(), revoked("user", "a"), LIFTED, RAISED]
    keys = [unique_key(entry) for entry in entries]
    assert len(set(keys)) == len(entries)
    assert "" not in keys


def test_spending_and_raises_without_a_hold_may_repeat() -> None:
    free = BudgetRaised(at_ns=at(5), subject="s1", counter="deletes", amount=9)
    assert unique_key(SPENT) == unique_key(free) == ""


def test_all_of_a_hold_matters_until_nothing_can_be_covered_by_it() -> None:
    entries = (asked(wait_s=300), said(), used(), CLOSED, revoked("hold", HOLD))
    assert {needed_until_ns(entry, view()) for entry in entries} == {at(300 + 3600)}


def test_all_of_a_grant_matters_until_it_must_have_ended() -> None:
    entries = (wanted(wait_s=600, duration_s=3600), granted(), revoked("grant", GRANT))
    assert {needed_until_ns(entry, view()) for entry in entries} == {at(600 + 3600)}


def test_what_is_said_of_the_unknown_matters_a_month() -> None:
    for entry in (said(), used(), CLOSED, granted()):
        assert needed_until_ns(entry, View()) == entry.at_ns + UNKNOWN_NS


def test_a_revocation_of_the_unknown_matters_for_ever() -> None:
    for entry in (revoked("hold", HOLD), revoked("grant", GRANT)):
        assert needed_until_ns(entry, View()) == 0


def test_a_revocation_matters_until_its_end_and_its_lifting_for_ever() -> None:
    assert needed_until_ns(revoked("user", "ann"), view()) == 0
    assert needed_until_ns(revoked("user", "ann", until_ns=at(9)), view()) == at(9)
    assert needed_until_ns(LIFTED, view()) == 0


def test_a_budget_matters_as_long_as_its_ledger_is_kept() -> None:
    assert needed_until_ns(SPENT, view()) == needed_until_ns(RAISED, view()) == at(5) + KEPT_NS
