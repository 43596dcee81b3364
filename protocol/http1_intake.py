"""Bytes of an HTTP/1.1 connection that were received and not yet read: where its lines and field blocks end.

What they say is not read here. Every limit counts positions on the wire, not sizes of reads, so a limit holds, and the
same offence is found first, however the bytes were cut. Every search goes on where the last one stopped: time is linear
in the bytes, also when they come one by one. A body that fills a whole read passes without a copy.
The trap: a line that ends in LF alone must fail when its LF is seen, not when a head is complete,
or it is never complete. Source: RFC 9112 sections 2.2 and 5.
"""

from typing import Final

from protocol.errors import RemoteProtocolError, TooLarge
from protocol.headers import CONTROLS

_BARE: Final = "a line ends in something other than CRLF"


class Intake:
    """The bytes of one connection that were received and not yet taken."""

    __slots__ = ("_data", "_scanned", "_start", "left_bytes")

    def __init__(self) -> None:
        self.left_bytes = 0  # received and not taken
        self._data: bytes | bytearray = b""  # one read as it came, or several joined
        self._start = 0  # index of the first byte not taken
        self._scanned = 0  # bytes after it known to hold no end of what is searched

    def feed(self, data: bytes) -> None:
        """Append one read."""
        self.left_bytes += len(data)
        if self._start == len(self._data):
            self._data, self._start, self._scanned = data, 0, 0
            return
        if isinstance(self._data, bytearray):
            del self._data[: self._start]
        else:
            self._data = bytearray(memoryview(self._data)[self._start :])
        self._start = 0
        self._data += data

    def take(self, limit: int) -> bytes:
        """Take up to `limit` bytes: the read itself where it fits as a whole."""
        data, start = self._data, self._start
        end = min(len(data), start + limit)
        self.left_bytes -= end - start
        self._scanned = 0
        if end == len(data):
            self._data, self._start = b"", 0
            if start == 0 and isinstance(data, bytes):
                return data
        else:
            self._start = end
        # a slice of a bytearray is another bytearray: go by a view, to copy once
        return data[start:end] if isinstance(data, bytes) else bytes(memoryview(data)[start:end])

    def first_byte(self) -> int | None:
        """The next byte, left where it is, or None."""
        return self._data[self._start] if self.left_bytes else None

    def take_head(self, limit: int, first_line_limit: int) -> list[bytes] | None:
        """Take all lines of a head that is here as a whole, without their CRLFs and the empty line.

        None for anything else, also for a head with any fault: `take_line` and `take_fields` then read it
        piece by piece, and name the fault. This is they in one pass, for what peers send almost always.
        limit: bytes of the head, its empty line included; first_line_limit: of the first line without CRLF.
        """
        data, start = self._data, self._start
        if isinstance(data, bytearray):  # came in several reads
            return None
        end = data.find(b"\r\n\r\n", start, start + limit)
        if end <= start:
            return None
        head = data[start:end]
        lines = head.split(b"\r\n")
        # every control byte must be half of a CRLF between two lines
        if len(head.translate(None, CONTROLS)) != len(head) - 2 * len(lines) + 2:
            return None
        if len(lines[0]) > first_line_limit:
            return None
        self.left_bytes -= end + 4 - start
        self._scanned = 0
        if not self.left_bytes:
            self._data, self._start = b"", 0
        else:
            self._start = end + 4
        return lines

    def take_line(self, limit: int, *, status_hint: int) -> bytes | None:
        """Take one line without its CRLF, at most `limit` bytes long; None if it is not complete.

        Raises RemoteProtocolError for a bare CR or LF, TooLarge (`status_hint`) for a longer line.
        """
        data, start = self._data, self._start
        last = start + limit + 2
        end = data.find(b"\n", start + self._scanned, last)
        if end < 0:
            end = min(len(data), last)
            # a CR at the very end may still become a CRLF: leave it to the next read
            seen = end - 1 if end > start and data[end - 1] == 0x0D else end
            if data.find(b"\r", start + self._scanned, seen) >= 0:
                raise RemoteProtocolError(_BARE)
            if end == last:
                raise TooLarge(f"a line is longer than {limit} bytes", status_hint=status_hint)
            self._scanned = seen - start
            return None
        if data.find(b"\r", start + self._scanned, end) != end - 1 or end == start:
            raise RemoteProtocolError(_BARE)
        line = self.take(end + 1 - start)
        return line[:-2]

    def take_fields(self, limit: int) -> list[bytes] | None:
        """Take the lines of a field section and the empty line that ends it; None if incomplete.

        Returns the lines without their CRLFs, free of control bytes other than tab. Raises
        RemoteProtocolError for a bare CR or LF or another control byte, TooLarge (431) if the
        section, its empty line included, is longer than `limit` bytes.
        """
        data, start = self._data, self._start
        if data.startswith(b"\r\n", start):
            self.take(2)
            return []
        last = start + limit
        found = data.find(b"\r\n\r\n", max(start, start + self._scanned - 3), last)
        if found >= 0:
            lines = self.take(found + 4 - start)[:-4]
            return _split_lines(lines)
        end = min(len(data), last)
        checked = end - 1 if end > start and data[end - 1] == 0x0D else end
        # nothing before `scanned` is a lone CR, so each CR and LF after it must be half of a pair
        _check_pairs(data, start + self._scanned, checked)
        if end == last:
            raise TooLarge(f"the fields of a head are longer than {limit} bytes", status_hint=431)
        self._scanned = checked - start
        return None

    def take_crlf(self, otherwise: str) -> bool:
        """Take a CRLF; False if it is not complete. Raises RemoteProtocolError(otherwise) if it is none."""
        if self._data.startswith(b"\r\n", self._start):
            self.take(2)
            return True
        if self.left_bytes > 1 or self.first_byte() not in (None, 0x0D):
            raise RemoteProtocolError(otherwise)
        return False


def _check_pairs(data: bytes | bytearray, start: int, end: int) -> None:
    pairs = data.count(b"\r\n", start, end)
    if not pairs == data.count(b"\n", start, end) == data.count(b"\r", start, end):
        raise RemoteProtocolError(_BARE)


def _split_lines(section: bytes) -> list[bytes]:
    lines = section.split(b"\r\n")
    # One pass finds every forbidden byte; which one it was matters only when there is one.
    if len(section.translate(None, CONTROLS)) != len(section) - 2 * (len(lines) - 1):
        _check_pairs(section, 0, len(section))
        raise RemoteProtocolError("a control byte is in a field")
    return lines
