"""The file operations of the log, behind an interface that tests can make fail.

Every byte the log reads or writes goes through `FileOps`, so the same code runs on real files, on files
that fail at the k-th call, and on a model of what a power cut leaves. All of it blocks; all of it raises
OSError, which the callers translate. The trap: a rename or a new file is durable only after
`sync_directory`, and after a failed `sync_data` Linux marks the pages clean, so nothing here retries.

`filesystem_of` reads /proc/self/mountinfo, since statvfs does not say the type (proc(5)).
"""

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final, Protocol

import msgspec

from storage.errors import LogFailed

CHUNK_BYTES: Final = 1024 * 1024
"""As much of a large file as is read at once."""

LOOK_S: Final = 0.1
"""How long somebody who looks at a lock may hold it: microseconds, unless he is interrupted just then."""
MOUNTINFO: Final = Path("/proc/self/mountinfo")
OVERWRITES_IN_PLACE: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs"})
"""Where overwriting an allocated block needs no new space, so that spare segments are a reserve on a full
disk. Copy-on-write (btrfs, zfs), overlayfs and network filesystems promise nothing of the kind."""


class FileOps(Protocol):
    """What the log asks of a file system. Offsets and sizes in bytes; descriptors are plain ints."""

    def make_directory(self, directory: Path) -> None:
        """Create it and its parents (mode 0700) with durable names; an existing one is fine."""

    def names(self, directory: Path) -> list[str]: ...

    def lock(self, path: Path) -> int:
        """Create if need be, lock exclusively. Raises BlockingIOError when another holds it."""

    def create(self, path: Path) -> int:
        """A new empty file (mode 0600), or an old one cut to nothing, open for writing."""

    def open_write(self, path: Path) -> int: ...

    def open_read(self, path: Path) -> int: ...

    def size(self, fd: int) -> int: ...

    def read(self, fd: int, length: int, offset: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> int:
        """Write the parts one after the other; returns how many bytes were taken (fewer: short write)."""

    def sync_data(self, fd: int) -> None:
        """The data, and as much metadata as is needed to find it, is on the disk."""

    def sync(self, fd: int) -> None: ...

    def truncate(self, fd: int, size: int) -> None: ...

    def rename(self, source: Path, target: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def sync_directory(self, directory: Path) -> None: ...

    def close(self, fd: int) -> None: ...

    def space(self, directory: Path) -> "Space": ...


class Space(msgspec.Struct, frozen=True):
    """Of one file system, as an unprivileged writer sees it."""

    free_bytes: int
    total_bytes: int


def _lock_unless_held(fd: int) -> None:
    """Who only looks whether it is locked (`storage.sources.is_locked`) has it shared for an instant: not in our way."""
    give_up_s = time.monotonic() + LOOK_S
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_s:
                raise
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # not to be had either: it is held
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(LOOK_S / 100)


class RealFiles:
    """FileOps on the operating system's files."""

    def make_directory(self, directory: Path) -> None:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            self.sync_directory(path.parent)

    def names(self, directory: Path) -> list[str]:
        return os.listdir(directory)

    def lock(self, path: Path) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock_unless_held(fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def open_write(self, path: Path) -> int:
        return os.open(path, os.O_RDWR)

    def open_read(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, length: int, offset: int) -> bytes:
        data = os.pread(fd, length, offset)
        while data and len(data) < length:
            more = os.pread(fd, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> int:
        return os.pwritev(fd, parts, offset)

    def sync_data(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync(self, fd: int) -> None:
        os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def sync_directory(self, directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def space(self, directory: Path) -> Space:
        facts = os.statvfs(directory)
        return Space(facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize)


REAL_FILES: Final[FileOps] = RealFiles()


def write_all(files: FileOps, fd: int, parts: Sequence[bytes], offset: int) -> int:
    """Write all parts or raise OSError: a short write means a full disk or a quota, and is final."""
    expected = sum(map(len, parts))
    taken = files.write(fd, parts, offset)
    if taken != expected:
        why = f"short write: {taken} of {expected} bytes taken at {offset}"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({why})")
    return expected


def read_start(files: FileOps, path: Path, length: int) -> bytes:
    """The first `length` bytes of a file, fewer where it is shorter. Raises OSError."""
    fd = files.open_read(path)
    try:
        return files.read(fd, length, 0)
    finally:
        files.close(fd)


def file_size(files: FileOps, path: Path) -> int:
    """Bytes of a file. Raises OSError."""
    fd = files.open_read(path)
    try:
        return files.size(fd)
    finally:
        files.close(fd)


def measure(files: FileOps, path: Path) -> tuple[int, bytes]:
    """Size and SHA-256 of a file, read in pieces. Raises OSError."""
    fd = files.open_read(path)
    try:
        size, digest = files.size(fd), hashlib.sha256()
        for offset in range(0, size, CHUNK_BYTES):
            digest.update(files.read(fd, CHUNK_BYTES, offset))
    finally:
        files.close(fd)
    return size, digest.digest()


def exists(files: FileOps, path: Path) -> bool:
    """Whether a file can be opened under this name. Raises OSError for any answer but yes and no."""
    try:
        files.close(files.open_read(path))
    except FileNotFoundError:
        return False
    return True


SUFFIX_UNFINISHED: Final = ".tmp"
"""Of a file that is being written under another name: never the only copy of anything."""


def replace_file(files: FileOps, path: Path, data: bytes, *, sync_name: bool = True) -> None:
    """Write or replace a small file as a whole: after a crash it is the old one or the new one.

    Its bytes are durable on return; so is its name, unless sync_name leaves that to the caller's next
    `sync_directory`. Raises OSError.
    """
    unfinished = path.with_name(path.name + SUFFIX_UNFINISHED)
    fd = files.create(unfinished)
    try:
        write_all(files, fd, [data], 0)
        files.sync(fd)
    finally:
        files.close(fd)
    files.rename(unfinished, path)
    if sync_name:
        files.sync_directory(path.parent)


def log_failed(operation: str, path: Path, error: OSError) -> LogFailed:
    """Translate what the operating system said; the caller raises it `from error`."""
    return LogFailed(operation, str(path), error.strerror or str(error))


# --- how much room is left -------------------------------------------------------------------------


class Headroom(IntEnum):
    """ok; low: take no new streams; critical: take nothing, let what runs write its end."""

    OK = 0
    LOW = 1
    CRITICAL = 2


class Watermarks(msgspec.Struct, frozen=True):
    """A limit is reached when less is free than its share of the disk and than its bytes: 5 % of a
    2 TB disk is no emergency."""

    low_share: float = 0.15
    low_bytes: int = 8 << 30
    critical_share: float = 0.05
    critical_bytes: int = 1 << 30


def judge_space(space: Space, watermarks: Watermarks) -> Headroom:
    """Decide how full a file system is."""

    def below(share: float, limit_bytes: int) -> bool:
        return space.free_bytes < min(share * space.total_bytes, limit_bytes)

    if below(watermarks.critical_share, watermarks.critical_bytes):
        return Headroom.CRITICAL
    return Headroom.LOW if below(watermarks.low_share, watermarks.low_bytes) else Headroom.OK


# --- which file system ---------------------------------------------------------------------------------


class Filesystem(msgspec.Struct, frozen=True):
    """kind: its type, "" if unknown. spares_are_reserve: whether spare segments help on a full disk;
    warn at start when they do not."""

    kind: str
    spares_are_reserve: bool


_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def parse_mountinfo(mountinfo: str, path: str) -> Filesystem:
    """Find the file system that holds an absolute, resolved path (proc_pid_mountinfo(5))."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        mount, separator, source = line.partition(" - ")
        fields = mount.split(" ")
        if not separator or len(fields) < 6:
            continue
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4]).rstrip("/")
        # The later of two equal points hides the earlier one.
        if (path == point or path.startswith(point + "/")) and len(point) >= len(best):
            best, kind = point, source.split(" ", 1)[0]
    return Filesystem(kind, kind in OVERWRITES_IN_PLACE)


def filesystem_of(directory: Path, mountinfo: Path = MOUNTINFO) -> Filesystem:
    """Which file system holds a directory; kind "" where the kernel does not say."""
    try:
        text = mountinfo.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return Filesystem("", False)
    return parse_mountinfo(text, str(directory.resolve()))
