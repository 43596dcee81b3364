"""One person's word on a hold or a grant: checked, then written. Conduct; API and Slack both come through here.

Entitlement is `gateway.state.voting`'s; this turns it into answers and writes the vote. The trap: between the check
and the write somebody else may vote. The store takes one vote a person, and every reader counts the votes again, so
the worst that happens is a vote that changes nothing.
"""

import secrets
from typing import Final

from gateway.errors import Answer, Refusal
from gateway.sessions import make_session_id
from gateway.state.entries import AnyEntry, GrantVoted, HoldVoted, Voter
from gateway.state.follower import SharedState
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import MAX_COVER_S, HoldState
from gateway.state.store import AlreadyClaimed, StateError
from gateway.state.voting import check_vote, may_vote
from storage.errors import LogFailed

NOT_YOURS: Final = Answer(403, "Forbidden", "denied")
TOO_LATE: Final = Answer(409, "Conflict", "refused")
UNACCEPTABLE: Final = Answer(422, "Invalid", "refused")
STATE_AWAY: Final = Answer(503, "ServiceUnavailable", "failed")

MAX_NOTE_CHARACTERS: Final = 1000
DEFAULT_COVER_S: Final = 60
"""How long an approval covers further calls of its command when nobody says: kubectl asks for the next at once."""


async def vote_on_hold(
    state: SharedState,
    hold: HoldState,
    voter: Voter,
    *,
    approve: bool,
    note: str,
    scope: str = "",
    for_s: int = 0,
) -> HoldState:
    """Approve or deny; returns the hold as it is then. scope, for_s: "" and 0 take what the rule permits, 60 s.

    Raises Refusal.
    """
    request = hold.request
    if scope not in ("", "command", "request"):
        raise Refusal(UNACCEPTABLE, 'scope is "command" or "request"')
    if scope == "command" and (request.scope != "command" or not request.command):
        raise Refusal(
            UNACCEPTABLE, 'this rule lets one approval cover this very request only: scope "request"'
        )
    if not 0 <= for_s <= MAX_COVER_S:
        raise Refusal(UNACCEPTABLE, f"an approval covers further calls for 1 to {MAX_COVER_S} s")
    _check(state, hold, voter, approve=approve, note=note)
    entry = HoldVoted(
        state.now_ns(), hold.id, approve, voter, note, scope or request.scope, for_s or DEFAULT_COVER_S
    )
    await write(state, entry)
    return state.view.hold(hold.id) or hold


async def vote_on_grant(
    state: SharedState, grant: GrantState, voter: Voter, *, approve: bool, note: str, duration_s: int = 0
) -> GrantState:
    """Approve or deny; returns the grant as it is then. duration_s: 0 as asked for, else shorter. Raises Refusal."""
    if not 0 <= duration_s <= grant.request.duration_s:
        raise Refusal(
            UNACCEPTABLE, f"at most what was asked for can be granted: {grant.request.duration_s} s"
        )
    _check(state, grant, voter, approve=approve, note=note)
    await write(state, GrantVoted(state.now_ns(), grant.id, approve, voter, note, duration_s))
    return state.view.grant(grant.id) or grant


def check_text(text: str, what: str) -> str:
    """A person's words, trimmed. Raises Refusal: they are shown in terminals, logs and chats."""
    text = text.strip()
    if len(text) > MAX_NOTE_CHARACTERS or not text.isprintable():
        raise Refusal(UNACCEPTABLE, f"{what}: one line of at most {MAX_NOTE_CHARACTERS} visible characters")
    return text


def new_id(state: SharedState) -> str:
    """A ULID for a request or a revocation."""
    return make_session_id(state.now_ns(), secrets.randbits(80))


async def write(state: SharedState, entry: AnyEntry) -> None:
    """Record and store one entry; it is in force on return. Raises Refusal, which says what became of it."""
    try:
        await state.append(entry)
    except AlreadyClaimed:
        raise Refusal(TOO_LATE, "this was said already: look at it again") from None
    except StateError as error:
        raise Refusal(STATE_AWAY, str(error)) from error
    except LogFailed as error:
        raise Refusal(STATE_AWAY, "kubetape cannot record decisions, so none is made (see readyz)") from error


def check_fresh(state: SharedState) -> None:
    """Raises Refusal while what is in force is not known: nobody should decide on old facts."""
    if state.is_stale:
        raise Refusal(STATE_AWAY, state.problem())


def _check(
    state: SharedState, asked: HoldState | GrantState, voter: Voter, *, approve: bool, note: str
) -> None:
    check_fresh(state)
    check_text(note, "note")
    if not approve and not note.strip():
        raise Refusal(UNACCEPTABLE, "a denial needs a note: tell the requester why")
    revoked = state.revocation_of(voter.user, voter.issuer, "", "")
    if revoked is not None:
        raise Refusal(NOT_YOURS, f"the access of {voter.user} is revoked: {revoked.reason}")
    not_entitled = may_vote(asked.request, voter)
    if not_entitled:
        raise Refusal(NOT_YOURS, not_entitled)
    too_late = check_vote(asked, voter, state.now_ns(), approve=approve, note=note)
    if too_late:
        raise Refusal(TOO_LATE, too_late)
