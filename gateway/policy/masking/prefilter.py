"""Whether JSON bytes can hold anything to hide: decoding costs ten times what looking costs, and most have nothing.

Every doubt is a yes. The traps: JSON may write any letter as an escape, and annotations hold JSON in JSON, so bytes are
looked at as they are and unescaped once per level; base64 hides everything, so whatever may hold base64 is a yes for
detectors. Keys are looked for with their quotes, plain, escaped, and as managedFields write them.
"""

import re
from collections.abc import Iterable
from typing import Final

from gateway.policy.masking.detectors import DetectorSet
from gateway.policy.masking.paths import ANY_DEPTH, ANY_KEY, Path

MAX_LEVELS: Final = 4
"""JSON in JSON in JSON: unescaped so many times; what still has escapes then is a yes."""

# Escapes of letters, digits and signs. Go writes < > & ' and controls so; nobody needs any other of ASCII.
_ODD_ESCAPE: Final = re.compile(rb"\\u00(?!26|27|3[cCeE]|[01]|7[fF])[0-7]")
# Copies that are looked into whatever their keys: they may be unreadable, and are hidden whole then.
_COPIES: Final = (b"last-applied-configuration", b'"H4sI', b'"UEsD')
_MAY_HOLD_BASE64: Final = (b'"Secret', b'"binaryData')
_GO_ESCAPES: Final = ((b"\\u003c", b"<"), (b"\\u003e", b">"), (b"\\u0026", b"&"), (b"\\u0027", b"'"))
_LETTER_ESCAPES: Final = ((b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t"), (b"\\/", b"/"))


class Prefilter:
    """Built once for the masks of a verdict."""

    def __init__(self, paths: Iterable[Path], detectors: DetectorSet | None) -> None:
        paths = list(paths)
        named = [frozenset(step.name for step in path if step.name) for path in paths]
        self._names = frozenset(name for names in named for name in names)
        self._has_wildcard = any(step.wildcard in (ANY_KEY, ANY_DEPTH) for path in paths for step in path)
        # A twin that needs more names than another path can match only where that one is a yes.
        needed = [names for names in named if not any(other < names for other in named)]
        self._needed = [[_spellings(name) for name in names] for names in dict.fromkeys(needed)]
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
        if (
            any(all(_any_in(body, spellings) for spellings in path) for path in self._needed)
            or _any_in(body, _COPIES)
            or b'"Status"' in body
        ):
            return True
        return b"\\u" in body and _ODD_ESCAPE.search(body) is not None

    def may_be_found(self, body: bytes, *, base64: bool = False) -> bool:
        if self._detectors is None:
            return False
        if base64 or _any_in(body, _MAY_HOLD_BASE64):
            return True
        text = body
        for _ in range(MAX_LEVELS):
            if _ODD_ESCAPE.search(text) is not None:
                return True
            if self._detectors.finds(_strings_as_lines(text)):
                return True
            if b"\\" not in text:
                return False
            text = _unescape(text)
        return True


def _spellings(name: str) -> tuple[bytes, ...]:
    """How a member's name may stand in JSON, in JSON in JSON, and in managedFields."""
    key = name.encode()
    if not name.isprintable() or not name.isascii() or '"' in name or "\\" in name:
        return (b"",)  # written in more ways than one wants to list: always found
    return (b'"' + key + b'"', b'"' + key + b"\\", b"f:" + key + b'"', b"f:" + key + b"\\")


def _any_in(body: bytes, needles: Iterable[bytes]) -> bool:
    return any(needle in body for needle in needles)


def _strings_as_lines(text: bytes) -> bytes:
    """Unescaped, every string of the JSON on lines of its own, as detectors see it once it is decoded."""
    if b"\\" not in text:
        return text.replace(b'"', b"\n")
    parts = text.split(b"\\\\")
    return b"\\".join(_unescape_part(part, quote=b"\n") for part in parts)


def _unescape(text: bytes) -> bytes:
    """Without one level of escapes."""
    return b"\\".join(_unescape_part(part, quote=b'"') for part in text.split(b"\\\\"))


def _unescape_part(part: bytes, *, quote: bytes) -> bytes:
    # 0x01 cannot stand in JSON unescaped: it keeps quotes that are text apart from those that end a string
    part = part.replace(b'\\"', b"\x01").replace(b'"', quote).replace(b"\x01", b'"')
    for escape, plain in _LETTER_ESCAPES:
        part = part.replace(escape, plain)
    if b"\\u" in part:
        for escape, plain in _GO_ESCAPES:
            part = part.replace(escape, plain)
    return part
