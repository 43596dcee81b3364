"""A bucket read as if it were a data directory: storage.files.FileOps without the writing half. Conduct.

`SegmentLogs(files.root, files=files)` and all that reads segments and trees works on it unchanged: the listing is
read once (`refresh` reads it anew), bytes come by range requests through a cache. Every call blocks.

The trap: an object could be replaced while it is read. What must not change is read with the ETag of the listing, so
that a second version is an error and no mixture; what does change (a checkpoint, partial tiles, wrapped keys) is read
whole when it is opened.
"""

import errno
import os
import re
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn, Protocol

import msgspec

from gateway.errors import GatewayError
from gateway.export.s3 import S3Store
from gateway.export.settings import S3Settings
from gateway.export.store import Listed, StoreFailed
from gateway.store.catalogue import Catalogue, Entry
from gateway.store.range_cache import Extent, RangeCache, plan_fetch
from storage.errors import CorruptFrame
from storage.export import Outcome
from storage.files import Space
from storage.format import PAGE_BYTES, SUFFIX_OPEN, parse_header_page
from storage.object_keys import root
from storage.reader import READABLE
from storage.sources import LOG_DIRECTORY

SCHEME: Final = "s3://"
READ_ATTEMPTS: Final = 4
"""By botocore: whoever reads has nothing else to do meanwhile."""
MAX_VOLATILE_BYTES: Final = 17 * 1024 * 1024
"""The largest is a bundle of 255 entries of 64 KiB."""
MAX_OBJECT_BYTES: Final = 1 << 30
HEADERS_TRIED: Final = 8
"""Damaged header pages that are passed over before a log is said to have no tree."""
_URL: Final = re.compile(r"s3://([^/]+)(?:/(.*?))?/?")


class BadStoreUrl(GatewayError):
    """The address of a store cannot be understood; the message says what one looks like."""


class StoreUnreachable(OSError):
    """A store does not answer, or not to us. Look at network, endpoint and credentials, and try again."""

    def __str__(self) -> str:
        return str(self.strerror)


class Bucket(Protocol):
    """What is asked of a bucket (gateway.export.s3.S3Store). Everything raises StoreFailed."""

    def list(self, prefix: str) -> Iterator[Listed]: ...

    def get(self, key: str, limit_bytes: int) -> bytes: ...

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes: ...


def parse_store_url(url: str) -> S3Settings:
    """`s3://bucket/prefix` -> settings for reading. Region, endpoint and credentials come from where every AWS
    program takes them: the environment (AWS_ENDPOINT_URL_S3), shared files, instance role. Raises BadStoreUrl."""
    match = _URL.fullmatch(url)
    if match is None:
        raise BadStoreUrl(f"{url!r} is not a store: write s3://BUCKET/PREFIX")
    try:
        return S3Settings(bucket=match[1], prefix=match[2] or "")
    except ValueError as error:
        raise BadStoreUrl(f"{url!r} is not a store: {error}") from None


def open_bucket(url: str) -> S3Store:
    """Raises BadStoreUrl. Asks nothing of the network yet."""
    return S3Store(parse_store_url(url), attempts=READ_ATTEMPTS)


def open_files(url: str) -> "S3Files":
    """A store as a data directory. Lists it: raises OSError, and BadStoreUrl."""
    bucket = open_bucket(url)
    return S3Files(bucket, bucket.settings.prefix)


def open_store(url: str) -> "Objects":
    """A store as objects. Raises BadStoreUrl."""
    bucket = open_bucket(url)
    return Objects(bucket, bucket.settings.prefix)


class Objects:
    """The objects of a store, by keys relative to its prefix: they begin with `v1/`."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket, self._above = bucket, f"{prefix}/" if prefix else ""

    def list(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`, in order. Raises OSError."""
        try:
            for listed in self._bucket.list(self._above + prefix):
                yield listed.key.removeprefix(self._above)
        except StoreFailed as failure:
            _raise(failure, prefix)

    def read(self, key: str) -> bytes:
        """A whole object, at most MAX_OBJECT_BYTES. Raises OSError."""
        try:
            data = self._bucket.get(self._above + key, MAX_OBJECT_BYTES)
        except StoreFailed as failure:
            _raise(failure, key)
        if len(data) > MAX_OBJECT_BYTES:
            raise OSError(errno.EFBIG, f"{key} is larger than {MAX_OBJECT_BYTES} bytes")
        return data


class _Open(msgspec.Struct):
    """An open file. data: of a volatile one, all of it."""

    entry: Entry
    data: bytes | None
    fetched_to: int = -1  # where the last fetch ended: who asks for that byte reads on


