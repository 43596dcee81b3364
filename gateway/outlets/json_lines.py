"""An event -> one line of JSON: UTF-8, no line break, nothing that acts on a terminal. Pure.

JSON itself allows C1 controls, DEL and direction overrides in a string, and clients choose many of these
strings: a log viewer must not be fooled by them, so they are escaped as JSON can.
"""

import re
from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()
_UNSAFE: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def encode_line(event: object) -> bytes:
    """One event without its line end. The only place where outlets encode."""
    encoded = _ENCODER.encode(event)
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode()).encode()
