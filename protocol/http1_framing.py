"""Where HTTP/1.1 bodies begin and end: the three ways to read one, and the three ways to send one.

Unread bytes wait in an `Intake` (`http1_intake`). Limits count bytes on the wire, however they were cut.
The trap: what came before an offence counts, so a reader hands it out before it raises.
Source: RFC 9112 sections 6 and 7.1.
"""

import re
from typing import Final, Protocol

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError
from protocol.headers import is_token
from protocol.http1_intake import Intake

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
