"""What becomes of a hold: votes, uses, ends."""

from gateway.state.entries import AnyEntry, HoldClosed
from gateway.state.hold_state import MAX_COVER_S, HoldState
from gateway.state.view import View
from tests.kit.state_entries import HOLD, asked, at, revoked, said, used


def fold(*entries: AnyEntry) -> HoldState:
    view = View()
    for seq, entry in enumerate(entries, 1):
        view.apply(seq, entry)
    hold = view.hold(HOLD)
    assert hold is not None
    return hold


def test_a_request_waits_until_it_expires() -> None:
    hold = fold(asked(wait_s=300))
    assert [hold.state(at(s)) for s in (0, 299.9, 300)] == ["pending", "pending", "expired"]
    assert (hold.decided_by, hold.decided_ns, hold.note, hold.covers_until_ns) == ("", 0, "", 0)


def test_one_vote_approves_when_one_is_needed() -> None:
    hold = fold(asked(), said(note="ok"))
    assert (hold.state(at(11)), hold.decided_by, hold.decided_ns, hold.note) == (
        "approved",
        "bob",
        at(10),
        "ok",
    )
    assert hold.covers("d1", "k1", at(11))


def test_a_quorum_needs_that_many_different_people() -> None:
    two = asked(quorum=2)
    assert fold(two, said()).state(at(20)) == "pending"
    assert fold(two, said(), said(seconds=11)).state(at(20)) == "pending"
    hold = fold(two, said(note="a"), said("carol", seconds=12, note="b"))
    assert (hold.state(at(20)), hold.decided_by, hold.decided_ns, hold.note) == (
        "approved",
        "bob, carol",
        at(12),
        "a; b",
    )
    assert hold.deciders == ("bob", "carol"), "one by one, as they are recorded"
    assert fold(two).deciders == ()


def test_s36_one_person_counts_once_whatever_the_groups_issuer_or_case() -> None:
    two = asked(quorum=2)
    for again in (
        said("Bob", seconds=11, groups=("sre",)),
        said("bob", seconds=11, issuer="https://other"),
        said("bob", seconds=11, groups=("sre", "ops")),
    ):
        assert fold(two, said(), again).state(at(20)) == "pending"


def test_s36_the_requester_never_decides_even_as_an_approver() -> None:
    for vote in (said("ann"), said("ANN", groups=("sre",)), said("ann", issuer="https://other")):
        assert fold(asked(), vote).state(at(20)) == "pending"


def test_a_vote_of_somebody_who_is_no_approver_does_not_count() -> None:
    assert fold(asked(), said("eve")).state(at(20)) == "pending"
    assert fold(asked(), said("eve", groups=("sre",))).state(at(20)) == "approved"
    assert fold(asked(), said("eve", groups=("sre",), approve=False)).state(at(20)) == "denied"


def test_a_vote_after_the_end_does_not_count() -> None:
    assert fold(asked(wait_s=300), said(seconds=300)).state(at(301)) == "expired"


def test_one_denial_ends_it_with_its_note() -> None:
    hold = fold(asked(quorum=2), said(), said("carol", approve=False, note="not today", seconds=11))
    assert (hold.state(at(12)), hold.decided_by, hold.note, hold.decided_ns) == (
        "denied",
        "carol",
        "not today",
        at(11),
    )
    assert not hold.covers("d1", "k1", at(12))


def test_a_denial_that_crossed_an_approval_counts_in_either_order() -> None:
    yes, no = said(), said("carol", approve=False, note="no")
    assert fold(asked(), yes, no).state(at(12)) == fold(asked(), no, yes).state(at(12)) == "denied"


def test_a_request_goes_ahead_once() -> None:
    hold = fold(asked(scope="request"), said(), used())
    assert not hold.covers("d1", "k1", at(21))
    assert hold.state(at(21)) == "used"
    assert fold(asked(), said(), used(), used()).uses == ("d1",)


def test_an_approved_command_covers_further_requests_each_once_until_its_time() -> None:
    hold = fold(asked(), said(for_s=60), used("d1"), used("d2"))
    assert not hold.covers("d1", "k1", at(21))
    assert not hold.covers("d2", "k1", at(21))
    assert hold.covers("d3", "k1", at(69.9))
    assert not hold.covers("d3", "k1", at(70))
    assert not hold.covers("d3", "k2", at(21))
    assert [hold.state(at(s)) for s in (69.9, 70)] == ["approved", "used"]


def test_the_request_that_waited_may_go_ahead_until_the_holds_own_end() -> None:
    hold = fold(asked(wait_s=300), said(for_s=60))
    assert hold.covers("d1", "k1", at(299))
    assert not hold.covers("d2", "k1", at(299))
    assert hold.state(at(300)) == "expired"


def test_a_late_approval_still_covers_the_rest_of_its_command() -> None:
    hold = fold(asked(wait_s=300), said(seconds=290, for_s=60), used("d1", seconds=291))
    assert hold.covers("d2", "k1", at(349))
    assert hold.ends_ns == at(350)
    assert hold.state(at(350)) == "used"
    late = fold(asked(wait_s=300), said(seconds=290, for_s=60))
    assert not late.covers("d1", "k1", at(301))


def test_the_narrowest_scope_and_the_shortest_time_win() -> None:
    two = asked(quorum=2)
    hold = fold(two, said(for_s=60), said("carol", for_s=30, seconds=12))
    assert hold.covers_until_ns == at(42)
    assert fold(two, said(scope="request"), said("carol")).scope == "request"
    assert fold(asked(scope="request"), said()).scope == "request"
    assert fold(asked(command=""), said()).scope == "request"
    assert fold(asked(scope="request"), said()).covers_until_ns == 0


def test_no_vote_covers_longer_than_an_hour_nor_less_than_nothing() -> None:
    assert fold(asked(), said(for_s=10**9)).covers_until_ns == at(10 + MAX_COVER_S)
    assert fold(asked(), said(for_s=-5)).covers_until_ns == at(10)


def test_what_was_closed_goes_nowhere() -> None:
    closed = HoldClosed(at_ns=at(15), id=HOLD, why="withdrawn")
    hold = fold(asked(), said(), closed, HoldClosed(at_ns=at(16), id=HOLD, why="expired"))
    assert (hold.state(at(16)), hold.note, hold.covers("d1", "k1", at(16))) == ("closed", "withdrawn", False)
    assert fold(asked(), closed).state(at(16)) == "closed"
    assert fold(asked(), said(), used(), closed).state(at(21)) == "used"
    assert fold(asked(), said(approve=False, note="no"), closed).state(at(21)) == "denied"


def test_s31_a_revoked_approval_covers_nothing_more() -> None:
    hold = fold(asked(), said(), used("d1"), revoked("hold", HOLD))
    assert not hold.covers("d2", "k1", at(31))
    assert fold(asked(), said(), revoked("hold", HOLD)).state(at(31)) == "closed"
    assert fold(asked(), revoked("hold", HOLD, reason="")).closed == "revoked"


def test_joining_means_the_same_request_or_the_same_command() -> None:
    hold = fold(asked())
    assert hold.joins("d1", "other")
    assert hold.joins("d2", "k1")
    assert not hold.joins("d2", "k2")
    assert not fold(asked(command="")).joins("d2", "")
    assert not fold(asked(scope="request")).joins("d2", "k1")
