"""From the shared state to the documents of the API: what this person is shown of holds, grants, revocations. Pure.

Nothing here decides whether somebody may see something (`rights`, `finding`); it is asked afterwards.
"""

from gateway.console.documents import (
    SHORT_ID,
    ApprovalDocument,
    ApproversDocument,
    BundleDocument,
    CallDocument,
    GrantDocument,
    PastDocument,
    RequesterDocument,
    RevocationDocument,
    VoteDocument,
    WhoamiDocument,
    show_time,
)
from gateway.console.rights import Person, is_own
from gateway.policy.model import GrantTerms
from gateway.state.entries import GrantRequested, HoldRequested, Requester, Revoked
from gateway.state.grant_state import GrantState
from gateway.state.hold_state import HoldState
from gateway.state.voting import check_vote


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
