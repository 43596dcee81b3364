"""What is shown of the shared state: holds, grants, bundles, revocations as documents of the API. Pure.

Times are RFC 3339 in UTC, durations whole seconds; nothing counts down, so a document changes only when something
happened. Request texts were masked before they came into the state. They are still a stranger's words: whoever shows
them in a terminal or a page makes them harmless there.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from gateway.console.rights import Person, is_own
from gateway.policy.model import GrantTerms
from gateway.state.entries import GrantRequested, HoldRequested, Requester, Revoked
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import HoldState
from gateway.state.voting import check_vote

SHORT_ID: Final = slice(10, 18)
"""The first 8 characters of a ULID's random part: what people type."""


class Document(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base: what is absent is empty, zero or false."""


class RequesterDocument(Document, frozen=True):
    """Who asked. credentialId: names the credential without being one."""

    user: str
    groups: tuple[str, ...] = ()
    issuer: str = ""
    session: str = ""
    source: str = ""
    credential_id: str = ""


class ApproversDocument(Document, frozen=True):
    """Any of these people may decide; quorum: how many have to agree."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    quorum: int = 1


class VoteDocument(Document, frozen=True):
    user: str
    approve: bool = False
    at: str = ""
    note: str = ""


class CallDocument(Document, frozen=True):
    """The exact request that waits, masked. objects: how many it touches, as far as known."""

    method: str
    target: str
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    argv: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    objects: int = 0
    kubectl_command: str = ""
    body: str = ""
    diff: str = ""


class PastDocument(Document, frozen=True):
    """An earlier hold of the same requester."""

    id: str
    short_id: str
    state: str
    method: str
    target: str
    requested_at: str


class ApprovalDocument(Document, frozen=True):
    """A hold. state: pending, approved, denied, expired, used, closed. mayDecide: whether you may vote now.

    widestScope: what an approver may choose. coversUntil: until when further calls of the command may go ahead.
    """

    id: str
    short_id: str
    state: str
    requester: RequesterDocument
    call: CallDocument
    rules: tuple[str, ...]
    approvers: ApproversDocument
    requested_at: str
    expires_at: str
    digest: str
    widest_scope: str
    reason: str = ""
    exchange: str = ""
    votes: tuple[VoteDocument, ...] = ()
    uses: int = 0
    decided_by: str = ""
    decided_at: str = ""
    note: str = ""
    covers_until: str = ""
    may_decide: bool = False
    is_own: bool = False
    history: tuple[PastDocument, ...] = ()


class GrantDocument(Document, frozen=True):
    """A grant or the request for one. state: pending, active, ended, denied, revoked, expired."""

    id: str
    short_id: str
    state: str
    bundle: str
    requester: RequesterDocument
    approvers: ApproversDocument
    requested_at: str
    expires_at: str  # of the request
    duration_seconds: int
    reason: str = ""
    votes: tuple[VoteDocument, ...] = ()
    begins_at: str = ""
    ends_at: str = ""
    decided_by: str = ""
    note: str = ""
    may_decide: bool = False
    is_own: bool = False


class BundleDocument(Document, frozen=True):
    """What may be asked for. rules: their ids in the policy; lifts: hold rules that do not count for who has it."""

    bundle: str
    max_duration_seconds: int
    approvers: ApproversDocument
    rules: tuple[str, ...] = ()
    lifts: tuple[str, ...] = ()
    reason: str = ""


class RevocationDocument(Document, frozen=True):
    """kind: user, credential, session, grant or hold. until: absent for ever."""

    id: str
    kind: str
    subject: str
    by: str
    reason: str
    at: str
    until: str = ""


class WhoamiDocument(Document, frozen=True):
    """How the gateway knows you. session: the open one of this credential on the data port."""

    user: str
    groups: tuple[str, ...] = ()
    issuer: str = ""
    method: str = ""
    credential_id: str = ""
    session: str = ""
    is_admin: bool = False
    expires_at: str = ""


def show_time(at_ns: int) -> str:
    """UTC nanoseconds -> 2026-01-31T10:00:00.123Z; "" for 0, which is never."""
    if not at_ns:
        return ""
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}Z"


