"""The line of a terminal on which the cursor stands, out of the bytes written to it.

One line, not a screen: what moves the cursor to another line begins anew. Source: ECMA-48.
"""

import codecs
import re
from typing import Final

from gateway.policy.edited_line import EditedLine

MAX_SEQUENCE_BYTES: Final = 1024
"""Longest escape sequence waited for, far above any title; a longer one is taken for text."""

TEXT: Final = re.compile(rb"[^\x00-\x1f\x7f]+")

SEQUENCE: Final = re.compile(
    rb"\x1b(?:\[([0-?]{0,64})[ -/]{0,4}([@-~])|O([^\r\n\x0f])"
    rb"|\][^\x07\x1b\r\n\x0f]{0,1000}(?:\x07|\x1b\\)|[^\[O\]\r\n\x0f])"
)
"""A whole one: groups are parameters and final of a control sequence, or the key of ESC O. Never across a line end."""


class ScreenLine:
    """The line of the terminal on which the cursor stands."""

    def __init__(self) -> None:
        self._line = EditedLine(insert=False)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._sequence = b""

    @property
    def text(self) -> str:
        return self._line.text

    def receive(self, data: bytes) -> None:
        data = self._sequence + data
        self._sequence = b""
        at = 0
        while at < len(data):
            if (text := TEXT.match(data, at)) is not None:
                self._line.write(self._decoder.decode(text[0]))
                at = text.end()
            elif data[at] == 0x1B:
                found = SEQUENCE.match(data, at)
                if found is None and len(data) - at < MAX_SEQUENCE_BYTES:
                    self._sequence = data[at:]
                    return
                if found is not None:
                    self._move(found)
                at = at + 1 if found is None else found.end()
            else:
                self._control(data[at])
                at += 1

    def _control(self, code: int) -> None:
        if code == 0x0A:
            self._line.clear()
        elif code == 0x0D:
            self._line.go_to(0)
        elif code == 0x08:
            self._line.move(-1)

    def _move(self, found: re.Match[bytes]) -> None:
        number = found[1] or b""
        count = int(number[:4]) if number.isdigit() else 0
        final = found[2]
        if final in (b"C", b"D"):
            self._line.move(max(1, count) if final == b"C" else -max(1, count))
        elif final == b"G":
            self._line.go_to(max(1, count) - 1)
        elif final == b"P":
            self._line.erase_right(max(1, count))
        elif final == b"@":
            self._line.insert_blanks(max(1, count))
        elif final in (b"K", b"J") and not count:  # busybox erases with J, whose first line is this one
            self._line.erase_to_end()
        elif final in (b"H", b"J", b"A", b"B"):
            self._line.clear()
