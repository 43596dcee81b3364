"""Entries folded: what is in force, for whom, and what is forgotten."""

from gateway.policy.model import ActiveGrant
from gateway.state.entries import AnyEntry, BudgetRaised, BudgetSpent, HoldClosed, Reinstated, Revoked
from gateway.state.ledgers import KEPT_NS, MAX_NAMES, Budget
from gateway.state.view import SHOWN_AFTER_END_NS, View
from tests.kit.state_entries import (
    ANN,
    GRANT,
    HOLD,
    OTHER_HOLD,
    asked,
    at,
    granted,
    revoked,
    said,
    used,
    wanted,
)


def fold(*entries: AnyEntry) -> View:
    view = View()
    for seq, entry in enumerate(entries, 1):
        view.apply(seq, entry)
    return view


def spent(amount: int = 1, *, names: tuple[str, ...] = (), seconds: float = 1) -> BudgetSpent:
    return BudgetSpent(at_ns=at(seconds), subject="s1", counter="deletes", amount=amount, names=names)


def raised(hold: str = "h1", *, seconds: float = 1, amount: int = 10) -> BudgetRaised:
    return BudgetRaised(at_ns=at(seconds), subject="s1", counter="deletes", amount=amount, hold=hold)


def ending(view: View, seconds: float, **changes: object) -> Revoked | None:
    who: dict[str, object] = {
        "user": "ann",
        "issuer": "https://issuer",
        "credential_id": "c1",
        "session": "s1",
        "grants": (GRANT,),
    }
    return view.revocation_of(**(who | changes), now_ns=at(seconds))  # type: ignore[arg-type]


# --- holds ------------------------------------------------------------------------------------------


def test_a_call_joins_the_hold_that_waits_for_the_same_request() -> None:
    view = fold(asked(), asked(OTHER_HOLD, digest="d9", command="k9"))
    hold = view.hold_for(ANN, "d1", "", at(1))
    assert hold is not None
    assert hold.id == HOLD


def test_a_fan_out_joins_the_hold_of_its_command() -> None:
    view = fold(asked(), said())
    hold = view.hold_for(ANN, "d2", "k1", at(11))
    assert hold is not None
    assert hold.covers("d2", "k1", at(11))


def test_an_approval_is_found_before_a_request_that_waits() -> None:
    view = fold(asked(OTHER_HOLD), asked(HOLD), said())
    hold = view.hold_for(ANN, "d1", "k1", at(11))
    assert hold is not None
    assert hold.id == HOLD


def test_nobody_joins_somebody_elses_hold() -> None:
    view = fold(asked(), said())
    for who in (("eve", "https://issuer"), ("ann", "https://other"), ("Ann", "https://issuer")):
        assert view.hold_for(who, "d1", "k1", at(11)) is None


def test_a_call_that_nothing_covers_needs_a_hold_of_its_own() -> None:
    assert fold(asked()).hold_for(ANN, "d2", "k2", at(1)) is None
    assert fold(asked(scope="request")).hold_for(ANN, "d2", "k1", at(1)) is None
    assert fold(asked()).hold_for(ANN, "d1", "k1", at(300)) is None
    assert fold(asked(), said(), used()).hold_for(ANN, "d1", "k1", at(21)) is None
    assert fold(asked(), said(approve=False, note="no")).hold_for(ANN, "d1", "k1", at(11)) is None


def test_a_hold_is_found_by_what_people_type() -> None:
    view = fold(asked(), asked(OTHER_HOLD))
    for prefix in (HOLD, "AAAAAAAA", "aaaa"):
        found = view.find(prefix)
        assert found is not None
        assert found.id == HOLD
    assert view.find("01K0") is None  # both
    assert view.find("ZZZZ") is view.find("") is None


def test_holds_are_listed_until_an_hour_after_their_end() -> None:
    view = fold(asked(OTHER_HOLD), asked())
    assert [hold.id for hold in view.holds(at(1))] == [HOLD, OTHER_HOLD]
    assert view.holds(at(300) + SHOWN_AFTER_END_NS) == []


def test_what_is_said_of_an_unknown_hold_gives_nothing() -> None:
    view = fold(said(), used(), HoldClosed(at_ns=at(1), id=HOLD, why="expired"), asked())
    hold = view.hold(HOLD)
    assert hold is not None
    assert hold.state(at(20)) == "pending"


def test_a_second_request_with_the_same_id_changes_nothing() -> None:
    view = fold(asked(), said(approve=False, note="no"), asked(approver_users=("eve",)))
    hold = view.hold(HOLD)
    assert hold is not None
    assert hold.state(at(11)) == "denied"


# --- grants -----------------------------------------------------------------------------------------


def test_s30_a_person_holds_what_was_granted_until_its_end() -> None:
    view = fold(wanted(), granted())
    assert view.grants_of(*ANN, at(9)) != ()  # the vote is known: a clock that is behind changes nothing
    assert view.grants_of(*ANN, at(3609)) == (ActiveGrant(GRANT, "debug-prod", at(3610)),)
    assert view.grants_of(*ANN, at(3610)) == ()


def test_a_namesake_of_another_issuer_holds_nothing() -> None:
    view = fold(wanted(), granted())
    assert view.grants_of("ann", "https://other", at(20)) == ()
    assert view.grants_of("bob", "https://issuer", at(20)) == ()


def test_a_vote_for_an_unknown_grant_gives_nothing() -> None:
    assert fold(granted(), wanted()).grants_of(*ANN, at(20)) == ()


