"""The votes on one request, counted: for holds and grants alike. Pure.

Votes are those that count (`view` sees to that): entitled, in time, one a person, in the order in which they were stored.
A denial counts whatever the others said.
"""

from typing import TypeVar

from gateway.state.entries import GrantVoted, HoldVoted

V = TypeVar("V", HoldVoted, GrantVoted)


def approvals(votes: tuple[V, ...]) -> tuple[V, ...]:
    return tuple(vote for vote in votes if vote.approve)


def denial(votes: tuple[V, ...]) -> V | None:
    """The first word against it."""
    return next((vote for vote in votes if not vote.approve), None)


def deciding(votes: tuple[V, ...], quorum: int) -> V | None:
    """The vote that completed the quorum, if it is complete; a quorum is at least one."""
    found, needed = approvals(votes), max(quorum, 1)
    return found[needed - 1] if len(found) >= needed else None


def deciders(votes: tuple[V, ...], quorum: int) -> tuple[str, ...]:
    """The people on whose word; () while undecided."""
    against = denial(votes)
    if against is not None:
        return (against.by.user,)
    return tuple(vote.by.user for vote in approvals(votes)) if deciding(votes, quorum) is not None else ()
