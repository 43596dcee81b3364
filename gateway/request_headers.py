"""The headers of a request -> what record, checks and upstream request take from them. Pure.

Credentials are removed here and nowhere else: Authorization, cookies, and the WebSocket subprotocol entry that can
carry a bearer token. A client sends the same headers with every call, so they are read once and remembered, in the
form that goes into the record and only where nothing else in them may be a secret: whoever sends them is identified
anew each time. The trap: nothing may be remembered that depends on more than these bytes; who asks, and from where,
is added for each call (`upstream.request`).
"""

from typing import Final

import msgspec

from gateway.errors import Answer, Refusal
from gateway.upstream.request import FORWARDED, forwarded, refuse_client_identity
from protocol.events import Headers

CREDENTIAL_HEADERS: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"x-auth-token"})
BEARER_SUBPROTOCOL: Final = b"base64url.bearer.authorization.k8s.io."
REMOVED: Final = b"(removed)"

_MAY_HOLD_CREDENTIAL: Final = CREDENTIAL_HEADERS | {b"sec-websocket-protocol"}

_HARMLESS: Final = FORWARDED | CREDENTIAL_HEADERS | {b"accept-encoding", b"connection", b"content-length"}
"""What clients of the Kubernetes API send with every call. Whatever else somebody sends may be a secret of his."""

MAX_KNOWN: Final = 256
MAX_KNOWN_BYTES: Final = 4096
"""kubectl sends about 400 bytes of headers beside its credential. Together at most a few MiB."""


class ReadHeaders(msgspec.Struct, frozen=True):
    """One request's headers, read. recorded: as they stand in the record, without credentials."""

    recorded: Headers
    refused: tuple[Answer, str] | None  # what `refuse_client_identity` says of them
    forwarded: Headers  # goes upstream to the API server
    forwarded_to_proxied: Headers  # goes upstream to what lies behind `proxy`
    user_agent: str
    kubectl_command: str
    kubectl_session: str


class KnownHeaders:
    """The memory of one worker."""

    def __init__(self) -> None:
        self._known: dict[Headers, ReadHeaders] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, headers: Headers) -> ReadHeaders:
        """headers: as they came."""
        recorded = without_credentials(headers)
        known = self._known.get(recorded)
        if known is not None:
            return known
        read = _read(recorded)
        is_harmless = all(name in _HARMLESS for name, _ in recorded)
        if is_harmless and sum(len(name) + len(value) for name, value in recorded) <= MAX_KNOWN_BYTES:
            if len(self._known) >= MAX_KNOWN:
                del self._known[next(iter(self._known))]  # the oldest: it comes back if it is wanted
            self._known[recorded] = read
        return read


def read_headers(headers: Headers) -> ReadHeaders:
    """headers: as they came."""
    return _read(without_credentials(headers))


def without_credentials(headers: Headers) -> Headers:
    """The same headers, with every value that could prove an identity replaced."""
    cleaned: list[tuple[bytes, bytes]] = []
    for pair in headers:
        name = pair[0]
        cleaned.append((name, _clean(name, pair[1])) if name in _MAY_HOLD_CREDENTIAL else pair)
    return tuple(cleaned)


def _clean(name: bytes, value: bytes) -> bytes:
    if name in CREDENTIAL_HEADERS:
        return REMOVED
    if BEARER_SUBPROTOCOL in value:
        entries = (entry.strip() for entry in value.split(b","))
        return b", ".join(REMOVED if entry.startswith(BEARER_SUBPROTOCOL) else entry for entry in entries)
    return value


def _read(recorded: Headers) -> ReadHeaders:
    refused = None
    try:
        refuse_client_identity(recorded)
    except Refusal as refusal:
        refused = (refusal.answer, refusal.message)
    return ReadHeaders(
        recorded=recorded,
        refused=refused,
        forwarded=forwarded(recorded, proxied=False),
        forwarded_to_proxied=forwarded(recorded, proxied=True),
        user_agent=_text(recorded, b"user-agent"),
        kubectl_command=_text(recorded, b"kubectl-command"),
        kubectl_session=_text(recorded, b"kubectl-session"),
    )


def _text(headers: Headers, name: bytes) -> str:
    """The first value of a header as text; its bytes are in the record anyway."""
    for key, value in headers:
        if key == name:
            return value.decode("utf-8", "backslashreplace")
    return ""
