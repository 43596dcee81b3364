"""Concatenated JSON values, as a watch sends them: bytes in, one whole value after the other out.

It finds where a value ends; whether it is valid is for the decoder to say. The trap: values need no newline between
them and may hold some (`?pretty=true`), and a value may come in any number of pieces, so it is cut by its brackets.
That costs Python time per bracket, so a caller that can decode should try `line()` first.
Source: RFC 8259; k8s.io/apimachinery runtime/serializer/json, Framer.
"""

import re
from typing import Final

from protocol.errors import TooLarge, Unreadable

_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')
_BLANKS: Final = b" \t\r\n"


class JsonValues:
    """Cuts a stream of JSON objects. `add` bytes, then take values until there is none."""

    def __init__(self, max_value_bytes: int) -> None:
        self._max_value_bytes = max_value_bytes
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the first value that were looked at
        self._depth = 0
        self._in_string = False

    @property
    def pending_bytes(self) -> int:
        """Bytes of a value whose end has not come, without the blanks before it."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        self._buffer += data

    def line(self) -> bytes | None:
        """The first line, where no part of its value was scanned: mostly one value. Takes nothing.

        A caller that finds it whole calls `skip`, any other `value`.
        """
        self._drop_blanks()
        if self._scanned:
            return None
        end = self._buffer.find(b"\n")
        return bytes(self._buffer[:end]) if end >= 0 else None

    def skip(self, size: int) -> None:
        """Take so many bytes, which were a whole value."""
        del self._buffer[:size]

    def value(self) -> bytes | None:
        """Take the next value, None until it is complete.

        Raises Unreadable for what is no JSON object, TooLarge for a value beyond the limit.
        """
        self._drop_blanks()
        end = self._find_end()
        if (end or len(self._buffer)) > self._max_value_bytes:
            raise TooLarge("an event of the watch is larger than kubetape reads", status_hint=502)
        if end is None:
            return None
        value = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._scanned = 0
        return value

    def _drop_blanks(self) -> None:
        if not self._scanned and self._buffer[:1] and self._buffer[0] in _BLANKS:
            self._buffer = self._buffer.lstrip(_BLANKS)

    def _find_end(self) -> int | None:
        """Where the first value ends. Every byte is looked at once, however often this is asked."""
        if not self._scanned and self._buffer and self._buffer[0] != 0x7B:
            raise Unreadable("the watch sent something that is no JSON object", status=502)
        at = self._scanned
        while True:
            match = (_INSIDE if self._in_string else _OUTSIDE).search(self._buffer, at)
            if match is None:
                self._scanned = max(at, len(self._buffer))
                return None
            at = match.end()
            found = match[0]
            if found == b"\\":
                at += 1  # what is escaped ends nothing, even when it has not come yet
            elif found == b'"':
                self._in_string = not self._in_string
            elif found in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    return at
