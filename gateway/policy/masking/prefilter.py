"""Whether JSON bytes can hold anything to hide: decoding costs ten times what looking costs, and most have nothing.

Every doubt is a yes. The traps: JSON may write any letter as an escape, and annotations hold JSON in JSON, so bytes are
looked at as they are and unescaped once per level; base64 hides everything, so whatever may hold base64 is a yes for
detectors. Keys are looked for with their quotes, plain, escaped, and as managedFields write them.
"""

from collections.abc import Iterable
from typing import Final

import re2

from gateway.policy.masking.detectors import ALWAYS_AT_THE_END, DetectorSet, Hit
from gateway.policy.masking.in_place import (
    are_in_plain_values,
    strings_as_lines,
    strings_with_escapes,
    without_text_quotes,
)
from gateway.policy.masking.paths import ANY_DEPTH, ANY_KEY, Path

MAX_LEVELS: Final = 4
"""JSON in JSON in JSON: unescaped so many times; what still has escapes then is a yes."""

# Escapes of letters, digits and signs. Go writes < > & ' and controls so; nobody needs any other of ASCII.
_ODD_ESCAPE: Final = rb"\\u00(?:2[0-589a-fA-F]|3[0-9abdfABDF]|[4-6][0-9a-fA-F]|7[0-9a-eA-E])"
# Copies, looked into whatever their keys, because unreadable ones are hidden whole; and errors, which quote.
_ALWAYS: Final = rb'last-applied-configuration|"H4sI|"UEsD|"Status"|' + _ODD_ESCAPE
_MAY_HOLD_BASE64: Final = (b'"Secret', b'"binaryData')
_GO_ESCAPES: Final = ((b"\\u003c", b"<"), (b"\\u003e", b">"), (b"\\u0026", b"&"), (b"\\u0027", b"'"))
_LETTER_ESCAPES: Final = ((b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t"), (b"\\/", b"/"))

# 0x01 cannot stand in JSON unescaped: it keeps quotes that are text apart from those that end a string.
_TEXT_QUOTE: Final = b"\x01"
_STRINGS_TO_LINES: Final = bytes.maketrans(b'"' + _TEXT_QUOTE, b'\n"')
_STRINGS_AS_THEY_ARE: Final = bytes.maketrans(_TEXT_QUOTE, b'"')


class Prefilter:
    """Built once for the masks of a verdict."""

    def __init__(self, paths: Iterable[Path], detectors: DetectorSet | None) -> None:
        paths = list(paths)
        named = [frozenset(step.name for step in path if step.name) for path in paths]
        self._names = frozenset(name for names in named for name in names)
        self._has_wildcard = any(step.wildcard in (ANY_KEY, ANY_DEPTH) for path in paths for step in path)
        # A twin that needs more names than another path can match only where that one is a yes.
        needed = [names for names in named if not any(other < names for other in named)]
        self._needed = list(dict.fromkeys(needed))
        self._spelled = re2.Set.SearchSet(_options())
        self._order = sorted(self._names)
        for name in self._order:
            self._spelled.Add(_spellings(name))
        self._always = self._spelled.Add(_ALWAYS)
        self._ran = self._spelled.Add(ALWAYS_AT_THE_END)
        self._spelled.Compile()
        self._odd_escape = re2.compile(_ODD_ESCAPE, _options())
        self._detectors = detectors

    def may_hide(self, body: bytes, *, base64: bool = False) -> bool:
        """Whether a path or detector may hit in JSON bytes. base64: they may hold some, without saying so."""
        return self.may_have_path(body) or self.may_be_found(body, base64=base64)

    def names(self, name: str) -> bool:
        """Whether some path may speak of a member of this name."""
        return name in self._names or self._has_wildcard

    def may_have_path(self, body: bytes) -> bool:
        if not self._needed:
            return False
        found = self._spelled.Match(body) or ()
        if self._ran not in found or self._always in found:
            return True
        names = {self._order[index] for index in found if index < self._always}
        return any(needed <= names for needed in self._needed)

    def may_be_found(self, body: bytes, *, base64: bool = False) -> bool:
        return self.hits_in(body, base64=base64) != []

    def hits_in(self, body: bytes, *, base64: bool = False) -> list[Hit] | None:
        """What detectors hide in JSON, each at its place in the bytes; None: it has to be decoded to know."""
        if self._detectors is None:
            return []
        if base64 or _any_in(body, _MAY_HOLD_BASE64):
            return None
        quoted = without_text_quotes(body)
        if b"\\" in body and self._may_be_escaped(strings_with_escapes(body, quoted)):
            return None
        hits = self._detectors.hits(strings_as_lines(quoted))
        return hits if are_in_plain_values(quoted, hits) else None

    def _may_be_escaped(self, strings: bytes) -> bool:
        """Whether strings with escapes may hold a hit, on any level."""
        assert self._detectors is not None
        text = strings
        for _ in range(MAX_LEVELS):
            if self._odd_escape.search(text) is not None:
                return True
            lines = _strings_as_lines(text)
            if self._detectors.finds(lines):
                return True
            if b"\\" not in lines:
                return False
            text = _unescape(text)
        return True


def _spellings(name: str) -> bytes:
    """How a member's name may stand in JSON, in JSON in JSON, and in managedFields: a pattern."""
    key = name.encode()
    if not name.isprintable() or not name.isascii() or '"' in name or "\\" in name:
        return b'"'  # written in more ways than one wants to list: always found
    escaped: bytes = re2.escape(key)
    return rb'(?:"|f:)' + escaped + rb'["\\]'


def _any_in(body: bytes, needles: Iterable[bytes]) -> bool:
    return any(needle in body for needle in needles)


def _strings_as_lines(text: bytes) -> bytes:
    """Unescaped, every string of the JSON on lines of its own, as detectors see it once it is decoded."""
    return _unescape(text, _STRINGS_TO_LINES)


def _unescape(text: bytes, quotes: bytes = _STRINGS_AS_THEY_ARE) -> bytes:
    """Without one level of escapes. quotes: what becomes of quotes that end strings, and of those that are text."""
    if b"\\\\" in text:
        return b"\\".join(_unescape_part(part, quotes) for part in text.split(b"\\\\"))
    return _unescape_part(text, quotes)


def _unescape_part(part: bytes, quotes: bytes) -> bytes:
    if b"\\" not in part:
        return part.translate(quotes)
    part = part.replace(b'\\"', _TEXT_QUOTE).translate(quotes)
    if b"\\" in part:
        for escape, plain in (*_LETTER_ESCAPES, *_GO_ESCAPES):
            part = part.replace(escape, plain)
    return part


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    return options
