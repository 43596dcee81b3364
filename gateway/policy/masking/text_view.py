"""Terminal text as detectors see it: without colours, and back to the bytes it came from.

A colour inside a word (`grep --color`, a highlighting pager) must not hide a secret, nor must the letter that ends a
sequence count as a part of the word behind it. Colours, erasing, modes and titles are taken out; what moves the cursor
becomes a blank. `wraps`: also the blank and carriage return with which readline continues a long line being typed.

What it does not: draw a screen. A secret painted letter by letter at cursor positions is not seen.
Source: ECMA-48 (CSI), XTerm Control Sequences (OSC).
"""

import re
from bisect import bisect_right
from typing import Final

_SEQUENCE: Final = re.compile(
    rb"\x1b\[[0-?]{0,64}[ -/]{0,4}([@-~])"
    rb"|\x1b\][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\)"
    rb"|\x1b[ -/]{0,4}[0-Z\\^-~]"
    rb"|( \r)(?![\r\n])"
)
_COLOUR: Final = re.compile(rb"\x1b\[[0-9;]{0,64}m")
_INVISIBLE: Final = frozenset(b"mKhlq")
"""Finals of control sequences after which text goes on where it was: SGR, EL, SM, RM, cursor style."""


class TextView:
    """One text without its sequences. `seen` is what detectors get."""

    def __init__(self, text: bytes, *, wraps: bool) -> None:
        self._text, self._wraps = text, wraps
        self._seen_at: list[int] = []  # where a piece begins in what is seen ...
        self._text_at: list[int] = []  # ... and in the text; both made when first asked for
        seen, colours = _COLOUR.subn(b"", text)
        has_only_colours = colours == text.count(b"\x1b") and not (wraps and b" \r" in text)
        self.seen = seen if has_only_colours else self._pieces()

    def _pieces(self) -> bytes:
        self._seen_at, self._text_at = [0], [0]
        pieces: list[bytes] = []
        at = seen_bytes = 0
        for found in _SEQUENCE.finditer(self._text):
            if found[2] and not self._wraps:
                continue
            piece = self._text[at : found.start()] + _in_place_of(found)
            pieces.append(piece)
            at = found.end()
            seen_bytes += len(piece)
            self._seen_at.append(seen_bytes)
            self._text_at.append(at)
        return b"".join((*pieces, self._text[at:]))

    def start_in_text(self, seen_start: int) -> int:
        """Where a hit begins: behind the sequences before it."""
        if not self._seen_at:
            self._pieces()
        piece = bisect_right(self._seen_at, seen_start) - 1
        return self._text_at[piece] + seen_start - self._seen_at[piece]

    def end_in_text(self, seen_end: int) -> int:
        """Where a hit ends: before the sequences after it."""
        return self.start_in_text(seen_end - 1) + 1


def _in_place_of(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return b"" if found[1][0] in _INVISIBLE else b" "
    return b""


def sequences_in(text: bytes) -> bytes:
    """The sequences of a hidden part, so that a colour does not leak into what follows it."""
    return b"".join(found[0] for found in _SEQUENCE.finditer(text) if not found[2])
