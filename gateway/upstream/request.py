"""The request that goes upstream, built from the parsed call. Pure.

Client bytes are never forwarded: the target is re-encoded from the Call and headers pass an allow-list.
Connection-listed headers are dropped by the HTTP machines before this sees them, and identity headers are
added here, last, from the verified Principal: nothing a client lists in `Connection` can remove them.
"""

import re
import struct
from binascii import hexlify
from enum import Enum
from typing import Final

from gateway.errors import BAD_REQUEST, UNSUPPORTED_MEDIA, Refusal
from gateway.principal import Principal
from protocol.events import Headers


class IdentityMode(Enum):
    """Whom the API server sees. SHARED: our one credential. IMPERSONATE: the person, set by us."""

    SHARED = "shared"
    IMPERSONATE = "impersonate"


FORWARDED: Final = frozenset(
    {
        b"accept",
        b"content-type",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
        b"kubectl-command",
        b"kubectl-session",
        b"traceparent",
        b"tracestate",
        b"user-agent",
    }
)
"""End-to-end headers the Kubernetes API gives a meaning to, and nothing else."""

FORWARDED_TO_PROXIED: Final = FORWARDED | {
    b"accept-language",
    b"cache-control",
    b"content-disposition",
    b"content-language",
    b"origin",
    b"pragma",
    b"range",
    b"referer",
    b"x-requested-with",
}
"""Behind `.../proxy/` speaks an application of the user's own; identity and routing headers still do not pass."""

_UUID_PARTS: Final = struct.Struct("4s2s2s2s6s")
_PLAIN_EXTRA_KEY: Final = re.compile(rb"[a-z0-9!#$&'*+.^_`|~-]")


def refuse_client_identity(headers: Headers) -> None:
    """Raise Refusal when the client tries to choose whom the API server sees, or hides its body."""
    for name, _ in headers:
        if name.startswith((b"impersonate-", b"impersonate_")):
            raise Refusal(
                BAD_REQUEST,
                "impersonation headers are not accepted: kubetape sets the identity itself (drop --as and --as-group)",
            )
        if name == b"content-encoding":
            raise Refusal(
                UNSUPPORTED_MEDIA, "compressed request bodies are not accepted: send the body as it is"
            )


def forwarded(headers: Headers, *, proxied: bool) -> Headers:
    """What of a client's headers goes upstream. proxied: to what lies behind `proxy`."""
    allowed = FORWARDED_TO_PROXIED if proxied else FORWARDED
    kept = [pair for pair in headers if pair[0] in allowed]
    # Compressed answers could be neither searched nor masked; the network to the API server is near.
    kept.append((b"accept-encoding", b"identity"))
    return tuple(kept)


def upstream_headers(
    kept: Headers, principal: Principal, *, exchange: bytes, mode: IdentityMode, source_address: str
) -> Headers:
    """Every header of the upstream request except Host, framing and Authorization.

    kept: the client's, see `forwarded`. exchange: 16 bytes; becomes Audit-ID, so that the cluster's audit log joins
    our record one to one.
    """
    ours: Headers = (
        (b"audit-id", encode_audit_id(exchange)),
        (b"x-forwarded-for", source_address.encode()),
    )
    if mode is IdentityMode.IMPERSONATE:
        ours += impersonation_headers(principal)
    return kept + ours


def encode_audit_id(exchange: bytes) -> bytes:
    """16 bytes as RFC 9562 spells a UUID."""
    return b"-".join(map(hexlify, _UUID_PARTS.unpack(exchange)))


def impersonation_headers(principal: Principal) -> Headers:
    """Impersonate-* for one principal: user, uid, one line per group and per extra value."""
    headers = [(b"impersonate-user", principal.user.encode())]
    headers.extend((b"impersonate-group", group.encode()) for group in principal.groups)
    if principal.uid:
        headers.append((b"impersonate-uid", principal.uid.encode()))
    for key, values in principal.extra:
        name = b"impersonate-extra-" + encode_extra_key(key)
        headers.extend((name, value.encode()) for value in values)
    return tuple(headers)


def encode_extra_key(key: str) -> bytes:
    """An extra key as part of a header name: all but legal name characters (and `%`) percent-encoded."""
    return b"".join(
        bytes((byte,)) if _PLAIN_EXTRA_KEY.match(bytes((byte,))) else b"%%%02x" % byte
        for byte in key.lower().encode()
    )
