"""What happens before anything goes upstream: identify, understand, decide, record.

A call that is not admitted is recorded with as much as was understood of it, then refused.
"""

import os
from typing import Final

import msgspec

from gateway.denial import deny
from gateway.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    IDENTITY_UNAVAILABLE,
    MISDIRECTED,
    NOT_RECORDED,
    UNAUTHORIZED,
    Refusal,
    refusal_for,
)
from gateway.evidence import build_intent, principal_record
from gateway.identity.authenticate import Unauthenticated
from gateway.judgement import Asked, Judgement, judge
from gateway.live import LiveExchange
from gateway.policy.budget import counts_in_answer
from gateway.policy.masking.accept import ask_plainly
from gateway.policy.masking.masker import Masker
from gateway.policy.model import Action, Approvers, HoldTerms, Verdict
from gateway.principal import Principal
from gateway.request_headers import ReadHeaders
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.upstream.request import upstream_headers
from protocol.apicall import Call
from protocol.errors import RefusedTarget
from protocol.events import RequestHead
from protocol.status import forbidden_message, unauthorized_message
from protocol.upgrade import UpgradeRequest, parse_upgrade, upstream_upgrade_headers
from storage.files import Headroom
from storage.records import Intent, SessionOpened

NO_TERMS: Final = HoldTerms("", Approvers())
MAX_PORTS: Final = 40
"""Ports of one legacy WebSocket port-forward: two channels each, and its base64 form has names for 80."""


class Admitted(msgspec.Struct, frozen=True):
    """A call that may go ahead, or wait for people: the one object that record, upstream request and tunnel are
    made from.

    upstream: without the credential, which is in no record. websocket_key: of our handshake upstream, if there is one.
    verdict: that of the judgement.
    """

    principal: Principal
    session: str
    call: Call
    upgrade: UpgradeRequest | None
    upstream: RequestHead
    websocket_key: bytes
    judgement: Judgement
    verdict: Verdict

    @property
    def terms(self) -> HoldTerms:
        """Who decides, where the verdict is a hold."""
        return self.verdict.hold or NO_TERMS

    def with_call(self, call: Call) -> "Admitted":
        """The same, about another call: a line typed in its session, say."""
        return msgspec.structs.replace(self, call=call)


class _Understood(msgspec.Struct):
    """How far understanding a request got. verdict, masker: None until it is judged."""

    headers: ReadHeaders
    verdict: Verdict | None = None
    masker: Masker | None = None
    call: Call | None = None
    principal: Principal | None = None
    session: str = ""


async def admit(request: ClientRequest, tape: Tape, services: Services, live: LiveExchange) -> Admitted:
    """Admit one call and append its Intent. Raises Refusal, with the Intent appended too.

    Only when the disk is all but full a refusal leaves no trace: what is left is for the calls that run.
    """
    _check_disk(services)
    so_far = _Understood(services.known_headers.read(request.head.headers))
    try:
        admitted = await _understand(request, tape, services, live, so_far)
    except Exception as error:
        tape.intent(_intent(request, tape, services, so_far))
        raise refusal_for(error) from error
    verdict = admitted.verdict
    tape.scope = verdict.scope
    tape.intent(_intent(request, tape, services, so_far, None if verdict.action is Action.DENY else admitted))
    services.counts.decided(verdict)
    if verdict.action is Action.DENY:
        raise deny(verdict, admitted.call, admitted.principal, tape.exchange)
    return admitted


def _intent(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    so_far: _Understood,
    admitted: Admitted | None = None,
) -> Intent:
    """admitted: if it goes upstream."""
    upstream = admitted.upstream if admitted is not None else None
    return build_intent(
        request.head,
        request.facts,
        exchange=tape.exchange,
        at_ns=tape.started_ns,
        verdict=so_far.verdict or services.policy.unjudged,
        durability=admitted.call.durability_class if admitted is not None else 1,
        headers=so_far.headers,
        session=so_far.session,
        principal=so_far.principal,
        call=so_far.call,
        upstream_target=upstream.target if upstream else b"",
        upstream_headers=upstream.headers if upstream else (),
        upstream_identity=services.identity_mode._value_ if upstream else "",
        masker=services.policy.cautious_masker if so_far.masker is None else so_far.masker,
    )


