"""Private keys in a text: PEM, also with escaped line ends inside a JSON string, and the base64 of PEM.

By hand and not by one pattern: "from BEGIN to END" would look for the END again behind every BEGIN, which is quadratic in
a text full of them. Source: RFC 7468.
"""

from collections.abc import Iterator
from typing import Final

import re2

PEM_KEY: Final = rb"-{4,5} ?BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
"""The line with which a private key begins."""

PEM_KEY_END: Final = rb"-{4,5} ?END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}"

PEM_BODY: Final = rb"(?:[A-Za-z0-9+/=:,]|\s|\\+[nrt/])*"
"""What follows it, where no end is in sight."""

BASE64_KEY: Final = rb"LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJVk|BFQyBQUklWQV|BFTkNSWVBUR|BPUEVOU1NI|BEU0EgUFJJVk)[A-Za-z0-9+/]*={0,2}"
"""The same in base64: a Secret's data, `base64 key.pem`."""

_WRAPPED: Final = rb"(?:(?:(?:\r?\n|\\n)[A-Za-z0-9+/]{64,76})+(?:(?:\r?\n|\\n)[A-Za-z0-9+/]+={0,2})?)?"


def compile_key_pattern(pattern: bytes) -> re2._Regexp:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return re2.compile(pattern, options)


_BEGIN: Final = compile_key_pattern(PEM_KEY)
_END: Final = compile_key_pattern(PEM_KEY_END)
_BODY: Final = compile_key_pattern(PEM_BODY)
_BASE64: Final = compile_key_pattern(BASE64_KEY + _WRAPPED)


def find_keys(text: bytes) -> Iterator[tuple[int, int]]:
    """The keys of a text, each to its END, or as far as it looks like a key where none follows."""
    at, has_end = 0, True
    while (begin := _BEGIN.search(text, at)) is not None:
        end = _END.search(text, begin.end()) if has_end else None
        has_end = end is not None
        at = (_BODY.match(text, begin.end()) if end is None else end).end()
        yield begin.start(), at
    for encoded in _BASE64.finditer(text):
        yield encoded.span()
