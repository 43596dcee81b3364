"""Where HTTP/1.1 lines, field blocks and bodies begin and end; what they say is not read here.

Unread bytes wait in an `Intake`; readers know the three ways a body ends, writers the three ways to
send one. Every limit counts
positions on the wire, not sizes of reads, so a limit holds, and the same offence is found first,
however the bytes were cut. Every search goes on where the last one stopped: time is linear in the
bytes, also when they come one by one. A body that fills a whole read passes without a copy.
The trap: a line that ends in LF alone must fail when its LF is seen, not when a head is complete,
or it is never complete. Source: RFC 9112 sections 2.2, 6 and 7.1.
"""

import re
from typing import Final, Protocol

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.headers import CONTROLS, is_token

MAX_SIZE_LINE_BYTES: Final = 8
"""A chunk size has at most 8 digits (4 GiB less one byte) and nothing after it. Extensions carry no
meaning anyone uses, and two readers of one extension are the way to smuggle."""

MAX_TRAILER_BYTES: Final = 16_384
"""Servers may send trailers (we drop them); none of a Kubernetes API needs more than a few."""

FREE_CHUNKS: Final = 4096
MIN_CHUNK_BYTES: Final = 16
"""After FREE_CHUNKS chunks a client's chunks must hold MIN_CHUNK_BYTES on average: a one-byte chunk
costs its reader about as much as a full one. Real clients send kilobytes in each."""

_CHUNK_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,8}")
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


class BodyReader(Protocol):
    """One way a body ends."""

    def read(self, intake: Intake, pieces: list[bytes]) -> bool:
        """Move what is there of the body to `pieces`; True when it is complete.

        Raises RemoteProtocolError, after adding what came before the offence.
        """
        ...

    @property
    def may_end_at_eof(self) -> bool: ...


class LengthReader:
    """A body of a known number of bytes."""

    __slots__ = ("left",)
    may_end_at_eof = False

    def __init__(self, length: int) -> None:
        self.left = length  # bytes still to come

    def read(self, intake: Intake, pieces: list[bytes]) -> bool:
        if self.left and intake.left_bytes:
            piece = intake.take(self.left)
            self.left -= len(piece)
            pieces.append(piece)
        return not self.left


class UntilCloseReader:
    """The body of a response that ends with the connection."""

    __slots__ = ()
    may_end_at_eof = True

    def read(self, intake: Intake, pieces: list[bytes]) -> bool:
        if intake.left_bytes:
            pieces.append(intake.take(intake.left_bytes))
        return False


class ChunkedReader:
    """A chunked body. From a client: no trailers, and no flood of tiny chunks."""

    __slots__ = ("_chunks", "_from_client", "_left", "_next", "_total")
    may_end_at_eof = False

    _SIZE, _DATA, _DATA_END, _TRAILER = range(4)  # what comes next

    def __init__(self, *, from_client: bool) -> None:
        self._from_client = from_client
        self._next = self._SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._chunks = 0
        self._total = 0  # bytes announced by all chunks so far

    def read(self, intake: Intake, pieces: list[bytes]) -> bool:
        while intake.left_bytes:
            if self._next == self._SIZE:
                line = intake.take_line(MAX_SIZE_LINE_BYTES, status_hint=400)
                if line is None:
                    return False
                self._begin_chunk(line)
            elif self._next == self._DATA:
                piece = intake.take(self._left)
                pieces.append(piece)
                self._left -= len(piece)
                if not self._left:
                    self._next = self._DATA_END
            elif self._next == self._DATA_END:
                if not intake.take_crlf("a chunk is longer than its size says"):
                    return False
                self._next = self._SIZE
            else:
                return self._read_trailer(intake)
        return False

    def _begin_chunk(self, line: bytes) -> None:
        if _CHUNK_SIZE.fullmatch(line) is None:
            raise RemoteProtocolError("a chunk size is not 1 to 8 hexadecimal digits alone")
        self._left = int(line, 16)
        self._next = self._DATA if self._left else self._TRAILER
        if self._from_client and self._left:
            self._chunks += 1
            self._total += self._left
            if self._chunks > FREE_CHUNKS and self._total < self._chunks * MIN_CHUNK_BYTES:
                raise Flooding("a chunked body comes in thousands of tiny chunks")

    def _read_trailer(self, intake: Intake) -> bool:
        # A trailer merged into the head is a way to smuggle a field past a filter: refuse them from
        # clients, drop them unread from servers.
        if self._from_client:
            return intake.take_crlf("a chunked request carries trailers")
        lines = intake.take_fields(MAX_TRAILER_BYTES)
        if lines is None:
            return False
        for line in lines:
            name, colon, _ = line.partition(b":")
            if not colon or not is_token(name):
                raise RemoteProtocolError("a trailer is not a field")
        return True


class BodyWriter(Protocol):
    """One way to write a body: `out` receives wire bytes. Misuse raises LocalProtocolError."""

    def write(self, data: bytes, out: list[bytes]) -> None: ...

    def end(self, out: list[bytes]) -> None: ...


class LengthWriter:
    """Exactly as many bytes as were announced."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def write(self, data: bytes, out: list[bytes]) -> None:
        if len(data) > self._left:
            raise LocalProtocolError(
                f"a body is {len(data) - self._left} bytes longer than its Content-Length"
            )
        self._left -= len(data)
        out.append(data)

    def end(self, out: list[bytes]) -> None:
        if self._left:
            raise LocalProtocolError(f"a body is {self._left} bytes shorter than its Content-Length")


class ChunkedWriter:
    """One chunk for each piece; an empty piece writes nothing, because it would end the body."""

    __slots__ = ()

    def write(self, data: bytes, out: list[bytes]) -> None:
        if data:
            out += (b"%x\r\n" % len(data), data, b"\r\n")

    def end(self, out: list[bytes]) -> None:
        out.append(b"0\r\n\r\n")


class HeadOnlyWriter:
    """No body on the wire: an answer to HEAD drops what a GET would have carried."""

    __slots__ = ()

    def write(self, data: bytes, out: list[bytes]) -> None:
        pass

    def end(self, out: list[bytes]) -> None:
        pass
