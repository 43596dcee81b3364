"""Token bytes -> header and payload, before any JWT library sees them. Pure, and stricter than all of them.

Decides only whether the bytes are one unambiguous JWS in compact form with an acceptable header; it
verifies no signature and believes no claim. The trap: JSON and base64 decoders repair what they read
(the last of two equal members wins, `1e999` becomes infinity, unused bits and padding are ignored), so
two readers of one token could see two people. Whatever could be read in two ways is refused here.
Source: RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best current practices), RFC 8259 (JSON).
"""

import base64
import json
import math
import re
from dataclasses import dataclass
from typing import Final

from gateway.identity.errors import Unauthenticated
from gateway.identity.settings import ALGORITHMS

MAX_TOKEN_BYTES: Final = 16 * 1024
"""Real tokens with many groups reach 8 KiB; clients and proxies in between stop at 16."""
MAX_DEPTH: Final = 8
"""Levels of nesting in header or payload; Keycloak's resource_access needs 4."""
MAX_KEY_ID_BYTES: Final = 256

SIGNATURE_BYTES: Final = {"ES256": 64, "ES384": 96, "ES512": 132, "EdDSA": 64}
"""Exact length of r || s (RFC 7518 section 3.4) and of an Ed25519 signature. RSA: that of its modulus."""

_ALPHABET: Final = re.compile(rb"[A-Za-z0-9_-]+")
# Headers that change what the signature covers or how the payload is read: JWE, RFC 7797, RFC 7515 4.1.11.
_REFUSED_HEADERS: Final = ("crit", "b64", "enc", "zip")


@dataclass(frozen=True, slots=True)
class DecodedToken:
    """One token, read but not believed: nothing in it is true before the signature is verified."""

    token: bytes
    signed: bytes  # the part of it that the signature covers: header and payload
    header: dict[str, object]
    payload: dict[str, object]
    algorithm: str  # one of ALGORITHMS
    key_id: str | None  # 1 to MAX_KEY_ID_BYTES bytes; a name to look up, nothing else
    token_type: str  # "typ", lower case, without "application/"; "" if absent


def predecode(token: bytes) -> DecodedToken:
    """Read a compact JWS. Raises Unauthenticated, whose text never holds a byte of the token."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    parts = token.split(b".")
    if len(parts) != 3:
        raise Unauthenticated("the token is not a signed JWT", detail=f"{len(parts)} parts instead of 3")
    raw_header, raw_payload, signature = (
        decode_base64url(part, what)
        for part, what in zip(parts, ("header", "payload", "signature"), strict=True)
    )
    header = _decode_object(raw_header, "header")
    algorithm = _check_header(header)
    if len(signature) != SIGNATURE_BYTES.get(algorithm, len(signature)):
        raise Unauthenticated("the token's signature has the wrong length")
    payload = _decode_object(raw_payload, "payload")
    signed = token.rpartition(b".")[0]
    return DecodedToken(token, signed, header, payload, algorithm, _key_id(header), _token_type(header))


def decode_base64url(text: bytes, what: str) -> bytes:
    """The bytes of one part: URL-safe alphabet, no padding, unused bits zero. Raises Unauthenticated."""
    if not _ALPHABET.fullmatch(text) or len(text) % 4 == 1:
        raise Unauthenticated(f"the token's {what} is not base64url")
    decoded = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    # RFC 4648 section 3.5: other values of the unused bits would be a second spelling of the same bytes.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != text:
        raise Unauthenticated(f"the token's {what} is not canonical base64url")
    return decoded


def parse_strict_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """One JSON value that every reader reads alike. Raises ValueError, without quoting the input.

    UTF-8 without a byte order mark; no member twice; integers within 64 bits; finite numbers; no
    lone surrogates; at most `max_depth` levels. The caller bounds the size.
    """
    try:
        value = _DECODER.decode(data.decode("utf-8", "strict"))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {max_depth}") from None
    _check_shape(value, max_depth)
    return value


def _decode_object(data: bytes, what: str) -> dict[str, object]:
    try:
        value = parse_strict_json(data)
    except ValueError as error:
        raise Unauthenticated(f"the token's {what} is not acceptable JSON", detail=str(error)) from None
    if not isinstance(value, dict):
        raise Unauthenticated(f"the token's {what} is not a JSON object")
    return value


def _check_header(header: dict[str, object]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated("the token's signature algorithm is not accepted")
    for name in _REFUSED_HEADERS:
        if name in header:
            raise Unauthenticated(f'the token\'s header has "{name}", which is not supported')
    return algorithm


def _key_id(header: dict[str, object]) -> str | None:
    if "kid" not in header:
        return None
    key_id = header["kid"]
    if not isinstance(key_id, str) or not 0 < len(key_id.encode()) <= MAX_KEY_ID_BYTES:
        raise Unauthenticated(f"the token's key id is not a string of 1 to {MAX_KEY_ID_BYTES} bytes")
    return key_id


def _token_type(header: dict[str, object]) -> str:
    if "typ" not in header:
        return ""
    kind = header["typ"]
    # RFC 7515 section 4.1.9: a media type, compared without case, "application/" may be left out.
    if not isinstance(kind, str) or not kind:
        raise Unauthenticated("the token's type is not a string")
    return kind.lower().removeprefix("application/")


# --- strict JSON -------------------------------------------------------------------------------------


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same member twice")
    return members


def _integer(text: str) -> int:
    # 20 characters hold every 64-bit number; longer ones are refused before int() works on them.
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError("an integer does not fit 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
)


def _check_shape(value: object, max_depth: int) -> None:
    pending: list[tuple[object, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, dict | list):
            if depth > max_depth:
                raise ValueError(f"nested deeper than {max_depth}")
            if isinstance(item, dict):
                pending.extend((name, depth + 1) for name in item)
                pending.extend((member, depth + 1) for member in item.values())
            else:
                pending.extend((member, depth + 1) for member in item)


def _check_text(text: str) -> None:
    # "\ud800" alone is accepted by JSON parsers but is no character: it cannot be encoded again.
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a string holds half a surrogate pair")