def show_hold(
    hold: HoldState, person: Person, now_ns: int, *, past: tuple[HoldState, ...] = ()
) -> ApprovalDocument:
    """past: earlier holds of the same requester that this person may see."""
    request = hold.request
    return ApprovalDocument(
        id=hold.id,
        short_id=hold.id[SHORT_ID],
        state=hold.state(now_ns),
        requester=_requester(request.requester),
        call=_call(request),
        rules=request.rules,
        approvers=_approvers(request),
        requested_at=show_time(request.at_ns),
        expires_at=show_time(request.expires_ns),
        digest=request.digest,
        widest_scope=request.scope if request.command else "request",
        reason=request.reason,
        exchange=request.exchange,
        votes=_votes(hold),
        uses=len(hold.uses),
        decided_by=hold.decided_by,
        decided_at=show_time(hold.decided_ns),
        note=hold.note,
        covers_until=show_time(hold.covers_until_ns),
        may_decide=not check_vote(hold, person.voter, now_ns),
        is_own=is_own(person, request.requester),
        history=tuple(_past(other, now_ns) for other in past),
    )


def show_grant(grant: GrantState, person: Person, now_ns: int) -> GrantDocument:
    request = grant.request
    return GrantDocument(
        id=grant.id,
        short_id=grant.id[SHORT_ID],
        state=grant.state(now_ns),
        bundle=request.bundle,
        requester=_requester(request.requester),
        approvers=_approvers(request),
        requested_at=show_time(request.at_ns),
        expires_at=show_time(request.expires_ns),
        duration_seconds=request.duration_s,
        reason=request.reason,
        votes=_votes(grant),
        begins_at=show_time(grant.begins_ns),
        ends_at=show_time(grant.ends_ns),
        decided_by=grant.decided_by,
        note=grant.note,
        may_decide=not check_vote(grant, person.voter, now_ns),
        is_own=is_own(person, request.requester),
    )


def show_bundle(terms: GrantTerms) -> BundleDocument:
    approvers = terms.approvers
    return BundleDocument(
        bundle=terms.bundle,
        max_duration_seconds=terms.max_duration_s,
        approvers=ApproversDocument(approvers.users, approvers.groups, approvers.quorum),
        rules=terms.rules,
        lifts=terms.lifts,
        reason=terms.reason,
    )


def show_revocation(revoked: Revoked) -> RevocationDocument:
    return RevocationDocument(
        id=revoked.id,
        kind=revoked.subject_kind,
        subject=revoked.subject,
        by=revoked.by,
        reason=revoked.reason,
        at=show_time(revoked.at_ns),
        until=show_time(revoked.until_ns),
    )


def show_person(person: Person) -> WhoamiDocument:
    principal = person.principal
    return WhoamiDocument(
        user=principal.user,
        groups=principal.groups,
        issuer=principal.issuer,
        method=principal.method,
        credential_id=principal.credential_id,
        session=person.session,
        is_admin=person.is_admin,
        expires_at=show_time(principal.expires_ns or 0),
    )


def _requester(requester: Requester) -> RequesterDocument:
    return RequesterDocument(
        user=requester.user,
        groups=requester.groups,
        issuer=requester.issuer,
        session=requester.session,
        source=requester.source,
        credential_id=requester.credential_id,
    )


def _call(request: HoldRequested) -> CallDocument:
    return CallDocument(
        method=request.method,
        target=request.target,
        verb=request.verb,
        resource=request.resource,
        namespace=request.namespace,
        name=request.name,
        argv=request.argv,
        ports=request.ports,
        objects=request.objects,
        kubectl_command=request.kubectl_command,
        body=request.body,
        diff=request.diff,
    )


def _approvers(request: HoldRequested | GrantRequested) -> ApproversDocument:
    return ApproversDocument(request.approver_users, request.approver_groups, request.quorum)


def _votes(asked: HoldState | GrantState) -> tuple[VoteDocument, ...]:
    return tuple(
        VoteDocument(vote.by.user, vote.approve, show_time(vote.at_ns), vote.note) for vote in asked.votes
    )


def _past(hold: HoldState, now_ns: int) -> PastDocument:
    request = hold.request
    return PastDocument(
        id=hold.id,
        short_id=hold.id[SHORT_ID],
        state=hold.state(now_ns),
        method=request.method,
        target=request.target,
        requested_at=show_time(request.at_ns),
    )
