"""Rows of one table and one segment as a file: JSON lines in one zstd frame, `<stem>.ndjson.zst`.

Conduct: the same rows give the same bytes, and a file has its name only when it is complete and durable,
so a row file may be made again at any time. Names and places are of `rows_state`. The trap: a frame that
was cut short decompresses without complaint up to the cut; the reader looks for its end.

Athena, Trino, Spark and DuckDB read these files as they are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from storage.errors import UNDECODABLE, StorageError
from storage.files import FileOps, write_all
from storage.lake.rows import TABLES, Row

SUFFIX_ROWS: Final = ".ndjson.zst"
SUFFIX_UNFINISHED: Final = ".tmp"
LEVEL: Final = 3
"""120 bytes and 2 us a row of api_calls; level 6 takes four times as long for 7 % less."""
CHUNK_BYTES: Final = 256 * 1024
"""JSON compressed at a time: also what a writer holds in memory."""
SLICE_BYTES: Final = 1024
"""Compressed bytes taken at a time when reading: of the worst frame they make 32 MiB."""
MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""A row is some KiB; the longest request head and the longest text together are below this."""

_ENCODER: Final = msgspec.json.Encoder()


class GarbledRows(StorageError):
    """A row file cannot be read. It is made from the log: delete the log's rows, they are made again."""


class RowsFile:
    """One file being written. `finish` or `abandon` it. Every method raises OSError."""

    def __init__(self, files: FileOps, path: Path) -> None:
        self.path, self.rows, self.bytes = path, 0, 0
        self._files = files
        self._unfinished = path.with_name(path.name + SUFFIX_UNFINISHED)
        self._compress = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        self._buffer = bytearray()
        files.make_directory(path.parent)
        self._fd = files.create(self._unfinished)

    def add(self, row: Row) -> None:
        _ENCODER.encode_into(row, self._buffer, -1)
        self._buffer += b"\n"
        self.rows += 1
        if len(self._buffer) >= CHUNK_BYTES:
            self._write(self._compress.compress(self._buffer))
            self._buffer.clear()

    def finish(self) -> None:
        """The file is complete; it is durable under its name on return."""
        try:
            self._write(self._compress.compress(self._buffer) + self._compress.flush())
            self._files.sync(self._fd)
        finally:
            self._files.close(self._fd)
        self._files.rename(self._unfinished, self.path)
        self._files.sync_directory(self.path.parent)

    def abandon(self) -> None:
        """Leave no file behind but an unfinished one, which the next attempt overwrites."""
        self._files.close(self._fd)

    def _write(self, data: bytes) -> None:
        self.bytes += write_all(self._files, self._fd, [data], self.bytes)


def read_rows(path: Path, table: str, *, files: FileOps) -> Iterator[Row]:
    """The rows of a file. Raises GarbledRows with the number of the line, OSError."""
    decoder = msgspec.json.Decoder(TABLES[table])
    for number, line in enumerate(_lines(path, files), 1):
        try:
            row: Row = decoder.decode(line)
        except UNDECODABLE as error:
            raise GarbledRows(f"{path.name} line {number}: {error}") from error
        yield row


def _lines(path: Path, files: FileOps) -> Iterator[bytes]:
    fd = files.open_read(path)
    try:
        rest = b""
        for data in _decompressed(path, files, fd):
            *lines, rest = (rest + data).split(b"\n")
            if max(map(len, (rest, *lines))) > MAX_LINE_BYTES:
                raise GarbledRows(f"{path.name}: a line of more than {MAX_LINE_BYTES} bytes")
            yield from lines
        if rest:
            raise GarbledRows(f"{path.name}: the last line has no end")
    finally:
        files.close(fd)


def _decompressed(path: Path, files: FileOps, fd: int) -> Iterator[bytes]:
    frame = zstandard.ZstdDecompressor().decompressobj()
    offset = 0
    while data := files.read(fd, SLICE_BYTES, offset):
        if frame.eof:
            raise GarbledRows(f"{path.name}: bytes behind the end of the frame, at {offset}")
        try:
            yield frame.decompress(data)
        except zstandard.ZstdError as error:
            raise GarbledRows(f"{path.name} at byte {offset}: {error}") from error
        offset += len(data)
    if not frame.eof or frame.unused_data:
        raise GarbledRows(f"{path.name}: the file was cut, or something was added to it")
