"""Events -> lines of a file: appended, synced once a batch, rotated by size. Conduct; blocks.

The file is opened for each batch, so that others may move it away. `FILE.1` is the newest of the old ones.
What a crash leaves half written is ended with a line break before anything is appended: that line is not
JSON, its event follows again, and no reader sees two events in one line. A write that fails is undone.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.outlets.delivery import Delivery
from storage.files import REAL_FILES, FileOps, write_all

LINE_END: Final = b"\n"
MAX_PARTS: Final = 512
"""Buffers of one write: the kernel takes 1024 (IOV_MAX)."""


class FileSink:
    """Appends to one file, which is ours alone to write. keep_files: rotated ones beside the current."""

    def __init__(
        self, path: Path, *, rotate_bytes: int, keep_files: int, files: FileOps = REAL_FILES
    ) -> None:
        self._path, self._rotate_bytes, self._keep_files = path, rotate_bytes, keep_files
        self._files = files

    def deliver(self, events: Sequence[bytes]) -> Delivery:
        """All of the events are on the disk, or none of them is."""
        if not events:
            return Delivery(0)
        try:
            self._append([part for event in events for part in (event, LINE_END)])
        except OSError as error:
            return Delivery(0, problem=f"{self._path}: {error.strerror or error}")
        return Delivery(len(events))

    def close(self) -> None:
        """Nothing is held between batches."""

    def _append(self, parts: list[bytes]) -> None:
        fd, is_new = self._open()
        try:
            size = self._files.size(fd)
            added = sum(map(len, parts))
            if size and size + added > self._rotate_bytes:
                self._files.close(fd)
                fd = -1
                self._rotate()
                fd, is_new = self._open()
                size = 0
            start = size + self._end_torn_line(fd, size)
            try:
                self._write(fd, parts, start)
                self._files.sync_data(fd)
            except OSError:
                self._files.truncate(fd, start)
                raise
            if is_new:
                self._files.sync_directory(self._path.parent)
        finally:
            if fd >= 0:
                self._files.close(fd)

    def _open(self) -> tuple[int, bool]:
        """The file to write, and whether it was made."""
        try:
            return self._files.open_write(self._path), False
        except FileNotFoundError:
            self._files.make_directory(self._path.parent)
            return self._files.create(self._path), True

    def _write(self, fd: int, parts: list[bytes], at: int) -> None:
        for first in range(0, len(parts), MAX_PARTS):
            at += write_all(self._files, fd, parts[first : first + MAX_PARTS], at)

    def _end_torn_line(self, fd: int, size: int) -> int:
        """How many bytes it took to begin on a line of our own."""
        if size == 0 or self._files.read(fd, 1, size - 1) == LINE_END:
            return 0
        return write_all(self._files, fd, [LINE_END], size)

    def _rotate(self) -> None:
        """FILE -> FILE.1 -> FILE.2 ...; the oldest goes. Stopped half-way it only leaves a number free."""
        names = [self._path, *(self._numbered(number) for number in range(1, self._keep_files + 1))]
        present = set(self._files.names(self._path.parent))
        if names[-1].name in present:
            self._files.remove(names[-1])
        for source, target in reversed(list(itertools.pairwise(names))):
            if source.name in present:
                self._files.rename(source, target)
        self._files.sync_directory(self._path.parent)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
