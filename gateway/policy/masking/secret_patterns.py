"""The built-in detectors: how each kind of secret looks, as RE2 patterns over bytes.

A pattern is a candidate; where chance would hit too often, a check of `secret_checks` has the last word. What of a
match is hidden: its first group that took part, else all of it. No hit but one of `private-key` crosses a line end, so
that a stream can be masked line by line (`stream`).

The trap: what is far from its name (a manifest's `name:` and `value:` on two lines) is not seen here; paths are the
means for that. Sources: the formats' own documentation; RFC 7468 (PEM), RFC 7519 (JWT), ISO 7812, ISO 13616.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from gateway.policy.masking import private_keys, secret_checks

Check = Callable[[bytes, int, int], list[tuple[int, int]]]
"""(text, start, end) of a candidate -> the parts of it that are secrets."""

Spans = Callable[[bytes], Iterable[tuple[int, int]]]
"""A text -> the parts of it that are hidden."""


class Pattern(msgspec.Struct, frozen=True):
    """One detector. find: does the work of the pattern, which then only says whether there is any."""

    name: str
    pattern: bytes
    check: Check | None = None
    find: Spans | None = None


_JWT: Final = rb"e(?:yJ|yA|wo|w0)[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){1,3}"

PATTERNS: Final = (
    Pattern(
        "private-key", private_keys.PEM_KEY + rb"|" + private_keys.BASE64_KEY, find=private_keys.find_keys
    ),
    Pattern(
        "aws-key",
        rb"(?:\b|_)(A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16,})"
        rb"|(?i:secret[_-]?access[_-]?key|session[_-]?token|aws[_-]?secret(?:[_-]?key)?)"
        rb"[^A-Za-z0-9/+\n]{1,64}([A-Za-z0-9/+]{40,}={0,2})",
    ),
    Pattern(
        "gcp-key",
        rb"\b(AIza[A-Za-z0-9_-]{35,}|GOCSPX-[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{20,})"
        rb"|\bprivate_key(?:_id)?\\*[\"'][ \t]*:[ \t]*\\*[\"']((?:[^\"'\\\n]|\\+[nru/])+)",
    ),
    Pattern(
        "azure-key",
        rb"(?i:account_?key|shared_?access_?key|endpoint_?key)[\"'\\]*[ \t]*[:=][ \t]*[\"'\\]*([A-Za-z0-9+/%]{40,}={0,2})"
        rb"|(?i:\bsig)=([A-Za-z0-9%/+_-]{32,}=?)",
    ),
    Pattern("github-token", rb"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    Pattern(
        "slack-token",
        rb"\b(xox[abceoprs][-.][A-Za-z0-9.-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,})"
        rb"|\bhooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/]{20,})",
    ),
    Pattern("jwt", _JWT, secret_checks.json_web_tokens),
    Pattern(
        "card",
        # A card's grouping, then the rest of the run: tables of numbers cost no check.
        rb"(?:[0-9]{13}|[2-6][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4})"
        rb"(?:[ -]?[0-9])*",
        secret_checks.card_numbers,
    ),
    Pattern("iban", rb"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,}", secret_checks.ibans),
    Pattern("email", rb"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"),
    Pattern(
        "bearer",
        rb"(?i:\bauthorization[\"'\\]*[ \t]*[:=][ \t]*[\"'\\]*(?:bearer|basic|token)[ \t]+)([^\s\"'\\]+)"
        rb"|(?i:\bbearer)[ \t]+([A-Za-z0-9._~+/=-]{16,})",
        secret_checks.opaque_tokens,
    ),
    Pattern("basic-auth-url", rb"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'<>]*:([^\s/\"'<>]+)@"),
    Pattern(
        "k8s-token",
        rb"\b([a-z0-9]{6}\.[a-z0-9]{16})\b|(" + _JWT + rb")",
        secret_checks.cluster_tokens,
    ),
)
"""In the order in which they are named when two hit the same bytes."""
