"""/api/v1/approvals: calls that wait for a person, one by one or as a list, and the word on them."""

from typing import Annotated, Final, Literal

import msgspec

from gateway.console.answers import Reply
from gateway.console.context import ApiCall, Lines
from gateway.console.documents import ApprovalList
from gateway.console.finding import find_hold, visible_holds
from gateway.console.following import follow_holds
from gateway.console.showing import show_hold
from gateway.deciding import MAX_NOTE_CHARACTERS, check_fresh, vote_on_hold
from gateway.state.hold_state import MAX_COVER_S, HoldState

MAX_HISTORY: Final = 20

Note = Annotated[str, msgspec.Meta(max_length=MAX_NOTE_CHARACTERS)]


class ApproveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """scope: "command" covers what the same kubectl run asks for next, for so long; "request" this call only.

    Left out: the widest the rule permits, 60 seconds.
    """

    note: Note = ""
    scope: Literal["", "command", "request"] = ""
    for_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_COVER_S)] = 0


class DenyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """note: why; the requester reads it."""

    note: Note


async def list_approvals(call: ApiCall) -> Reply | Lines:
    """Those you may see, the oldest first; with watch=true each as a line, and again whenever it changes."""
    check_fresh(call.state)
    state = call.query.get("state", "")
    if call.query.get("watch") == "true":
        return Lines(lambda send: follow_holds(call, state, send))
    now_ns = call.now_ns
    holds = visible_holds(call.state.view, call.person, now_ns)
    items = [show_hold(hold, call.person, now_ns) for hold in holds if state in ("", hold.state(now_ns))]
    return Reply(ApprovalList(tuple(items)))


async def get_approval(call: ApiCall) -> Reply:
    """One, with what its requester asked for before."""
    check_fresh(call.state)
    hold = find_hold(call.state.view, call.person, call.path_id, call.now_ns)
    return _reply(call, hold)


async def approve(call: ApiCall) -> Reply:
    """Your approval. It goes ahead once the quorum is reached."""
    body = call.body_as(ApproveBody)
    check_fresh(call.state)
    hold = find_hold(call.state.view, call.person, call.path_id, call.now_ns)
    voted = await vote_on_hold(
        call.state,
        hold,
        call.person.voter,
        approve=True,
        note=body.note,
        scope=body.scope,
        for_s=body.for_seconds,
    )
    return _reply(call, voted)


async def deny(call: ApiCall) -> Reply:
    """Your denial. One is enough; whoever waits is told at once, with the note."""
    body = call.body_as(DenyBody)
    check_fresh(call.state)
    hold = find_hold(call.state.view, call.person, call.path_id, call.now_ns)
    voted = await vote_on_hold(call.state, hold, call.person.voter, approve=False, note=body.note)
    return _reply(call, voted)


def _reply(call: ApiCall, hold: HoldState) -> Reply:
    now_ns = call.now_ns
    past = tuple(
        other
        for other in visible_holds(call.state.view, call.person, now_ns)
        if other.id != hold.id
        and other.request.requester.user == hold.request.requester.user
        and other.request.requester.issuer == hold.request.requester.issuer
    )
    return Reply(show_hold(hold, call.person, now_ns, past=past[-MAX_HISTORY:]))
