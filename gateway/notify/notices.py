"""What is in force -> what people are to be told. Pure.

A notice follows from the state, not from the moment at which it changed: so none is lost by a restart, and whoever
looks again finds the same ones with the same ids. Receivers tell repetitions by them.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.state.entries import Revoked
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import NS_PER_S, HoldState
from gateway.state.view import View

BUDGETS: Final = "kubetape"
"""Who revokes when a budget freezes a session or grant."""
WORTH_NS: Final = 3600 * NS_PER_S
"""How long what happened is worth telling to a receiver that is away; of what waits: as long as it waits."""


class Notice(msgspec.Struct, frozen=True):
    """id: the same whenever and by whomever it is told. until_ns: later nobody needs to be told. about: as it is now."""

    id: str
    event: str
    at_ns: int
    until_ns: int
    about: HoldState | GrantState | Revoked

    @property
    def is_request(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.event.endswith(".requested")


def notices_of(view: View, now_ns: int) -> list[Notice]:
    """All there is to be told now, of what the state remembers."""
    found = [notice for hold in view.holds(now_ns) for notice in _of_hold(hold, now_ns)]
    found += [notice for grant in view.grants(now_ns) for notice in _of_grant(grant, now_ns)]
    return found + [_of_revocation(revoked) for revoked in view.revocations(now_ns)]


def _of_hold(hold: HoldState, now_ns: int) -> Iterator[Notice]:
    state = hold.state(now_ns)
    if state == "pending":
        yield _notice("hold.requested", hold.id, hold.request.at_ns, hold.request.expires_ns, hold)
    elif hold.decided_ns:
        until_ns = max(hold.ends_ns, hold.decided_ns + WORTH_NS)
        yield _notice("hold.decided", hold.id, hold.decided_ns, until_ns, hold)
    else:  # expired, or closed: nobody decided, nobody waits
        ended_ns = min(now_ns, hold.request.expires_ns)
        yield _notice("hold.expired", hold.id, ended_ns, ended_ns + WORTH_NS, hold)


def _of_grant(grant: GrantState, now_ns: int) -> Iterator[Notice]:
    state = grant.state(now_ns)
    if state == "pending":
        yield _notice("grant.requested", grant.id, grant.request.at_ns, grant.request.expires_ns, grant)
        return
    if state == "denied":
        denied_ns = next(vote.at_ns for vote in grant.votes if not vote.approve)
        yield _notice("grant.denied", grant.id, denied_ns, denied_ns + WORTH_NS, grant)
        return
    if grant.begins_ns:
        yield _notice("grant.approved", grant.id, grant.begins_ns, grant.ends_ns, grant)
    if state != "active":
        ended_ns = grant.revoked.at_ns if grant.revoked is not None else grant.last_ns
        yield _notice("grant.ended", grant.id, ended_ns, ended_ns + WORTH_NS, grant)


def _of_revocation(revoked: Revoked) -> Notice:
    event = "budget.crossed" if revoked.by == BUDGETS else "revoked"
    return _notice(event, revoked.id, revoked.at_ns, revoked.at_ns + WORTH_NS, revoked)


def _notice(
    event: str, about_id: str, at_ns: int, until_ns: int, about: HoldState | GrantState | Revoked
) -> Notice:
    return Notice(f"{event}/{about_id}", event, at_ns, until_ns, about)
