"""/api/v1/revocations: whose access ends now, and who gets it back. Everything under way ends within a second."""

from typing import Annotated, Literal

import msgspec

from gateway.console.answers import NOT_FOUND, Reply
from gateway.console.context import ApiCall
from gateway.console.documents import RevocationList
from gateway.console.finding import only
from gateway.console.rights import LIFTABLE, bad_subject, may_revoke, may_see, may_see_revocation
from gateway.console.showing import show_revocation
from gateway.deciding import NOT_YOURS, TOO_LATE, UNACCEPTABLE, check_fresh, check_text, new_id, write
from gateway.errors import Refusal
from gateway.state.entries import Reinstated, Requester, Revoked
from gateway.state.voting import person as same_person
from protocol.durations import parse_duration_s

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class RevokeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """subject: a user's name, a credential's id, or the whole id of a session, grant or hold.

    reason: whoever is cut off reads it. duration: how long, as in 24h; left out: until it is lifted.
    """

    kind: Literal["user", "credential", "session", "grant", "hold"]
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    reason: Reason
    duration: Annotated[str, msgspec.Meta(max_length=64)] = ""


class LiftBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    reason: Reason


async def list_revocations(call: ApiCall) -> Reply:
    """Those in force that you may see, the oldest first."""
    check_fresh(call.state)
    shown = [r for r in call.state.view.revocations(call.now_ns) if may_see_revocation(call.person, r)]
    return Reply(RevocationList(tuple(show_revocation(revoked) for revoked in shown)))


async def revoke(call: ApiCall) -> Reply:
    """End the access of a user, credential or session, or one grant or hold. Yours, or as an admin anybody's."""
    body = call.body_as(RevokeBody)
    wrong = bad_subject(body.kind, body.subject)
    if wrong:
        raise Refusal(UNACCEPTABLE, wrong)
    owner = _owner(call, body.kind, body.subject)
    if not may_revoke(call.person, body.kind, body.subject, owner):
        raise Refusal(NOT_YOURS, "only an admin may revoke what is not your own")
    if body.kind == "user" and same_person(body.subject) == same_person(call.person.user):
        raise Refusal(
            UNACCEPTABLE, "you would lock yourself out: have another admin do it, or revoke a session"
        )
    entry = Revoked(
        at_ns=call.now_ns,
        id=new_id(call.state),
        subject_kind=body.kind,
        subject=body.subject,
        by=call.person.user,
        reason=_reason(body.reason),
        until_ns=_until_ns(call, body.duration),
    )
    await write(call.state, entry)
    return Reply(show_revocation(entry), 201)


async def lift(call: ApiCall) -> Reply:
    """Give access back. Only an admin may."""
    body = call.body_as(LiftBody)
    check_fresh(call.state)
    revoked = _found(call)
    if not call.person.is_admin:
        raise Refusal(NOT_YOURS, "only an admin may lift a revocation")
    if revoked.subject_kind not in LIFTABLE:
        raise Refusal(
            UNACCEPTABLE, f"a {revoked.subject_kind} that was revoked stays over: ask for a new one"
        )
    reason = _reason(body.reason)
    await write(call.state, Reinstated(call.now_ns, revoked.id, call.person.user, reason))
    return Reply(show_revocation(revoked))


def _found(call: ApiCall) -> Revoked:
    visible = [r for r in call.state.view.revocations(call.now_ns) if may_see_revocation(call.person, r)]
    return only(visible, call.path_id, "revocation")


def _owner(call: ApiCall, kind: str, subject: str) -> Requester | None:
    """Of a grant or hold. Raises Refusal: of one that may not be seen, nothing is said."""
    if kind not in ("grant", "hold"):
        return None
    check_fresh(call.state)
    view, now_ns = call.state.view, call.now_ns
    asked = view.grant(subject) if kind == "grant" else view.hold(subject)
    if asked is None or not may_see(call.person, asked.request):
        raise Refusal(NOT_FOUND, f"you have no {kind} of this id to see")
    state = asked.state(now_ns)
    if state not in ("pending", "active", "approved"):
        raise Refusal(TOO_LATE, f"it is {state} already: there is nothing to revoke")
    return asked.request.requester


def _reason(text: str) -> str:
    reason = check_text(text, "reason")
    if not reason:
        raise Refusal(UNACCEPTABLE, "say why: whoever is cut off reads it")
    return reason


def _until_ns(call: ApiCall, duration: str) -> int:
    if not duration:
        return 0
    seconds = parse_duration_s(duration)
    if not seconds:
        raise Refusal(UNACCEPTABLE, "a duration is written 90s, 30m or 24h")
    return call.now_ns + int(seconds * 1e9)
