"""Who may decide a hold or a grant, and whether this vote still counts. Pure.

Two questions. `may_vote`: is this person entitled at all; the view asks it again of every stored vote, so that no
gateway's mistake becomes an approval. `check_vote`: may this person vote now; whoever writes a vote asks it first.

The trap is who counts as one person: a user name, whatever the issuer and the case of its letters. The same name from
two issuers may be two people, but two votes of one person are worse than one vote too few.
"""

from gateway.state.entries import GrantRequested, HoldRequested, Revoked, Voter
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import HoldState


def person(user: str) -> str:
    """What distinct people differ in."""
    return user.casefold()


def may_vote(request: HoldRequested | GrantRequested, voter: Voter) -> str:
    """ "" when this person is entitled to decide this request, otherwise why not, in one line."""
    if not voter.user:
        return "a vote needs an identified person"
    if person(voter.user) == person(request.requester.user):
        return f"{voter.user} asked for it: somebody else has to decide"
    if voter.user in request.approver_users or set(voter.groups) & set(request.approver_groups):
        return ""
    return f"{voter.user} may not decide this; {_electorate(request)} may"


def check_vote(
    asked: HoldState | GrantState,
    voter: Voter,
    now_ns: int,
    *,
    approve: bool = True,
    note: str = "",
    revoked: Revoked | None = None,
) -> str:
    """ "" when this vote may be written now, otherwise why not, in one line.

    revoked: what `View.revocation_of` says of the voter.
    """
    if revoked is not None:
        return f"the access of {voter.user} is revoked: {revoked.reason}"
    refusal = may_vote(asked.request, voter)
    if refusal:
        return refusal
    state = asked.state(now_ns)
    if state != "pending":
        by = f" (by {asked.decided_by})" if asked.decided_by else ""
        return f"it is {state} already{by}: there is nothing left to decide"
    if any(person(vote.by.user) == person(voter.user) for vote in asked.votes):
        return f"{voter.user} has voted already: it needs {asked.request.quorum} different people"
    if not approve and not note.strip():
        return "a denial needs a note: tell the requester why"
    return ""


def _electorate(request: HoldRequested | GrantRequested) -> str:
    users = [f"user {name}" for name in request.approver_users]
    groups = [f"group {name}" for name in request.approver_groups]
    return ", ".join(users + groups) or "nobody"
