"""Facts about a call -> the Intent that records them. Pure.

Credentials were removed from headers before (`request_headers`); here they are removed from targets.
"""

from operator import attrgetter
from typing import Final

import msgspec

from gateway.policy.masking.masker import Masker, masker_for
from gateway.policy.model import Verdict
from gateway.principal import Principal
from gateway.request_headers import ReadHeaders, read_headers
from gateway.server.request import ConnectionFacts
from protocol.apicall import Call
from protocol.events import Headers, RequestHead
from protocol.query import redact_target
from storage.records import CallRecord, Intent, PrincipalRecord, VerdictRecord

NO_MASKS: Final = masker_for(())

_of_principal: Final = attrgetter(*PrincipalRecord.__struct_fields__)
_of_call: Final = attrgetter(*CallRecord.__struct_fields__)
"""All that goes into the record has its namesake there; taken in one go, for every call comes here."""


def build_intent(
    head: RequestHead,
    facts: ConnectionFacts,
    *,
    exchange: bytes,
    at_ns: int,
    verdict: Verdict,
    durability: int,
    headers: ReadHeaders | None = None,
    session: str = "",
    principal: Principal | None = None,
    call: Call | None = None,
    upstream_target: bytes = b"",
    upstream_headers: Headers = (),
    upstream_identity: str = "",
    masker: Masker = NO_MASKS,
) -> Intent:
    """The Intent of one exchange; principal and call are None when the request did not get that far.

    headers: of the request, read; None: not yet.
    masker: what the verdict hides is hidden in targets, headers and command lines too.
    """
    read = headers or read_headers(head.headers)
    target, recorded = redact_target(head.target), read.recorded
    upstream_target = redact_target(upstream_target)
    if masker is not NO_MASKS:
        target, recorded = masker.target(target), masker.headers(recorded)
        upstream_target, upstream_headers = masker.target(upstream_target), masker.headers(upstream_headers)
    return Intent(
        exchange=exchange,
        at_ns=at_ns,
        session=session,
        connection=facts.connection_id,
        source=facts.source,
        http_version=head.http_version.decode("ascii"),
        method=head.method.decode("ascii", "backslashreplace"),
        target=target,
        headers=recorded,
        principal=principal_record(principal) if principal else None,
        call=call_record(call, masker) if call else None,
        verdict=verdict_record(verdict),
        durability=durability,
        upstream_target=upstream_target,
        upstream_headers=upstream_headers,
        upstream_identity=upstream_identity,
        user_agent=read.user_agent,
        kubectl_command=read.kubectl_command,
        kubectl_session=read.kubectl_session,
        tls=facts.tls_version,
    )


def principal_record(principal: Principal) -> PrincipalRecord:
    return PrincipalRecord(*_of_principal(principal))


def verdict_record(verdict: Verdict) -> VerdictRecord:
    return VerdictRecord(
        action=verdict.action._value_,  # `value` is a Python call, and this is on the way of every one
        mode=verdict.mode._value_,
        rules=verdict.rules,
        policy_sha256=verdict.policy_sha256,
        reason=verdict.reason,
        shadow=verdict.shadow,
        grants=verdict.grants,
        scope=verdict.scope._value_,
    )


def call_record(call: Call, masker: Masker = NO_MASKS) -> CallRecord:
    record = CallRecord(*_of_call(call))
    if not record.argv or masker is NO_MASKS:
        return record
    return msgspec.structs.replace(record, argv=tuple(map(masker.text, record.argv)))
