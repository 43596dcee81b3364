"""What can be wrong with the log. Position is data: segment name and byte offset."""

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes it cannot decode: its own error, but not for text that is no UTF-8, nor for depth."""


class StorageError(Exception):
    """Base of all errors of this package."""


class LogFailed(StorageError):
    """The log cannot be written: disk full, I/O error, short write. Final for this process.

    Refuse every new call (503), end live streams with a reason, report not ready. Never retry the
    sync: after a failed fdatasync Linux marks the pages clean, and the next one lies.
    """

    def __init__(self, operation: str, path: str, why: str) -> None:
        super().__init__(f"{operation} {path}: {why}")
        self.operation, self.path, self.why = operation, path, why


class LogInUse(StorageError):
    """Another process writes this directory. Stop it, or choose another --data-dir."""


class CorruptFrame(StorageError):
    """A frame fails its checks. Stop, keep the file, alert: never skip it."""

    def __init__(self, segment: str, offset: int, why: str) -> None:
        super().__init__(f"{segment} at byte {offset}: {why}")
        self.segment, self.offset, self.why = segment, offset, why


class UnknownDictionary(StorageError):
    """A segment names a compression dictionary this version does not have."""


class WrongKey(StorageError):
    """A data key does not fit its segment: the key file was exchanged or damaged. Use the one it was written with."""


class NoKey(StorageError):
    """A segment is encrypted and nothing at hand opens it. Give the key; the message says which."""


class Shredded(NoKey):
    """A segment's key was destroyed on purpose. Its frames can be proven, and never be read again."""


class OutOfReach(NoKey):
    """A segment of before this process could read, in a gateway that only writes. Skip it; who holds the key
    reads it."""


class BadKeyFile(StorageError):
    """A key file, recipient or key envelope cannot be used; the message names it and what would do."""


class BadQuery(StorageError):
    """A search expression that cannot be understood; the message says where and what would do."""
