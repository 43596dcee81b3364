"""Votes, counted once for holds and grants."""

from gateway.state import ballot
from gateway.state.entries import HoldVoted, Voter


def vote(who: str, *, approve: bool = True) -> HoldVoted:
    return HoldVoted(1, "id", approve, Voter(who))


def test_the_vote_that_completes_the_quorum_decides() -> None:
    ann, bob, carl = vote("ann"), vote("bob"), vote("carl")
    assert ballot.deciding((ann,), 2) is None
    assert ballot.deciding((ann, bob, carl), 2) is bob
    assert ballot.deciding((ann,), 0) is ann
    assert ballot.deciders((ann,), 2) == ()
    assert ballot.deciders((ann, bob), 2) == ("ann", "bob")


def test_a_denial_counts_whatever_the_others_said() -> None:
    votes = (vote("ann"), vote("bob", approve=False))
    assert ballot.denial(votes) is votes[1]
    assert ballot.approvals(votes) == votes[:1]
    assert ballot.deciders(votes, 1) == ("bob",)
