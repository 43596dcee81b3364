"""One value -> what stands in its place: of the same type, without its content, recognisable.

A string becomes `[masked by policy/rule]`, in base64 where base64 is expected; a number 0, a boolean false. null and
the empty string stay, lists keep their length and maps their keys, so that typed clients go on working.
The trap: what was shown masked may be written back (`kubectl edit`), which would destroy what it stands for. So the
text has a fixed beginning, also recognised in base64 at any of its three alignments, and such bodies are refused.
"""

import base64
import re
from collections import Counter
from functools import lru_cache
from typing import Final

PREFIX: Final = "[masked by "

MAX_RULE_CHARACTERS: Final = 128

EPOCH: Final = "1970-01-01T00:00:00Z"
"""Stands for a time: typed clients refuse an object with any other text there."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_UNFIT: Final = re.compile(r'[^ -~]|["\\\[\]]')
_UNICODE_ESCAPE: Final = re.compile(rb"\\+(?:u00|U000000)([2-7][0-9a-fA-F])")


@lru_cache(maxsize=1024)
def placeholder(rule: str) -> str:
    """Printable ASCII that needs no escape in JSON."""
    return f"{PREFIX}{_UNFIT.sub('?', rule)[:MAX_RULE_CHARACTERS]}]"


@lru_cache(maxsize=1024)
def encoded_placeholder(rule: str) -> str:
    """The placeholder in base64."""
    return base64.b64encode(placeholder(rule).encode("ascii")).decode("ascii")


def hide(value: object, rule: str, counts: Counter[str], *, encoded: bool = False) -> object:
    """What stands in the place of a decoded JSON value; maps and lists are emptied in place.

    encoded: strings in it are base64. counts: one per string, number or boolean hidden.
    """
    if type(value) is str:  # first: nearly all that is hidden is text
        shown = encoded_placeholder(rule) if encoded else placeholder(rule)
        if value == shown or value == "":
            return value
        counts[rule] += 1
        return EPOCH if value[4:5] == "-" and _TIME.fullmatch(value) else shown
    if isinstance(value, dict):
        for key, member in value.items():
            value[key] = hide(member, rule, counts, encoded=encoded)
        return value
    if isinstance(value, list):
        value[:] = [hide(item, rule, counts, encoded=encoded) for item in value]
        return value
    if not value:  # null, false, 0
        return value
    counts[rule] += 1
    return False if value is True else 0


def _alignments() -> tuple[bytes, ...]:
    """The parts of PREFIX in base64 that do not depend on what is before and behind it."""
    found = []
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + PREFIX.encode("ascii") + bytes(3))
        first = -(-8 * shift // 6)
        found.append(text[first : 8 * (shift + len(PREFIX)) // 6])
    return tuple(found)


_NEEDLES: Final = (PREFIX.encode("ascii"), *_alignments())


def find_placeholder(body: bytes) -> bool:
    """Whether a body holds something masked: plain, in base64, in JSON in JSON, with escaped letters.

    A client that hides it well (base64 broken by newlines) only harms what it may write anyway.
    """
    if any(needle in body for needle in _NEEDLES):
        return True
    if b"\\u" not in body and b"\\U" not in body:
        return False
    plain = _UNICODE_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), body)
    return any(needle in plain for needle in _NEEDLES)
