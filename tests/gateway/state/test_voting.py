"""Who may vote, and when."""

from gateway.state.entries import Voter
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import HoldState
from gateway.state.voting import check_vote, may_vote, person
from tests.kit.state_entries import asked, at, granted, revoked, said, wanted

BOB = Voter("bob", (), "https://issuer")


def test_an_approver_may_vote_by_name_or_group() -> None:
    assert may_vote(asked(), BOB) == ""
    assert may_vote(asked(), Voter("dan", ("devs", "sre"))) == ""
    assert check_vote(HoldState(asked()), BOB, at(1)) == ""
    assert check_vote(GrantState(wanted()), BOB, at(1), approve=False, note="why") == ""


def test_others_are_told_who_may() -> None:
    refusal = may_vote(asked(), Voter("eve"))
    assert check_vote(HoldState(asked()), Voter("eve"), at(1)) == refusal
    assert refusal == "eve may not decide this; user bob, user carol, user ann, group sre may"
    nobody = asked(approver_users=(), approver_groups=())
    assert may_vote(nobody, BOB) == "bob may not decide this; nobody may"


def test_the_requester_may_not_under_any_name_of_his() -> None:
    for voter in (
        Voter("ann", ("sre",), "https://issuer"),
        Voter("ann", ("sre",), "https://other"),
        Voter("Ann", ("sre",)),
    ):
        assert "somebody else has to decide" in may_vote(asked(), voter)


def test_a_vote_needs_a_person() -> None:
    assert may_vote(asked(), Voter("", ("sre",))) == "a vote needs an identified person"


def test_each_person_votes_once() -> None:
    hold = HoldState(asked(quorum=2), (said(),))
    assert "has voted already" in check_vote(hold, Voter("BOB", ("sre",)), at(11))
    assert check_vote(hold, Voter("carol"), at(11)) == ""
    assert person("Bob") == person("BOB")


def test_what_is_decided_or_over_takes_no_vote() -> None:
    approved = HoldState(asked(), (said(),))
    assert check_vote(approved, Voter("carol"), at(11)) == (
        "it is approved already (by bob): there is nothing left to decide"
    )
    assert "it is expired already:" in check_vote(HoldState(asked()), BOB, at(300))
    denied = GrantState(wanted(), (granted(approve=False, note="no"),))
    assert "it is denied already (by bob)" in check_vote(denied, Voter("carol"), at(11))


def test_a_denial_needs_a_note() -> None:
    assert "needs a note" in check_vote(HoldState(asked()), BOB, at(1), approve=False, note=" ")


def test_a_revoked_person_has_no_vote() -> None:
    refusal = check_vote(HoldState(asked()), BOB, at(31), revoked=revoked("user", "bob"))
    assert refusal == "the access of bob is revoked: left the company"
