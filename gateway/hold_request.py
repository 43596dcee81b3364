"""What a person is shown who decides: the exact call, masked as in the record, and what a dry run says. Pure."""

import secrets
import time
from typing import Final

from gateway.admission import Admitted
from gateway.policy.model import HoldTerms
from gateway.preview import Preview
from gateway.sessions import make_session_id
from gateway.state.entries import HoldRequested, Requester
from protocol.status import make_visible

MAX_SHOWN_CHARACTERS: Final = 16 * 1024
"""Of a body and of a diff: what a person can read. The record has all of it."""


def hold_request(
    admitted: Admitted,
    terms: HoldTerms,
    body: bytes,
    shown: Preview,
    digest: str,
    command: str,
    exchange: bytes,
) -> HoldRequested:
    """The entry that asks. body: as it would go upstream; only its masked form is in the entry."""
    principal, call, masker = admitted.principal, admitted.call, admitted.judgement.masker
    now_ns = time.time_ns()
    content_type = dict(admitted.upstream.headers).get(b"content-type", b"")
    masked, _ = masker.request(call, content_type, body) if body else (b"", None)
    resource = f"{call.resource}.{call.group}" if call.group else call.resource
    return HoldRequested(
        at_ns=now_ns,
        id=make_session_id(now_ns, secrets.randbits(80)),
        expires_ns=now_ns + terms.wait_s * 1_000_000_000,
        requester=Requester(
            user=principal.user,
            groups=principal.groups,
            issuer=principal.issuer,
            credential_id=principal.credential_id,
            session=admitted.session,
            source=admitted.judgement.facts.source_address,
        ),
        digest=digest,
        rules=admitted.verdict.rules,
        approver_users=terms.approvers.users,
        approver_groups=terms.approvers.groups,
        quorum=terms.approvers.quorum,
        scope=terms.scope if command else "request",
        method=call.method,
        target=masker.target(call.target).decode("latin-1"),
        verb=call.verb,
        resource=f"{resource}/{call.subresource}" if call.subresource else resource,
        namespace=call.namespace,
        name=call.name,
        command=command,
        kubectl_command=_kubectl_command(admitted),
        argv=tuple(masker.text(word) for word in call.argv),
        ports=call.ports,
        body=masked.decode("utf-8", "replace")[:MAX_SHOWN_CHARACTERS],
        diff=shown.diff[:MAX_SHOWN_CHARACTERS],
        objects=shown.objects,
        reason=terms.reason,
        exchange=exchange.hex(),
    )


def _kubectl_command(admitted: Admitted) -> str:
    value = dict(admitted.upstream.headers).get(b"kubectl-command", b"")
    return make_visible(value.decode("utf-8", "replace"), 200)
