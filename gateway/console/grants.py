"""/api/v1/grants and /api/v1/bundles: access that is asked for just in time, and the word on it."""

from typing import Annotated, Final

import msgspec

from gateway.console.answers import NOT_FOUND, TOO_MANY, Reply
from gateway.console.approvals import DenyBody, Note
from gateway.console.context import ApiCall
from gateway.console.documents import BundleList, GrantList
from gateway.console.finding import find_grant, visible_grants
from gateway.console.rights import is_own, may_request, may_revoke
from gateway.console.showing import show_bundle, show_grant
from gateway.deciding import (
    NOT_YOURS,
    TOO_LATE,
    UNACCEPTABLE,
    check_fresh,
    check_text,
    new_id,
    vote_on_grant,
    write,
)
from gateway.errors import Refusal
from gateway.policy.model import GrantTerms
from gateway.state.entries import GrantRequested, Requester, Revoked
from gateway.state.grant_state import GrantState
from protocol.durations import parse_duration_s

REQUEST_LIVES_S: Final = 8 * 3600
"""A request nobody decided within a working day is over: whoever asked has found another way, or asks again."""
MAX_PENDING: Final = 10
"""Undecided requests of one person."""

Duration = Annotated[str, msgspec.Meta(max_length=64)]


class RequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """duration: as in 30m or 1h30m, at most what the bundle permits. reason: who decides reads it."""

    bundle: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    duration: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class ApproveGrantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """duration: shorter than asked for; left out: as asked."""

    note: Note = ""
    duration: Duration = ""


class RevokeGrantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """reason: whoever holds the grant reads it."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


async def list_bundles(call: ApiCall) -> Reply:
    """What you may ask for."""
    return Reply(BundleList(tuple(show_bundle(terms) for terms in _bundles(call))))


async def list_grants(call: ApiCall) -> Reply:
    """Grants and requests for them that you may see, the oldest first."""
    check_fresh(call.state)
    now_ns, state = call.now_ns, call.query.get("state", "")
    grants = visible_grants(call.state.view, call.person, now_ns)
    items = [show_grant(grant, call.person, now_ns) for grant in grants if state in ("", grant.state(now_ns))]
    return Reply(GrantList(tuple(items)))


async def get_grant(call: ApiCall) -> Reply:
    """One grant or request."""
    return _reply(call, _found(call))


async def request_grant(call: ApiCall) -> Reply:
    """Ask for a bundle; its approvers decide."""
    body = call.body_as(RequestBody)
    check_fresh(call.state)
    terms = next((terms for terms in _bundles(call) if terms.bundle == body.bundle), None)
    if terms is None:
        raise Refusal(NOT_FOUND, "there is no such bundle that you may ask for: GET /api/v1/bundles")
    duration_s = _duration_s(body.duration)
    if not 0 < duration_s <= terms.max_duration_s:
        raise Refusal(UNACCEPTABLE, f"{terms.bundle} is granted for at most {terms.max_duration_s} s")
    reason = check_text(body.reason, "reason")
    if not reason:
        raise Refusal(UNACCEPTABLE, "say why: who decides has only your reason to go by")
    _check_pending(call)
    entry = _request(call, terms, reason, duration_s)
    await write(call.state, entry)
    return Reply(
        show_grant(call.state.view.grant(entry.id) or GrantState(entry), call.person, call.now_ns), 201
    )


async def approve(call: ApiCall) -> Reply:
    """Your approval. It begins once the quorum is reached."""
    body = call.body_as(ApproveGrantBody)
    grant = _found(call)
    duration_s = _duration_s(body.duration) if body.duration else 0
    voted = await vote_on_grant(
        call.state, grant, call.person.voter, approve=True, note=body.note, duration_s=duration_s
    )
    return _reply(call, voted)


async def deny(call: ApiCall) -> Reply:
    """Your denial. One is enough."""
    body = call.body_as(DenyBody)
    voted = await vote_on_grant(call.state, _found(call), call.person.voter, approve=False, note=body.note)
    return _reply(call, voted)


async def revoke(call: ApiCall) -> Reply:
    """End a grant, or withdraw a request: your own, or as an admin anybody's. What runs on it ends within a second."""
    body = call.body_as(RevokeGrantBody)
    grant = _found(call)
    if not may_revoke(call.person, "grant", grant.id, grant.request.requester):
        raise Refusal(NOT_YOURS, "only an admin, or who holds it, may revoke a grant")
    state = grant.state(call.now_ns)
    if state not in ("pending", "active"):
        raise Refusal(TOO_LATE, f"it is {state} already: there is nothing to revoke")
    reason = check_text(body.reason, "reason")
    if not reason:
        raise Refusal(UNACCEPTABLE, "say why: whoever holds the grant reads it")
    revoked = Revoked(call.now_ns, new_id(call.state), "grant", grant.id, call.person.user, reason)
    await write(call.state, revoked)
    return _reply(call, call.state.view.grant(grant.id) or grant)


def _bundles(call: ApiCall) -> list[GrantTerms]:
    policy = call.services.policy()
    if policy is None:
        return []
    return [
        policy.grants[name] for name in sorted(policy.grants) if may_request(call.person, policy.grants[name])
    ]


def _found(call: ApiCall) -> GrantState:
    check_fresh(call.state)
    return find_grant(call.state.view, call.person, call.path_id, call.now_ns)


def _reply(call: ApiCall, grant: GrantState) -> Reply:
    return Reply(show_grant(grant, call.person, call.now_ns))


def _duration_s(text: str) -> int:
    seconds = parse_duration_s(text)
    if seconds is None or seconds != int(seconds) or not 0 < seconds:
        raise Refusal(UNACCEPTABLE, "a duration is written 90s, 30m or 1h30m")
    return int(seconds)


def _check_pending(call: ApiCall) -> None:
    now_ns = call.now_ns
    own = [
        grant
        for grant in call.state.view.grants(now_ns)
        if is_own(call.person, grant.request.requester) and grant.state(now_ns) == "pending"
    ]
    if len(own) >= MAX_PENDING:
        raise Refusal(TOO_MANY, f"you have {len(own)} undecided requests: withdraw some, or wait")


def _request(call: ApiCall, terms: GrantTerms, reason: str, duration_s: int) -> GrantRequested:
    who, now_ns = call.person.principal, call.now_ns
    return GrantRequested(
        at_ns=now_ns,
        id=new_id(call.state),
        expires_ns=now_ns + REQUEST_LIVES_S * 1_000_000_000,
        requester=Requester(
            who.user, who.groups, who.issuer, who.credential_id, call.person.session, call.source
        ),
        bundle=terms.bundle,
        reason=reason,
        duration_s=duration_s,
        approver_users=terms.approvers.users,
        approver_groups=terms.approvers.groups,
        quorum=terms.approvers.quorum,
    )
