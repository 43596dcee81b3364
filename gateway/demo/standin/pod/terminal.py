"""A terminal's line discipline: what is typed becomes lines and echo; what is written gets CRLF.

Canonical mode as Linux has it by default: carriage return ends a line, DEL and BS erase, ^U kills the
line, ^C interrupts, ^D ends input on an empty line. Pure but for the cancel scope it is lent.
"""

from typing import Final

import msgspec
import trio

MAX_TYPED_BYTES: Final = 4096
"""Longest line, as MAX_CANON of Linux; more is dropped."""

_INTERRUPT, _END, _KILL = 0x03, 0x04, 0x15
_ERASE: Final = frozenset({0x7F, 0x08})


class Typed(msgspec.Struct, frozen=True):
    """What some typed bytes lead to. lines: input that is complete now, b"" for the end of input."""

    echo: bytes
    lines: tuple[bytes, ...]
    interrupted: bool


class Terminal:
    """State of one terminal. foreground: the scope ^C cancels, set by the interactive shell."""

    def __init__(self) -> None:
        self.columns, self.rows = 0, 0
        self.echoes = True
        self.foreground: trio.CancelScope | None = None
        self._line = bytearray()

    def type(self, data: bytes) -> Typed:
        """Take in bytes as the keyboard sends them."""
        echo, lines, interrupted = bytearray(), [], False
        for byte in data:
            if byte in (0x0D, 0x0A):
                lines.append(bytes(self._line) + b"\n")
                self._line.clear()
                echo += b"\r\n"
            elif byte in _ERASE:
                if self._line:
                    self._line.pop()
                    echo += b"\b \b"
            elif byte == _KILL:
                echo += b"\b \b" * len(self._line)
                self._line.clear()
            elif byte == _INTERRUPT:
                self._line.clear()
                interrupted = True
                echo += b"^C\r\n"
            elif byte == _END:
                lines.append(bytes(self._line))
                self._line.clear()
            elif len(self._line) < MAX_TYPED_BYTES:
                self._line.append(byte)
                echo += bytes((byte,)) if byte >= 0x20 or byte == 0x09 else b"^" + bytes((byte + 0x40,))
        return Typed(bytes(echo) if self.echoes else b"", tuple(lines), interrupted)

    def show(self, data: bytes) -> bytes:
        """What is written, as the screen gets it."""
        return data.replace(b"\n", b"\r\n")
