"""A real program's file operations, written down as they happen: every disk a power cut could leave, afterwards.

`install` makes the product's own file operations (`storage.files.RealFiles`) note what they do; `read_notes` gives
the notes of any number of processes in the order of time, for `write_replay` to make disks of. The idea is that of
the kernel's dm-log-writes target, one level up: there blocks, here FileOps. A write is noted before it is made, a sync
after it returned, so whatever a client was told later than a note is durable in every disk from that note on.
"""

import os
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.files import RealFiles

CREATE, ADOPT, WRITE, TRUNCATE, SYNC, RENAME, REMOVE, SYNC_NAMES = range(8)
_LENGTH: Final = struct.Struct("<I")
SUFFIX_NOTES: Final = ".notes"


class Note(msgspec.Struct, array_like=True):
    """One operation. file: number of an inode in this process, 0 for one only known by its path. number: offset or
    size, or, of a sync, when it began (UTC nanoseconds). zeros: so many zero bytes instead of `data`."""

    at_ns: int
    kind: int
    file: int = 0
    path: str = ""
    target: str = ""
    number: int = 0
    data: bytes = b""
    zeros: int = 0

    def content(self) -> bytes:
        return self.data or bytes(self.zeros)


class _Notebook:
    """The notes of this process, and which descriptor and name is which file."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._encode = msgspec.msgpack.Encoder().encode
        self._files = 0
        self.by_fd: dict[int, int] = {}
        self.read_only: dict[int, Path] = {}  # a file may be synced through such a descriptor, too
        self._by_path: dict[str, int] = {}

    def note(self, kind: int, **facts: object) -> None:
        with self._lock:
            self._write(kind, facts)

    def _write(self, kind: int, facts: dict[str, object]) -> None:
        data = self._encode(Note(time.time_ns(), kind, **facts))  # type: ignore[arg-type]
        os.write(self._fd, _LENGTH.pack(len(data)) + data)

    def created(self, path: Path, fd: int) -> None:
        with self._lock:
            self._files += 1
            self.by_fd[fd] = self._by_path[str(path)] = self._files
            self._write(CREATE, {"file": self._files, "path": str(path)})

    def opened(self, path: Path, fd: int) -> None:
        """A file made by somebody else counts as durable as it is now."""
        with self._lock:
            if str(path) not in self._by_path:
                self._files += 1
                self._by_path[str(path)] = self._files
                facts = {"file": self._files, "path": str(path), "data": path.read_bytes()}
                self._write(ADOPT, facts)
            self.by_fd[fd] = self._by_path[str(path)]

    def renamed(self, source: Path, target: Path) -> None:
        with self._lock:
            number = self._by_path.pop(str(source), None)
            if number is not None:
                self._by_path[str(target)] = number
            self._write(RENAME, {"path": str(source), "target": str(target)})

    def removed(self, path: Path) -> None:
        with self._lock:
            self._by_path.pop(str(path), None)
            self._write(REMOVE, {"path": str(path)})


def install(directory: Path) -> None:
    """From now on every writing file operation of this process is noted in a file of this directory."""
    book = _Notebook(directory / f"{os.getpid()}-{time.time_ns()}{SUFFIX_NOTES}")
    create, open_write, write = RealFiles.create, RealFiles.open_write, RealFiles.write
    open_read = RealFiles.open_read
    rename, remove, close = RealFiles.rename, RealFiles.remove, RealFiles.close
    truncate, sync_directory = RealFiles.truncate, RealFiles.sync_directory

    def noted_create(self: RealFiles, path: Path) -> int:
        fd = create(self, path)
        book.created(path, fd)
        return fd

    def noted_open_write(self: RealFiles, path: Path) -> int:
        fd = open_write(self, path)
        book.opened(path, fd)
        return fd

    def noted_open_read(self: RealFiles, path: Path) -> int:
        fd = open_read(self, path)
        book.read_only[fd] = path
        return fd

    def noted_write(self: RealFiles, fd: int, parts: Sequence[bytes], offset: int) -> int:
        data = b"".join(parts)
        if file := book.by_fd.get(fd):
            is_zero = not data.strip(b"\0")
            facts: dict[str, object] = {"zeros": len(data)} if is_zero else {"data": data}
            book.note(WRITE, file=file, number=offset, **facts)
        return write(self, fd, parts, offset)

    def noted_truncate(self: RealFiles, fd: int, size: int) -> None:
        if file := book.by_fd.get(fd):
            book.note(TRUNCATE, file=file, number=size)
        truncate(self, fd, size)

    def noted_sync(sync: Callable[[RealFiles, int], None]) -> Callable[[RealFiles, int], None]:
        def noted(self: RealFiles, fd: int) -> None:
            began_ns = time.time_ns()
            sync(self, fd)
            if file := book.by_fd.get(fd):
                book.note(SYNC, file=file, number=began_ns)
            elif path := book.read_only.get(fd):
                book.note(SYNC, path=str(path), number=began_ns)

        return noted

    def noted_rename(self: RealFiles, source: Path, target: Path) -> None:
        book.renamed(source, target)
        rename(self, source, target)

    def noted_remove(self: RealFiles, path: Path) -> None:
        book.removed(path)
        remove(self, path)

    def noted_sync_directory(self: RealFiles, path: Path) -> None:
        began_ns = time.time_ns()
        sync_directory(self, path)
        book.note(SYNC_NAMES, path=str(path), number=began_ns)

    def noted_close(self: RealFiles, fd: int) -> None:
        book.by_fd.pop(fd, None)
        book.read_only.pop(fd, None)
        close(self, fd)

    for name, noted in {
        "create": noted_create,
        "open_write": noted_open_write,
        "open_read": noted_open_read,
        "write": noted_write,
        "truncate": noted_truncate,
        "sync_data": noted_sync(RealFiles.sync_data),
        "sync": noted_sync(RealFiles.sync),
        "rename": noted_rename,
        "remove": noted_remove,
        "sync_directory": noted_sync_directory,
        "close": noted_close,
    }.items():
        setattr(RealFiles, name, noted)


class Noted(msgspec.Struct):
    """A note and its process."""

    process: str
    note: Note


def read_notes(directory: Path) -> list[Noted]:
    """The notes of all processes in the order of time; what a killed one had half written is left out."""
    found: list[Noted] = []
    decode = msgspec.msgpack.Decoder(Note).decode
    for path in sorted(directory.glob(f"*{SUFFIX_NOTES}")):
        data, at = path.read_bytes(), 0
        while at + _LENGTH.size <= len(data):
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                break
            found.append(Noted(path.stem, decode(data[at + _LENGTH.size : end])))
            at = end
    found.sort(key=lambda one: one.note.at_ns)
    return found
