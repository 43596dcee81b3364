"""Bytes of a tar archive -> its members, as they pass: names, sizes, kinds, links.

ustar, pax headers and GNU long names, cut anywhere. It reads for a judge, so it is strict where programs read the same
bytes differently (a directory with content, a lone block of zeros, sparse files): there the last event is NotTar, and
nothing after it is interpreted. It never raises.

The trap: a member's data is counted by the size in its header, whatever the data looks like.
Sources: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"; Go archive/tar, which kubectl
uses.
"""

from collections.abc import Generator
from enum import Enum
from typing import Final, TypeAlias

import msgspec

BLOCK_BYTES: Final = 512

MAX_HEADER_BYTES: Final = 64 * 1024
"""Longest pax header or long name: PATH_MAX is 4096."""

MAX_SIZE_DIGITS: Final = 20
"""Of a size in a pax header: 64 bits."""


class MemberKind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARD_LINK = "hard link"
    OTHER = "other"  # devices, pipes, kinds of other programs


class MemberStarted(msgspec.Struct, frozen=True):
    """A member begins. size_bytes: of its data; link: where a link leads, as written."""

    name: str
    size_bytes: int
    kind: MemberKind
    link: str = ""


class MemberData(msgspec.Struct, frozen=True):
    data: bytes


class MemberEnded(msgspec.Struct, frozen=True):
    """All data of the member has passed."""


class ArchiveEnded(msgspec.Struct, frozen=True):
    """Two blocks of zeros: only zeros may follow."""


class NotTar(msgspec.Struct, frozen=True):
    """What came is no archive that all programs read the same way. Always the last event."""

    reason: str


TarEvent: TypeAlias = MemberStarted | MemberData | MemberEnded | ArchiveEnded | NotTar

_KINDS: Final = {
    b"\0": MemberKind.FILE,
    b"0": MemberKind.FILE,
    b"7": MemberKind.FILE,
    b"1": MemberKind.HARD_LINK,
    b"2": MemberKind.SYMLINK,
    b"5": MemberKind.DIRECTORY,
}
_WITHOUT_DATA: Final = frozenset(b"123456")
_PAX_KEYS: Final = frozenset((b"path", b"linkpath", b"size"))
_ZEROS: Final = bytes(BLOCK_BYTES)


class _Unreadable(Exception):
    """Becomes NotTar."""


class TarReader:
    """One archive. `receive(b"")` is its end."""

    def __init__(self) -> None:
        self._buffer = bytearray()  # less than MAX_HEADER_BYTES and one input
        self._events: list[TarEvent] = []
        self._has_ended = False
        self._parser: Generator[None, None, None] | None = self._parse()
        next(self._parser)

    def receive(self, data: bytes) -> list[TarEvent]:
        """Take in bytes; what they complete."""
        self._buffer += data
        self._has_ended = not data
        if self._parser is not None:
            try:
                next(self._parser)
            except _Unreadable as why:
                self._events.append(NotTar(str(why)))
                self._parser = None
            except StopIteration:
                self._parser = None
        if self._parser is None:
            self._buffer.clear()
        events, self._events = self._events, []
        return events

    # --- the parser: reads top-down, waits in `_wait` -----------------------------------------------

    def _parse(self) -> Generator[None, None, None]:
        yield
        extra: dict[bytes, bytes] = {}
        while (yield from self._has_more()):
            block = yield from self._take(BLOCK_BYTES)
            if block == _ZEROS:
                yield from self._end()
                return
            size, kind = _checked(block)
            if kind in b"xgLK":
                extra |= _extra(kind, (yield from self._take_padded(size)))
                continue
            yield from self._member(_member(block, extra))
            extra = {}

    def _member(self, member: MemberStarted) -> Generator[None, None, None]:
        self._events.append(member)
        left = member.size_bytes
        while left:
            yield from self._wait(1)
            data = bytes(self._buffer[:left])
            del self._buffer[: len(data)]
            left -= len(data)
            self._events.append(MemberData(data))
        self._events.append(MemberEnded())
        yield from self._take(-member.size_bytes % BLOCK_BYTES)

    def _end(self) -> Generator[None, None, None]:
        if (yield from self._take(BLOCK_BYTES)) != _ZEROS:
            raise _Unreadable("a lone block of zeros")
        self._events.append(ArchiveEnded())
        while not self._has_ended:
            if self._buffer.strip(b"\0"):
                raise _Unreadable("bytes after the end of the archive")
            self._buffer.clear()
            yield

    def _take_padded(self, size: int) -> Generator[None, None, bytes]:
        if size > MAX_HEADER_BYTES:
            raise _Unreadable(f"a header is longer than {MAX_HEADER_BYTES} bytes")
        content = yield from self._take(size + -size % BLOCK_BYTES)
        return content[:size]

    def _take(self, size: int) -> Generator[None, None, bytes]:
        yield from self._wait(size)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _has_more(self) -> Generator[None, None, bool]:
        """Programs accept an archive that ends behind a member."""
        while not self._buffer and not self._has_ended:
            yield
        return bool(self._buffer)

    def _wait(self, size: int) -> Generator[None, None, None]:
        while len(self._buffer) < size:
            if self._has_ended:
                raise _Unreadable("the archive is cut")
            yield