async def _understand(
    request: ClientRequest, tape: Tape, services: Services, live: LiveExchange, so_far: _Understood
) -> Admitted:
    head = request.head
    _check_host(head, services)
    refused: RefusedTarget | None = None
    try:
        so_far.call = services.known_calls.read(head.method, head.target)
    except RefusedTarget as error:
        refused = error  # answered once we know whose it is: who asks for such targets is worth knowing
    kind = so_far.call.stream_kind if so_far.call else ""
    upgrade = parse_upgrade(head, kind) if head.upgrade else None
    principal = so_far.principal = await _identify(request, services, upgrade)
    tape.mark("authenticated_us")
    session, begins = services.sessions.session_for(principal, now_ns=tape.started_ns)
    if begins:
        session = await _begin_session(request, tape, services, principal, session, so_far.headers.user_agent)
    so_far.session = session
    services.revocations.enter(live, principal, session)
    if refused is not None or so_far.call is None:
        raise refused or AssertionError("a target is either read or refused")
    call = so_far.call
    if principal.method == "certificate":
        _check_origin(head, services)
    if so_far.headers.refused is not None:
        raise Refusal(*so_far.headers.refused)
    if upgrade is not None or call.ports:
        _check_carried(call, upgrade)
    key = os.urandom(16) if upgrade is not None else b""
    upstream = _upstream_head(request, tape, services, so_far.headers, principal, call, upgrade, key)
    judgement = await judge(Asked(request, principal, session, call, upstream), tape, services)
    so_far.verdict, so_far.masker = judgement.verdict, judgement.masker
    tape.mark("decided_us")
    if judgement.verdict.grants:
        used = set(judgement.verdict.grants)
        services.revocations.rests_on(live, (grant for grant in judgement.facts.grants if grant.id in used))
    if judgement.verdict.masks or judgement.verdict.budgets:
        upstream = _readable(upstream, call, judgement)
    return Admitted(principal, session, call, upgrade, upstream, key, judgement, judgement.verdict)


def _readable(upstream: RequestHead, call: Call, judgement: Judgement) -> RequestHead:
    """Asked so that the answer comes as JSON, where it is masked or counted."""
    headers = judgement.masker.request_headers(upstream.headers, call)
    if judgement.verdict.budgets and (counts_in_answer(call) or call.is_secret_read):
        headers = ask_plainly(headers, call)
    return upstream if headers is upstream.headers else msgspec.structs.replace(upstream, headers=headers)


def _check_host(head: RequestHead, services: Services) -> None:
    if not services.host_names.accept(head.authority):
        raise Refusal(
            MISDIRECTED,
            "this gateway does not answer for that host; its operator can add it: --tls-name NAME",
        )


def _check_origin(head: RequestHead, services: Services) -> None:
    """A browser adds a client certificate to whatever any page asks, WebSockets included: pages of other origins
    get nothing. A token is in no browser's keeping. Some client libraries send Origin too: our own name."""
    for name, value in head.headers:
        if name == b"origin" and not services.host_names.accept_origin(value):
            raise Refusal(FORBIDDEN, "a page of another origin may not use a client certificate here")


def _check_disk(services: Services) -> None:
    """Stop taking calls while there is still room to write the end of those that run."""
    headroom = services.recorder.headroom()
    if headroom is Headroom.CRITICAL:
        raise Refusal(NOT_RECORDED, "kubetape refuses new calls: its disk is full (see readyz)")


async def _identify(request: ClientRequest, services: Services, upgrade: UpgradeRequest | None) -> Principal:
    authenticator = services.authenticator
    subprotocol_token = upgrade.bearer_token if upgrade else None
    if subprotocol_token is None and request.facts.peer_certificate_der is None:
        known = authenticator.cached(request.head)
        if known is not None:
            return known
    try:
        return await authenticator.authenticate(
            request.head,
            peer_certificate_der=request.facts.peer_certificate_der,
            subprotocol_token=subprotocol_token,
        )
    except Unauthenticated as error:
        if error.unavailable:
            raise Refusal(IDENTITY_UNAVAILABLE, error.reason) from error
        raise Refusal(UNAUTHORIZED, unauthorized_message(error.reason)) from error


async def _begin_session(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    principal: Principal,
    session: str,
    user_agent: str,
) -> str:
    """The session that begins with this call, recorded. session: "" where other workers have to be asked."""
    begins = True
    if not session:
        session, begins = await services.sessions.agree(principal)
    if begins:
        who = principal_record(principal)
        tape.append(SessionOpened(session, tape.started_ns, who, request.facts.source, user_agent))
    return session


def _check_carried(call: Call, upgrade: UpgradeRequest | None) -> None:
    """What no policy can allow, because we could not record it."""
    if len(call.ports) > MAX_PORTS:
        raise Refusal(BAD_REQUEST, f"at most {MAX_PORTS} ports can be forwarded in one request")
    if upgrade is not None and not call.stream_kind:
        # Behind a proxied service anything may follow a 101; what we cannot decode we do not carry.
        resource = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
        why = "kubetape carries upgrades for exec, attach and port-forward only"
        raise Refusal(
            FORBIDDEN,
            forbidden_message(why, resource=resource or call.path, group=call.group, name=call.name),
        )


def _upstream_head(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    read: ReadHeaders,
    principal: Principal,
    call: Call,
    upgrade: UpgradeRequest | None,
    websocket_key: bytes,
) -> RequestHead:
    cluster, head = services.pool.cluster, request.head
    is_proxied = call.subresource == "proxy"
    headers = upstream_headers(
        read.forwarded_to_proxied if is_proxied else read.forwarded,
        principal,
        exchange=tape.exchange,
        mode=services.identity_mode,
        source_address=request.facts.source_address,
    )
    if upgrade is not None:
        headers += upstream_upgrade_headers(upgrade, websocket_key)
    return RequestHead(
        method=head.method,
        target=cluster.path_prefix + call.target,
        authority=cluster.authority,
        headers=headers,
        content_length=head.content_length,
        upgrade=head.upgrade,
    )
