"""What the export asks of a bucket: the interface, and the values that go through it. gateway.export.s3 implements it.

All of it blocks, and belongs in a worker thread.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from gateway.errors import GatewayError
from gateway.export.settings import BucketLock
from storage.export import Answer


class StoreFailed(GatewayError):
    """The store did not do what was asked. `answer` says which kind of failure; try again or tell a person."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.detail)
        self.answer = answer


class Put(msgspec.Struct, frozen=True):
    """One upload. The store is told the SHA-256 and refuses other bytes."""

    key: str
    body: Path | bytes  # a file is read while it is sent
    size: int
    sha256: bytes
    locked: bool = False


class Head(msgspec.Struct, frozen=True):
    """What the store says about an object. sha256: None if it has none of the whole object."""

    size: int
    etag: str
    sha256: bytes | None
    lock_mode: str  # "" for none, or when we may not know


class Listed(msgspec.Struct, frozen=True):
    key: str
    size: int
    etag: str


class ObjectStore(Protocol):
    """A bucket to export to."""

    def put_once(self, put: Put, now_ns: int) -> Answer:
        """CREATED, EXISTS (never overwritten), or why not. Raises OSError if the file cannot be read."""

    def put_mutable(self, put: Put) -> Answer: ...

    def compare(self, key: str, sha256: bytes, size: int) -> tuple[Answer, Head | None]:
        """SAME, DIFFERENT, MISSING, or why nobody knows."""

    def delete_versions(self, key: str) -> Answer:
        """DELETED: no version of it is left."""

    def get(self, key: str, limit_bytes: int) -> bytes:
        """Raises StoreFailed."""

    def bucket_lock(self) -> BucketLock:
        """Raises StoreFailed."""