# --- headers --------------------------------------------------------------------------------------


def _checked(block: bytes) -> tuple[int, bytes]:
    """Size and kind of a header whose checksum is right."""
    stated = _number(block[148:156])
    rest = block[:148] + b" " * 8 + block[156:]
    signed = sum(rest) - 256 * sum(1 for byte in rest if byte > 127)
    if stated not in (sum(rest), signed):
        raise _Unreadable("no tar header where one must be")
    return _number(block[124:136]), block[156:157]


def _number(field: bytes) -> int:
    """Octal digits, or base 256 for large ones (GNU)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise _Unreadable("a number in a header is none")
    return int(digits or b"0", 8)


def _member(block: bytes, extra: dict[bytes, bytes]) -> MemberStarted:
    kind = block[156:157]
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345:500].strip(b"\0"):
        name = _text(block[345:500]) + b"/" + name
    name = extra.get(b"path", name)
    size = int(extra[b"size"]) if b"size" in extra else _number(block[124:136])
    if kind == b"S" or (size and kind[0] in _WITHOUT_DATA):
        raise _Unreadable("a member whose data programs read differently")
    is_directory = kind in b"\x000" and name.endswith(b"/")
    if is_directory and size:
        raise _Unreadable("a directory with data")
    return MemberStarted(
        name.decode(errors="backslashreplace"),
        size,
        MemberKind.DIRECTORY if is_directory else _KINDS.get(kind, MemberKind.OTHER),
        extra.get(b"linkpath", _text(block[157:257])).decode(errors="backslashreplace"),
    )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _extra(kind: bytes, content: bytes) -> dict[bytes, bytes]:
    """What a pax header or a GNU long name says about the next member."""
    if kind in b"LK":
        return {b"path" if kind == b"L" else b"linkpath": _text(content)}
    records = _pax_records(content)
    if any(key.startswith(b"GNU.sparse") for key in records) or (kind == b"g" and _PAX_KEYS & records.keys()):
        raise _Unreadable("a pax header that programs read differently")
    size = records.get(b"size", b"0")
    if (
        not size.isdigit()
        or len(size) > MAX_SIZE_DIGITS
        or any(b"\0" in records.get(key, b"") for key in _PAX_KEYS)
    ):
        raise _Unreadable("a pax header with a bad value")
    return {key: value for key, value in records.items() if key in _PAX_KEYS}


def _pax_records(content: bytes) -> dict[bytes, bytes]:
    """`<length> <key>=<value>\\n`, again and again."""
    records: dict[bytes, bytes] = {}
    while content:
        length = content.partition(b" ")[0]
        if not length.isdigit() or len(length) > 6 or not len(length) + 2 < int(length) <= len(content):
            raise _Unreadable("a pax header is damaged")
        record, content = content[: int(length)], content[int(length) :]
        key, equals, value = record[len(length) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise _Unreadable("a pax header is damaged")
        records[key] = value[:-1]
    return records
