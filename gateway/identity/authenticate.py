"""The door: exactly one credential -> Principal. Conduct.

A request proves itself with an Authorization header, a WebSocket bearer subprotocol or a client
certificate. None, or more than one, is turned away: where two could disagree, whoever chooses between
them can be made to choose wrongly. Who is let in is remembered by the hash of the credential, until it
ends; a request with a known token costs one SHA-256. Headers that claim an identity (X-Remote-User and
its kind) are not read here nor anywhere else.

The trap: a remembered verdict must die with what it rested on. It ends at the token's own end, when the
issuer withdraws a key, and when `forget` says so; static tokens are not remembered at all.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from gateway.identity.certificates import principal_from_certificate
from gateway.identity.claims import principal_from_claims
from gateway.identity.errors import Unauthenticated
from gateway.identity.keys import IssuerKeys
from gateway.identity.predecode import MAX_TOKEN_BYTES, predecode
from gateway.identity.settings import CertificateRules
from gateway.identity.tokens import StaticTokens
from gateway.identity.verify import verify_signature
from gateway.principal import Principal
from protocol.events import RequestHead

__all__ = ["Authenticator", "Unauthenticated"]

MAX_REMEMBERED: Final = 10_000
"""Verified credentials kept; the longest unused one is forgotten first and pays one verification again."""
TOKEN_FILE_INTERVAL_S: Final = 1.0

# RFC 9110 section 11.1: the scheme has no case. Then one space, then RFC 6750's b64token, which holds
# every JWT; anything wider would let two readers disagree about where the token ends.
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] ([A-Za-z0-9._~+/-]+=*)")
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True)
class _Remembered:
    principal: Principal
    expires_ns: int
    keys: IssuerKeys | None  # what the verdict rests on, and its generation then
    generation: int


class Authenticator:
    """Knows every way in. One per worker; `run` in the worker's nursery."""

    def __init__(
        self,
        *,
        issuers: Sequence[IssuerKeys] = (),
        tokens: StaticTokens | None = None,
        certificates: CertificateRules | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """clock: UTC nanoseconds."""
        self._issuers = {keys.settings.url: keys for keys in issuers}
        self._tokens = tokens
        self._certificates = certificates
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()  # by SHA-256 of the credential

    def cached(self, head: RequestHead) -> Principal | None:
        """Who sends this request, if that is known without verifying anything; else None: `authenticate`.

        Only for a request whose connection has no client certificate and that has no bearer subprotocol.
        """
        fields = dict(head.headers)
        if len(fields) < len(head.headers):
            return None  # one comes twice, perhaps this one
        header = fields.get(b"authorization")
        match = _BEARER.fullmatch(header) if header is not None else None
        return self._recall(hashlib.sha256(match[1]).digest()) if match else None

    async def authenticate(
        self, head: RequestHead, *, peer_certificate_der: bytes | None, subprotocol_token: bytes | None
    ) -> Principal:
        """Who sends this request. Raises Unauthenticated. Waits only for an issuer's keys, about 10 s at most.

        peer_certificate_der: verified by the TLS layer; ignored when no client CA is configured.
        subprotocol_token: the decoded bearer token of Sec-WebSocket-Protocol.
        """
        certificate = peer_certificate_der if self._certificates else None
        header = _authorization(head)
        given = [
            credential for credential in (header, subprotocol_token, certificate) if credential is not None
        ]
        if len(given) > 1:
            raise Unauthenticated("more than one credential was sent; send exactly one")
        if not given:
            raise Unauthenticated("no credential was sent")
        if certificate is not None and self._certificates is not None:
            return self._from_certificate(certificate, self._certificates)
        if header is not None:
            return await self._from_token(_bearer_token(header))
        if not _TOKEN.fullmatch(given[0]):
            raise Unauthenticated("the bearer subprotocol does not hold a token")
        return await self._from_token(given[0])

    def forget(self, credential_id: str) -> None:
        """Verify this credential again when it comes next; whether it is revoked is not known here."""
        gone = [
            digest
            for digest, known in self._remembered.items()
            if known.principal.credential_id == credential_id
        ]
        for digest in gone:
            del self._remembered[digest]

    def problem(self) -> str:
        """Why somebody may be turned away for no fault of theirs; "" when all keys are at hand."""
        waiting = [url for url, keys in self._issuers.items() if not keys.ready]
        return f"no keys of {', '.join(waiting)} yet" if waiting else ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep keys and static tokens fresh, forever. Does not wait for any issuer to start."""
        async with trio.open_nursery() as nursery:
            for keys in self._issuers.values():
                await nursery.start(keys.run)
            task_status.started()
            while True:
                await trio.sleep(TOKEN_FILE_INTERVAL_S)
                if self._tokens is not None:
                    self._tokens.refresh()

    async def _from_token(self, token: bytes) -> Principal:
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        digest = hashlib.sha256(token).digest()
        known = self._recall(digest)
        if known is None and self._tokens is not None:
            self._tokens.refresh()  # a token given out a moment ago counts at once
            known = self._tokens.find(digest)
        if known is not None:
            return known
        if not self._issuers:
            raise Unauthenticated("the token is not known")
        return await self._from_jwt(token, digest)

    async def _from_jwt(self, token: bytes, digest: bytes) -> Principal:
        decoded = predecode(token)
        issuer = decoded.payload.get("iss")
        keys = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if keys is None:
            raise Unauthenticated("the token is from an issuer that is not configured")
        if decoded.algorithm not in keys.settings.algorithms:
            raise Unauthenticated("the token's signature algorithm is not accepted")
        key = await keys.key_for(decoded.key_id, decoded.algorithm)
        generation = keys.generation  # nothing awaits between the key and here
        verify_signature(decoded, key)
        # Of what is signed, not of the signature: for ECDSA a holder can make a second valid signature
        # (r, n - s), and must not thereby get a second credential that nobody has revoked.
        credential_id = _credential_id(b"bearer token", decoded.signed)
        principal = principal_from_claims(
            decoded, keys.settings, now_ns=self._clock(), credential_id=credential_id
        )
        self._remember(digest, principal, keys, generation)
        return principal

    def _from_certificate(self, der: bytes, rules: CertificateRules) -> Principal:
        digest = hashlib.sha256(der).digest()
        known = self._recall(digest)
        if known is None:
            known = principal_from_certificate(
                der, rules, now_ns=self._clock(), credential_id=_credential_id(b"client certificate", der)
            )
            self._remember(digest, known, None, 0)
        return known

    def _recall(self, digest: bytes) -> Principal | None:
        known = self._remembered.get(digest)
        if known is None:
            return self._tokens.find(digest) if self._tokens is not None else None
        if known.expires_ns <= self._clock() or (
            known.keys is not None and known.keys.generation != known.generation
        ):
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return known.principal

    def _remember(
        self, digest: bytes, principal: Principal, keys: IssuerKeys | None, generation: int
    ) -> None:
        if principal.expires_ns is None:
            raise AssertionError("tokens of issuers and certificates always end")
        self._remembered[digest] = _Remembered(principal, principal.expires_ns, keys, generation)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def _authorization(head: RequestHead) -> bytes | None:
    values = [value for name, value in head.headers if name == b"authorization"]
    if len(values) > 1:
        raise Unauthenticated("more than one Authorization header was sent; send exactly one")
    return values[0] if values else None


def _bearer_token(header: bytes) -> bytes:
    match = _BEARER.fullmatch(header)
    if match is None:
        raise Unauthenticated("the Authorization header is not: Bearer, one space, a token")
    return match[1]


def _credential_id(kind: bytes, credential: bytes) -> str:
    # The kind keeps this apart from every other use of the same hash, so a record never holds a cache key.
    return hashlib.sha256(b"kubetape " + kind + b"\0" + credential).hexdigest()[:32]
