"""What an approval is bound to: the digest of one exact request, and the key of the command it belongs to. Pure.

The digest covers who asks, what, where, with which body and held by which rule, so that an approval is of no use for anything else. How
a stream is opened (GET over WebSocket, POST over SPDY) and how long the client will wait are no part of it: kubectl's
second attempt is the same request.

The trap: `Kubectl-Session` is chosen by the client. It only ever widens an approval to calls that the same
credential makes, that the same rule holds, and that do the same kind of thing.
"""

import hashlib
from typing import Final

from gateway.principal import Principal
from protocol.apicall import Call

_KINDS: Final = {
    "create": "write",
    "update": "write",
    "patch": "write",
    "delete": "delete",
    "deletecollection": "delete",
}
"""`kubectl apply` creates some objects and patches others; it is one thing a person approves."""
_WAITING: Final = frozenset(("timeout", "timeoutSeconds"))
"""Query parameters that say how long the client waits, and change from one attempt to the next."""


def requester_key(principal: Principal) -> str:
    """Tells people apart: user names are unique within one issuer only."""
    return f"{principal.issuer}\n{principal.user}"


def request_digest(principal: Principal, call: Call, content_type: bytes, body: bytes, rule: str) -> str:
    """64 hex digits. body: as it would go upstream; rule: on whose behalf people are asked."""
    method = "CONNECT" if call.is_connect else call.method
    query = sorted(pair for pair in call.query if pair[0] not in _WAITING)
    path = call.target.partition(b"?")[0]
    return _hash(
        requester_key(principal).encode(),
        method.encode(),
        path,
        *(f"{key}={value}".encode() for key, value in query),
        content_type.lower(),
        hashlib.sha256(body).digest(),
        rule.encode(),
    )


def command_key(principal: Principal, call: Call, kubectl_session: str, rule: str) -> str:
    """What the calls of one kubectl run share that one approval may cover; "" without a run to belong to."""
    if not kubectl_session or call.is_connect:
        return ""
    kind = _KINDS.get(call.verb, call.verb)
    return _hash(
        requester_key(principal).encode(),
        principal.credential_id.encode(),
        kubectl_session.encode(),
        rule.encode(),
        kind.encode(),
    )


def _hash(*parts: bytes) -> str:
    """Each part with its length, so that no two lists of parts are the same bytes."""
    digest = hashlib.sha256(b"kubetape request 1\n")
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