class S3Files:
    """FileOps over a store, for reading. Writing raises OSError (EROFS). For several threads, one at a time."""

    root: Final = Path("/")
    """The data directory."""

    def __init__(self, bucket: Bucket, prefix: str, *, cache: RangeCache | None = None) -> None:
        """Reads the listing. Raises OSError."""
        self._bucket, self._prefix = bucket, prefix
        self._cache = cache or RangeCache()
        self._open: dict[int, _Open] = {}
        self._next_fd = 1
        self._mutex = threading.RLock()
        self._asked: set[str] = set()  # logs whose tree was looked for
        self.refresh()

    def refresh(self) -> None:
        """Read the listing anew: what was exported since is there. Open files stay what they are."""
        above = root(self._prefix)
        try:
            listings = (self._bucket.list(f"{above}{part}/") for part in ("segments", "keys", "tlog"))
            catalogue = Catalogue(self._prefix, chain.from_iterable(listings))
        except StoreFailed as failure:
            _raise(failure, above)
        with self._mutex:
            self._catalogue, self._asked = catalogue, set()

    # --- reading --------------------------------------------------------------------------------------

    def names(self, directory: Path) -> list[str]:
        with self._mutex:
            path = PurePosixPath(directory)
            self._look_for_tree(path)
            return self._catalogue.names(path)

    def open_read(self, path: Path) -> int:
        with self._mutex:
            self._look_for_tree(PurePosixPath(path))
            entry = self._catalogue.entry(PurePosixPath(path))
            data = self._whole(entry, path) if entry.volatile else None
            self._next_fd += 1
            self._open[self._next_fd] = _Open(entry, data)
            return self._next_fd

    def size(self, fd: int) -> int:
        with self._mutex:
            file = self._file(fd)
            return file.entry.size if file.data is None else len(file.data)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        with self._mutex:
            file = self._file(fd)
            if file.data is not None:
                return file.data[offset : offset + length]
            parts: list[bytes] = []
            at, stop = offset, min(offset + length, file.entry.size)
            while at < stop:
                extent = self._cache.find(file.entry.key, at) or self._fetch(file, at, stop)
                part = extent.data[at - extent.start : stop - extent.start]
                parts.append(part)
                at += len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self, fd: int) -> None:
        with self._mutex:
            self._open.pop(fd, None)

    def _file(self, fd: int) -> _Open:
        file = self._open.get(fd)
        if file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return file

    def _fetch(self, file: _Open, at: int, stop: int) -> Extent:
        entry = file.entry
        start, end = plan_fetch(at, stop, entry.size, reads_on=at == file.fetched_to)
        try:
            data = self._bucket.get_range(entry.key, start, end, entry.etag)
        except StoreFailed as failure:
            _raise(failure, entry.key)
        if len(data) != end - start:
            raise OSError(errno.EIO, f"{entry.key}: {len(data)} of {end - start} bytes at {start} came")
        extent = Extent(start, data)
        self._cache.add(entry.key, extent)
        file.fetched_to = extent.stop
        return extent

    def _whole(self, entry: Entry, path: Path) -> bytes:
        try:
            data = self._bucket.get(entry.key, MAX_VOLATILE_BYTES)
        except StoreFailed as failure:
            _raise(failure, str(path))
        if len(data) > MAX_VOLATILE_BYTES:
            raise OSError(errno.EFBIG, f"{entry.key} is larger than {MAX_VOLATILE_BYTES} bytes")
        return data

    # --- trees ----------------------------------------------------------------------------------------

    def _look_for_tree(self, path: PurePosixPath) -> None:
        """Once a log: find the tree of the log that a path lies in, by the origin in one of its segments."""
        parts = path.parts
        if len(parts) < 3 or parts[1] != LOG_DIRECTORY or parts[2] in self._asked:
            return
        log = parts[2]
        self._asked.add(log)
        if not self._catalogue.has_trees:
            return
        try:
            origin = self._origin(path.parents[len(parts) - 4] if len(parts) > 3 else path)
        except FileNotFoundError:
            return
        if origin:
            self._catalogue.attach_tree(log, origin)

    def _origin(self, log: PurePosixPath) -> str:
        suffixes = tuple(suffix for suffix in READABLE if suffix != SUFFIX_OPEN)
        names = sorted(name for name in self._catalogue.names(log) if name.endswith(suffixes))
        for name in names[:HEADERS_TRIED]:
            fd = self.open_read(Path(log / name))
            try:
                return parse_header_page(self.read(fd, PAGE_BYTES, 0), name).log_origin
            except CorruptFrame:
                continue  # whoever verifies will say so; the tree is found by another one
            finally:
                self.close(fd)
        return ""

    # --- writing: none --------------------------------------------------------------------------------

    def make_directory(self, directory: Path) -> None:
        _read_only(directory)

    def lock(self, path: Path) -> int:
        _read_only(path)

    def create(self, path: Path) -> int:
        _read_only(path)

    def open_write(self, path: Path) -> int:
        _read_only(path)

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> int:
        _read_only()

    def sync_data(self, fd: int) -> None:
        _read_only()

    def sync(self, fd: int) -> None:
        _read_only()

    def truncate(self, fd: int, size: int) -> None:
        _read_only()

    def rename(self, source: Path, target: Path) -> None:
        _read_only(source)

    def remove(self, path: Path) -> None:
        _read_only(path)

    def sync_directory(self, directory: Path) -> None:
        _read_only(directory)

    def space(self, directory: Path) -> Space:
        _read_only(directory)


def _read_only(path: Path | None = None) -> NoReturn:
    raise OSError(errno.EROFS, "a store is only read", None if path is None else str(path))


_ERRNO: Final = {
    Outcome.MISSING: errno.ENOENT,
    Outcome.DENIED: errno.EACCES,
    Outcome.SKEWED: errno.EACCES,
    Outcome.DIFFERENT: errno.ESTALE,
}


def _raise(failure: StoreFailed, what: str) -> NoReturn:
    """As OSError of the matching kind (FileNotFoundError, PermissionError), which all readers know."""
    number = _ERRNO.get(failure.answer.outcome)
    if number is None:
        raise StoreUnreachable(errno.EIO, str(failure), what) from failure
    raise OSError(number, str(failure), what) from failure
