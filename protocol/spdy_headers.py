"""SPDY/3 header blocks: name/value pairs, compressed, to `Headers` and back.

Each direction of a connection has one zlib stream for its whole life, primed with a dictionary and
flushed after every block. So a decoder must see every block of its direction in order, even those
of streams nobody wants, and after one bad block nothing of that direction can be read any more.

The trap: 16 KiB of zlib are 16 MiB of zeros. Inflating is bounded here, never by the caller.
Sources: draft-mbelshe-httpbis-spdy-00, section 2.6.10; moby/spdystream, spdy/read.go.
"""

import re
import struct
import zlib
from functools import lru_cache
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import Headers

MAX_BLOCK_BYTES: Final = 64 * 1024
"""Longest block once inflated. Kubernetes needs some 60 bytes; spdystream would take gigabytes."""

MAX_PAIRS: Final = 256
"""Most values in one block. Kubernetes sends at most four."""

MAX_REMEMBERED_BYTES: Final = 128
"""Longest inflated block whose meaning is kept: that of a command's channels is the same for every command."""

FORBIDDEN_NAMES: Final = frozenset(
    (b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding")
)
"""They describe a hop of HTTP/1.1; spdystream closes the connection when it meets one."""

_WORDS: Final = (
    b"options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges"
    b" age allow authorization cache-control connection content-base content-encoding content-language"
    b" content-length content-location content-md5 content-range content-type date etag expect expires from"
    b" host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location"
    b" max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer"
    b" transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK"
    b" version HTTP/1.1 url public set-cookie keep-alive origin"
)

_TEXT: Final = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    b"203 Non-Authoritative Information"
    b"204 No Content"
    b"301 Moved Permanently"
    b"400 Bad Request"
    b"401 Unauthorized"
    b"403 Forbidden"
    b"404 Not Found"
    b"500 Internal Server Error"
    b"501 Not Implemented"
    b"503 Service Unavailable"
    b"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    b"chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    b"text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)

DICTIONARY: Final = (
    b"".join(
        struct.pack(">I", len(word)) + word.replace(b"_", b" ")  # "200 OK" is one word
        for word in _WORDS.split()
    )
    + _TEXT
)
"""What both ends prime their zlib streams with: words with their length, then plain text."""

_NUMBER: Final = struct.Struct(">I")
_NAME: Final = re.compile(rb"[!-@\[-~]+")  # visible ASCII without capitals: ":path" is a name too


class HeaderDecoder:
    """The zlib stream of one receiving direction. Useless after the first error: drop the connection."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zdict=DICTIONARY)

    def decode(self, block: bytes) -> Headers:
        """Decode the block of one frame; feed it every block of the direction, in order.

        A name with several values comes as several pairs. Raises RemoteProtocolError, or TooLarge
        when the block inflates to more than MAX_BLOCK_BYTES or has more than MAX_PAIRS values.
        """
        try:
            plain = self._inflater.decompress(block, MAX_BLOCK_BYTES + 1)
        except zlib.error:
            raise RemoteProtocolError("SPDY header block: not the zlib stream it should be") from None
        # One byte over the limit was asked for, so a shorter result means that zlib holds nothing back.
        if len(plain) > MAX_BLOCK_BYTES:
            raise TooLarge(f"SPDY header block: more than {MAX_BLOCK_BYTES} bytes inflated", status_hint=431)
        if self._inflater.eof:
            raise RemoteProtocolError("SPDY header block: the zlib stream was finished, not flushed")
        return _parse_known(plain) if len(plain) <= MAX_REMEMBERED_BYTES else _parse_pairs(plain)


class HeaderEncoder:
    """The zlib stream of one sending direction: encode a block only if it is going to be sent."""

    def __init__(self) -> None:
        # A window of 2 KiB holds the dictionary; the usual 32 KiB would cost 256 KiB per direction
        # for blocks of 60 bytes. Chromium's SPDY used these very parameters.
        self._deflater = zlib.compressobj(9, zlib.DEFLATED, 11, 1, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)

    def encode(self, headers: Headers) -> bytes:
        """Encode one block; pairs of the same name become one name with several values.

        Raises LocalProtocolError for what `HeaderDecoder` would refuse.
        """
        plain = _write_pairs(headers)
        return self._deflater.compress(plain) + self._deflater.flush(zlib.Z_SYNC_FLUSH)


@lru_cache(maxsize=64)
def _write_pairs(headers: Headers) -> bytes:
    """The plain block. Remembered are our own few, and the first connections of a port-forward."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if b"\0" in value:
            raise LocalProtocolError("SPDY header: a value contains NUL, which separates values")
        values.setdefault(name, []).append(value)
    plain = _NUMBER.pack(len(values)) + b"".join(
        _field(name) + _field(b"\0".join(found)) for name, found in values.items()
    )
    try:
        _parse_pairs(plain)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"cannot send this: {error.why}") from None
    if len(plain) > MAX_BLOCK_BYTES:
        raise LocalProtocolError(f"cannot send a SPDY header block above {MAX_BLOCK_BYTES} bytes")
    return plain


def _field(data: bytes) -> bytes:
    return _NUMBER.pack(len(data)) + data


def _parse_pairs(plain: bytes) -> Headers:
    count, position = _take_number(plain, 0)
    # Eight bytes is the least a pair takes: check before looping, not after.
    if count > MAX_PAIRS or count * 8 > len(plain) - position:
        raise TooLarge(f"SPDY header block: announces {count} pairs, more than fit", status_hint=431)
    pairs: list[tuple[bytes, bytes]] = []
    seen: set[bytes] = set()
    for _ in range(count):
        name, position = _take_field(plain, position)
        value, position = _take_field(plain, position)
        if not _NAME.fullmatch(name):
            raise RemoteProtocolError("SPDY header block: a name is empty, not visible ASCII or has capitals")
        if name in seen:
            raise RemoteProtocolError("SPDY header block: a name occurs twice")
        if name in FORBIDDEN_NAMES:
            raise RemoteProtocolError("SPDY header block: a name that HTTP/1.1 keeps for its hops")
        seen.add(name)
        values = value.split(b"\0")
        if len(values) > 1 and not all(values):
            raise RemoteProtocolError("SPDY header block: an empty value among several")
        pairs.extend((name, each) for each in values)
    if len(pairs) > MAX_PAIRS:
        raise TooLarge(f"SPDY header block: more than {MAX_PAIRS} values", status_hint=431)
    if position != len(plain):
        # spdystream would read these bytes as the beginning of the next block.
        raise RemoteProtocolError("SPDY header block: bytes after the last pair")
    return tuple(pairs)


_parse_known: Final = lru_cache(maxsize=256)(_parse_pairs)


def _take_number(plain: bytes, position: int) -> tuple[int, int]:
    if len(plain) - position < _NUMBER.size:
        raise RemoteProtocolError("SPDY header block: ends inside a length")
    (number,) = _NUMBER.unpack_from(plain, position)
    return number, position + _NUMBER.size


def _take_field(plain: bytes, position: int) -> tuple[bytes, int]:
    length, position = _take_number(plain, position)
    if length > len(plain) - position:
        raise RemoteProtocolError("SPDY header block: a length exceeds the block")
    return plain[position : position + length], position + length
