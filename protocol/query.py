"""The query of a request target, as Go's net/url reads and writes it, strict where Go is lenient.

Go silently drops a pair that contains ";" or a bad escape, and kube-apiserver takes the first of repeated
parameters; others keep such pairs, or take the last. What is read in two ways is refused here. Does not
know what a parameter means, except that a credential has no place in a query.
Source: Go net/url parseQuery and QueryEscape; k8s.io/apimachinery runtime Convert_Slice_string_To_bool.
"""

import re
from typing import Final, TypeAlias
from urllib.parse import quote_plus, unquote_to_bytes

from protocol.errors import RefusedTarget

Pairs: TypeAlias = list[tuple[str, str]]
"""(key, value) decoded, in the order of the query."""

MAX_QUERY_PAIRS: Final = 10_000
"""What Go 1.26 parses; of one pair more a server sees none at all."""

REPEATABLE: Final = frozenset(("command", "ports", "dryRun"))
"""Parameters of which the server reads all values; of any other it reads the first."""

BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")

_PLAIN: Final = re.compile(rb"[\w.~-]+=[\w.~-]*(?:&[\w.~-]+=[\w.~-]*)*")
"""A query without escapes that nobody writes in another way."""

_UNRESERVED: Final = re.compile(r"[A-Za-z0-9_.~-]*")

# Whatever some parser takes for the border of a pair; the group keeps the separators.
_SEPARATORS: Final = re.compile(rb"([&;?#])")


def parse_query(raw: bytes) -> Pairs:
    """Pairs in order, decoded as Go does where Go keeps them all."""
    if not raw:
        return []
    if raw.count(b"&") >= MAX_QUERY_PAIRS:
        raise RefusedTarget(f"the query has more than {MAX_QUERY_PAIRS} pairs")
    if b";" in raw:
        raise RefusedTarget("the query contains ';': encode it as %3B")
    if BAD_ESCAPE.search(raw):
        raise RefusedTarget("the query contains a malformed percent escape")
    try:
        if _PLAIN.fullmatch(raw):
            parts = [pair.partition("=") for pair in raw.decode("ascii").split("&")]
            pairs = [(key, value) for key, _, value in parts]
        else:
            pairs = [_decode_pair(pair) for pair in raw.split(b"&") if pair]
    except UnicodeDecodeError:
        raise RefusedTarget("the query is not UTF-8") from None
    if b"%00" in raw:
        raise RefusedTarget("the query contains a NUL")
    if "access_token" in dict(pairs):
        raise RefusedTarget("a credential in the query: send it in the Authorization header")
    return pairs


def parse_foreign_query(raw: bytes) -> Pairs:
    """The pairs of a backend's query as Go would see them, to look at: what goes upstream is the raw query."""
    if raw.count(b"&") >= MAX_QUERY_PAIRS:
        return []
    return [
        _decode_pair(pair, "backslashreplace")
        for pair in raw.split(b"&")
        if pair and b";" not in pair and not BAD_ESCAPE.search(pair)
    ]


def _decode_pair(pair: bytes, errors: str = "strict") -> tuple[str, str]:
    key, _, value = pair.partition(b"=")
    if b"%" not in pair and b"+" not in pair:
        return key.decode("ascii"), value.decode("ascii")
    return (
        unquote_to_bytes(key.replace(b"+", b" ")).decode("utf-8", errors),
        unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", errors),
    )


def first_values(pairs: Pairs) -> dict[str, str]:
    first: dict[str, str] = {}
    for key, value in pairs:
        if key not in first:
            first[key] = value
        elif key not in REPEATABLE:
            raise RefusedTarget("a query parameter that has one value is repeated")
    return first


def is_true(value: str | None) -> bool:
    """The server's rule: absent, "0" and any case of "false" are false, all else (also "") is true.

    Raises RefusedTarget on a value beyond ASCII: U+017F folds to "s" for some comparisons, not for others.
    """
    if value is None:
        return False
    if not value.isascii():
        raise RefusedTarget("a boolean query parameter is not ASCII")
    return value != "0" and value.lower() != "false"


def canonical_query(raw: bytes, pairs: Pairs) -> bytes:
    """As `encode_query`. raw: what the pairs were read from."""
    return raw if _PLAIN.fullmatch(raw) else encode_query(pairs)


def encode_query(pairs: Pairs) -> bytes:
    """Go's form encoding, in the order given; b"" of no pairs."""
    return "&".join([f"{_encode_form(key)}={_encode_form(value)}" for key, value in pairs]).encode("ascii")


def _encode_form(text: str) -> str:
    return text if _UNRESERVED.fullmatch(text) else quote_plus(text)


def redact_target(target: bytes) -> bytes:
    """A target of any kind, also a refused one, without the value of an `access_token`: fit for a record."""
    # Undoing escapes as a whole undoes those of each key, so there is none whose name this does not contain.
    plain = unquote_to_bytes(target) if b"%" in target else target
    if b"?" not in target or b"access_token" not in plain.lower():
        return target
    path, mark, query = target.partition(b"?")
    return path + mark + b"".join([_redact_pair(piece) for piece in _SEPARATORS.split(query)])


def _redact_pair(pair: bytes) -> bytes:
    key, mark, _ = pair.partition(b"=")
    return key + b"=REDACTED" if mark and unquote_to_bytes(key).lower() == b"access_token" else pair
