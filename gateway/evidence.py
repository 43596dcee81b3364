"""Facts about a call -> the Intent that records them. Pure.

Credentials are removed here and nowhere else: Authorization, cookies, and the WebSocket subprotocol
entry that can carry a bearer token.
"""

from typing import Final

from gateway.policy.masking.masker import Masker, masker_for
from gateway.policy.model import Verdict
from gateway.principal import Principal
from gateway.server.request import ConnectionFacts
from protocol.apicall import Call
from protocol.events import Headers, RequestHead
from protocol.query import redact_target
from storage.records import CallRecord, Intent, PrincipalRecord, VerdictRecord

NO_MASKS: Final = masker_for(())
CREDENTIAL_HEADERS: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"x-auth-token"})
BEARER_SUBPROTOCOL: Final = b"base64url.bearer.authorization.k8s.io."
REMOVED: Final = b"(removed)"


def build_intent(
    head: RequestHead,
    facts: ConnectionFacts,
    *,
    exchange: bytes,
    at_ns: int,
    verdict: Verdict,
    durability: int,
    session: str = "",
    principal: Principal | None = None,
    call: Call | None = None,
    upstream_target: bytes = b"",
    upstream_headers: Headers = (),
    upstream_identity: str = "",
    masker: Masker = NO_MASKS,
) -> Intent:
    """The Intent of one exchange; principal and call are None when the request did not get that far.

    masker: what the verdict hides is hidden in targets, headers and command lines too.
    """
    return Intent(
        exchange=exchange,
        at_ns=at_ns,
        session=session,
        connection=facts.connection_id,
        source=facts.source,
        http_version=head.http_version.decode("ascii"),
        method=head.method.decode("ascii", "backslashreplace"),
        target=masker.target(redact_target(head.target)),
        headers=masker.headers(without_credentials(head.headers)),
        principal=principal_record(principal) if principal else None,
        call=call_record(call, masker) if call else None,
        verdict=verdict_record(verdict),
        durability=durability,
        upstream_target=masker.target(redact_target(upstream_target)),
        upstream_headers=masker.headers(upstream_headers),
        upstream_identity=upstream_identity,
        user_agent=_text(head, b"user-agent"),
        kubectl_command=_text(head, b"kubectl-command"),
        kubectl_session=_text(head, b"kubectl-session"),
        tls=facts.tls_version,
    )


def without_credentials(headers: Headers) -> Headers:
    """The same headers, with every value that could prove an identity replaced."""
    return tuple((name, _clean(name, value)) for name, value in headers)


def principal_record(principal: Principal) -> PrincipalRecord:
    return PrincipalRecord(
        user=principal.user,
        groups=principal.groups,
        method=principal.method,
        credential_id=principal.credential_id,
        issuer=principal.issuer,
        subject=principal.subject,
        uid=principal.uid,
        extra=principal.extra,
        expires_ns=principal.expires_ns,
    )


def verdict_record(verdict: Verdict) -> VerdictRecord:
    return VerdictRecord(
        action=verdict.action.value,
        mode=verdict.mode.value,
        rules=verdict.rules,
        policy_sha256=verdict.policy_sha256,
        reason=verdict.reason,
        shadow=verdict.shadow,
        grants=verdict.grants,
        scope=verdict.scope.value,
    )


def call_record(call: Call, masker: Masker = NO_MASKS) -> CallRecord:
    return CallRecord(
        verb=call.verb,
        group=call.group,
        version=call.version,
        resource=call.resource,
        subresource=call.subresource,
        namespace=call.namespace,
        name=call.name,
        path=call.path,
        label_selector=call.label_selector,
        field_selector=call.field_selector,
        dry_run=call.dry_run,
        container=call.container,
        argv=tuple(masker.text(word) for word in call.argv),
        ports=call.ports,
    )


def _clean(name: bytes, value: bytes) -> bytes:
    if name in CREDENTIAL_HEADERS:
        return REMOVED
    if name == b"sec-websocket-protocol" and BEARER_SUBPROTOCOL in value:
        entries = (entry.strip() for entry in value.split(b","))
        return b", ".join(REMOVED if entry.startswith(BEARER_SUBPROTOCOL) else entry for entry in entries)
    return value


def _text(head: RequestHead, name: bytes) -> str:
    """The first value of a header as text; its bytes are in the record anyway."""
    for key, value in head.headers:
        if key == name:
            return value.decode("utf-8", "backslashreplace")
    return ""