def test_grants_are_listed_and_found_by_what_people_type() -> None:
    view = fold(wanted(), wanted("01K0000000HHHHHHHH11111111"))
    assert [grant.id for grant in view.grants(at(1))] == [GRANT, "01K0000000HHHHHHHH11111111"]
    found = view.find_grant("gggg")
    assert found is not None
    assert found.id == GRANT
    assert view.find_grant("01K") is None
    assert view.grants(at(600) + SHOWN_AFTER_END_NS) == []


# --- revocations ------------------------------------------------------------------------------------


def test_s31_each_kind_of_revocation_ends_whom_it_names() -> None:
    assert ending(fold(), 31) is None
    for kind, subject in (("user", "ann"), ("credential", "c1"), ("session", "s1"), ("grant", GRANT)):
        entry = revoked(kind, subject)
        assert ending(fold(entry), 31) == entry
        assert ending(fold(revoked(kind, "somebody-else")), 31) is None


def test_a_revoked_user_is_out_at_every_issuer() -> None:
    assert ending(fold(revoked("user", "ann")), 31, issuer="https://other") is not None


def test_a_revocation_ends_with_its_time_or_when_it_is_lifted() -> None:
    entry = revoked("user", "ann", until_ns=at(100))
    assert ending(fold(entry), 99) is not None
    assert ending(fold(entry), 100) is None
    lifted = Reinstated(at_ns=at(50), id=entry.id, by="bob", reason="back")
    assert ending(fold(entry, lifted), 51) is None
    other = revoked("user", "ann", id="r2")
    assert ending(fold(entry, other, lifted), 51) == other


def test_s31_a_grant_that_was_revoked_cannot_be_given_back() -> None:
    entry = revoked("grant", GRANT)
    assert ending(fold(entry, Reinstated(at_ns=at(40), id=entry.id, by="bob", reason="oops")), 41) == entry


def test_lifting_what_is_unknown_changes_nothing() -> None:
    assert ending(fold(Reinstated(at_ns=at(1), id="r9", by="bob", reason="")), 2) is None


def test_revocations_in_force_are_listed_once() -> None:
    entry, brief = revoked("user", "ann"), revoked("session", "s1", until_ns=at(100))
    view = fold(entry, entry, brief)
    assert view.revocations(at(50)) == [entry, brief]
    assert view.revocations(at(100)) == [entry]


def test_revoking_what_is_unknown_is_remembered_all_the_same() -> None:
    view = fold(revoked("hold", HOLD), revoked("grant", GRANT))
    assert view.hold(HOLD) is None
    assert ending(view, 31) is not None


# --- budgets ----------------------------------------------------------------------------------------


def test_what_was_spent_adds_up() -> None:
    view = fold(spent(2), spent(3), raised())
    assert view.budget("s1", "deletes") == Budget(5, 10)
    assert view.budget("s1", "bytesOut") == view.budget("s2", "deletes") == Budget()


def test_a_name_counts_once() -> None:
    view = fold(spent(2, names=("a", "b")), spent(2, names=("b", "c")))
    assert view.budget("s1", "deletes") == Budget(3, 0, frozenset("abc"))


def test_past_the_limit_every_name_counts_as_new() -> None:
    many = tuple(map(str, range(MAX_NAMES)))
    view = fold(spent(names=many), spent(names=("x",)), spent(names=("x",)))
    assert view.budget("s1", "deletes").spent == MAX_NAMES + 2
    assert len(view.budget("s1", "deletes").names) == MAX_NAMES


def test_a_copied_raise_gives_nothing_more() -> None:
    assert fold(raised(), raised(), raised("h2")).budget("s1", "deletes").raised == 20
    assert fold(raised(""), raised(""), raised("", seconds=2)).budget("s1", "deletes").raised == 20


def test_a_budget_never_falls() -> None:
    view = fold(spent(5), spent(-9), raised(amount=-9))
    assert view.budget("s1", "deletes") == Budget(5, 0)


# --- forgetting -------------------------------------------------------------------------------------


def test_what_is_over_is_forgotten() -> None:
    view = fold(asked(), wanted(), wanted("01K0000000HHHHHHHH11111111", wait_s=10), spent())
    view.apply(9, revoked("user", "ann", until_ns=at(100)))
    view.apply(10, revoked("user", "ann", id="r2"))
    view.forget(at(300) + SHOWN_AFTER_END_NS)
    assert view.hold(HOLD) is view.find("AAAA") is None
    assert view.hold_for(ANN, "d1", "k1", at(1)) is None
    assert [grant.id for grant in view.grants(at(1))] == [GRANT]
    assert [entry.id for entry in view.revocations(at(1))] == ["r2"]
    view.forget(at(600) + SHOWN_AFTER_END_NS)
    assert view.grants(at(1)) == []
    assert view.budget("s1", "deletes").spent == 1
    view.forget(at(1) + KEPT_NS)
    assert view.budget("s1", "deletes") == Budget()


def test_of_several_holds_of_one_person_only_what_is_over_is_forgotten() -> None:
    view = fold(asked(wait_s=10), asked(OTHER_HOLD, wait_s=300))
    view.forget(at(10) + SHOWN_AFTER_END_NS)
    hold = view.hold_for(ANN, "d1", "k1", at(11))
    assert hold is not None
    assert hold.id == OTHER_HOLD


def test_a_revocation_among_several_of_one_subject_is_forgotten_alone() -> None:
    view = fold(revoked("user", "ann", until_ns=at(100)), revoked("user", "ann", id="r2"))
    view.forget(at(100))
    assert ending(view, 101) is not None


def test_the_highest_number_is_kept() -> None:
    view = View()
    view.apply(7, asked())
    view.apply(3, asked())
    assert view.seq == 7
