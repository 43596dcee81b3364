"""What a client is warned about, as `Warning: 299` headers, which kubectl prints on stderr. Pure.

Two at most, each at most 256 bytes: people stop reading them, and agents have to. Nothing of the object, its values
or the command line goes into one. How much was masked is not among them: that is known only at the end of an answer.
The trap: kubectl prints them after the body, and never those of a 101.
"""

from collections.abc import Iterable
from typing import Final

from gateway.policy.model import ActiveGrant, Verdict
from protocol.events import Headers
from protocol.status import encode_warning

MAX_WARNINGS: Final = 2
EXPIRES_SOON_S: Final = 5 * 60
"""A grant that ends sooner is worth a line: time enough to ask for another one."""
_NS: Final = 1_000_000_000


def warning_headers(verdict: Verdict, grants: Iterable[ActiveGrant], now_ns: int) -> Headers:
    """The Warning headers of an answer. grants: active ones of the principal; now_ns: UTC."""
    return tuple((b"warning", encode_warning(text)) for text in warnings_for(verdict, grants, now_ns))


def warnings_for(verdict: Verdict, grants: Iterable[ActiveGrant], now_ns: int) -> tuple[str, ...]:
    """The texts, the most urgent first: a grant this call rests on, then rules that only watch so far."""
    found = [
        _expiry(grant, now_ns)
        for grant in sorted(grants, key=lambda grant: grant.expires_ns)
        if grant.id in verdict.grants and 0 < grant.expires_ns - now_ns < EXPIRES_SOON_S * _NS
    ][:1]
    if verdict.shadow:
        more = f" (and {len(verdict.shadow) - 1} more)" if len(verdict.shadow) > 1 else ""
        found.append(f"kubetape: policy {verdict.shadow[0]} (shadow) would deny or hold this{more}")
    return tuple(found[:MAX_WARNINGS])


def _expiry(grant: ActiveGrant, now_ns: int) -> str:
    left_s = (grant.expires_ns - now_ns) // _NS
    return f"kubetape: grant {grant.id} ({grant.bundle}) ends in {left_s // 60}m{left_s % 60:02d}s"
