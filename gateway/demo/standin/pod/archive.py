"""tar as a stream: entries out of bytes, bytes out of entries, nothing held but a header.

Sans-IO. Reads ustar, GNU long names and pax names; writes what the standard library writes. The trap:
an archive ends with two blocks of zeros, but more zeros may follow up to the record size.
Source: POSIX pax interchange format; Python tarfile for the header blocks.
"""

import tarfile
from typing import Final, TypeAlias

import msgspec

BLOCK_BYTES: Final = 512
MAX_EXTENSION_BYTES: Final = 64 * 1024
"""Longest pax or long-name record: names, not data."""


class Entry(msgspec.Struct, frozen=True):
    """A member begins. name: as written in the archive. Its data follows, `size_bytes` of it."""

    name: str
    size_bytes: int
    mode: int
    is_directory: bool
    is_file: bool


class EntryData(msgspec.Struct, frozen=True):
    data: bytes


class EntryEnd(msgspec.Struct, frozen=True):
    """The member is complete."""


ArchiveEvent: TypeAlias = Entry | EntryData | EntryEnd


class ArchiveReader:
    """Feed it bytes, get entries. Raises ValueError on what is no tar archive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0  # bytes of data still to come
        self._padding = 0
        self._extension: bytearray | None = None
        self._extension_type = b""
        self._next_name: str | None = None
        self._ended = False

    def receive(self, data: bytes) -> list[ArchiveEvent]:
        """Take in bytes; what they complete."""
        events: list[ArchiveEvent] = []
        self._buffer += data
        while not self._ended:
            if self._left or self._padding:
                if not self._buffer:
                    break
                self._take_data(events)
            elif len(self._buffer) >= BLOCK_BYTES:
                block = bytes(self._buffer[:BLOCK_BYTES])
                del self._buffer[:BLOCK_BYTES]
                self._take_header(block, events)
            else:
                break
        if self._ended:
            self._buffer.clear()
        return events

    @property
    def is_complete(self) -> bool:
        """No member is cut short."""
        return not (self._left or self._buffer or self._extension is not None)

    def _take_data(self, events: list[ArchiveEvent]) -> None:
        taken = bytes(self._buffer[: self._left])
        if taken:
            del self._buffer[: len(taken)]
            self._left -= len(taken)
            if self._extension is not None:
                self._extension += taken
            else:
                events.append(EntryData(taken))
            if not self._left:
                self._finish(events)
        if not self._left and self._padding:
            dropped = min(self._padding, len(self._buffer))
            del self._buffer[:dropped]
            self._padding -= dropped

    def _take_header(self, block: bytes, events: list[ArchiveEvent]) -> None:
        if block == bytes(BLOCK_BYTES):
            self._ended = True
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise ValueError("this does not look like a tar archive") from error
        self._left = info.size if not info.isdir() else 0
        self._padding = -self._left % BLOCK_BYTES
        if info.type in (b"x", b"g", b"L", b"K"):
            if info.size > MAX_EXTENSION_BYTES:
                raise ValueError("an extended header is too long")
            self._extension, self._extension_type = bytearray(), info.type
        else:
            name = self._next_name or info.name
            self._next_name = None
            events.append(Entry(name, self._left, info.mode, info.isdir(), info.isreg()))
        if not self._left:
            self._finish(events)

    def _finish(self, events: list[ArchiveEvent]) -> None:
        if self._extension is None:
            events.append(EntryEnd())
            return
        content, self._extension = bytes(self._extension), None
        if self._extension_type == b"L":
            self._next_name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif self._extension_type == b"x":
            self._next_name = _pax_path(content) or self._next_name


def _pax_path(content: bytes) -> str | None:
    """The path among pax records, each `length key=value\\n`."""
    at = 0
    while at < len(content):
        blank = content.find(b" ", at)
        if blank < 0 or not content[at:blank].isdigit() or not int(content[at:blank]):
            raise ValueError("malformed pax header")
        record = content[blank + 1 : at + int(content[at:blank]) - 1]
        key, _, value = record.partition(b"=")
        if key == b"path":
            return value.decode("utf-8", "surrogateescape")
        at += int(content[at:blank])
    return None


def encode_entry(entry: Entry, modified_s: int) -> bytes:
    """The header of a member; its data, then `padding`, follow."""
    info = tarfile.TarInfo(entry.name)
    info.size, info.mode, info.mtime = entry.size_bytes, entry.mode, modified_s
    info.type = tarfile.DIRTYPE if entry.is_directory else tarfile.REGTYPE
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(size_bytes: int) -> bytes:
    """Zeros up to the next block."""
    return bytes(-size_bytes % BLOCK_BYTES)


END_OF_ARCHIVE: Final = bytes(2 * BLOCK_BYTES)
