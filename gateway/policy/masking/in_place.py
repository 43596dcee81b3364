"""Where in JSON bytes detectors hit, so that hits are replaced where they stand: nothing is decoded.

Only where it is certain what a byte means: a hit inside one string that is a value and has no escapes. Of everything
else (names, numbers, strings with escapes) the caller has to decode the document. The traps: a quote may be text, so
escapes are blotted out first; and all of this holds for JSON only, which the caller has checked.
"""

import re
from collections.abc import Iterable
from typing import Final

from gateway.policy.masking.detectors import Hit

# Neither can stand in JSON unescaped. An escape keeps its length, so an offset is one of the document.
_ESCAPED_BACKSLASH: Final = b"\\\x02"
_ESCAPED_QUOTE: Final = b"\\\x01"
_QUOTES_TO_LINE_ENDS: Final = bytes.maketrans(b'"', b"\n")
_ENDS_A_NAME: Final = re.compile(rb'"\s*:')


def without_text_quotes(body: bytes) -> bytes:
    """The document, as long as before, with no quote but those around strings."""
    return body.replace(b"\\\\", _ESCAPED_BACKSLASH).replace(b'\\"', _ESCAPED_QUOTE)


def strings_as_lines(quoted: bytes) -> bytes:
    """What `without_text_quotes` made, as long as before, every string on a line of its own, as detectors judge it."""
    return quoted.translate(_QUOTES_TO_LINE_ENDS)


def strings_with_escapes(body: bytes, quoted: bytes) -> bytes:
    """These alone, as they are in the document, in quotes, one after the other."""
    found: list[bytes] = []
    at = 0
    while (at := quoted.find(b"\\", at)) >= 0:
        start, end = quoted.rfind(b'"', 0, at), quoted.find(b'"', at)
        at = len(quoted) if end < 0 else end + 1
        found.append(body[max(0, start) : at])
    return b"".join(found)


def are_in_plain_values(quoted: bytes, hits: Iterable[Hit]) -> bool:
    """Whether each hit is inside one string without escapes that is not a name."""
    at, is_inside = 0, False
    for start, end, _ in hits:
        is_inside ^= quoted.count(b'"', at, start) % 2 == 1
        at = start
        opens, closes = quoted.rfind(b'"', 0, start), quoted.find(b'"', start)
        if not is_inside or closes < end or quoted.find(b"\\", opens, closes) >= 0:
            return False
        if _ENDS_A_NAME.match(quoted, closes) is not None:
            return False
    return True
