"""What happens to a payload between compression and disk: today nothing, one day AES-256-GCM.

The interface is the seam: a frame's number is its nonce counter, its header bytes 0..28 are the
additional data, so an implementation binds order, length and record range without a format change.
Table and seal frames never pass here: they hold nothing that the hash tree does not publish, and an
auditor without keys must be able to read them.
"""

from typing import Final, Protocol

from storage.errors import StorageError

SUITE_NONE: Final = "none"


class FrameCipher(Protocol):
    """Seals and opens the payloads of one segment."""

    suite: str
    overhead_bytes: int  # how much longer a sealed payload is

    def seal(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes: ...

    def open(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes: ...


class NullCipher:
    """Suite "none": the payload is stored as it is."""

    suite = SUITE_NONE
    overhead_bytes = 0

    def seal(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        return payload

    def open(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        return payload


def open_cipher(suite: str, segment: str) -> FrameCipher:
    """The cipher a segment's header names. Raises StorageError when this version does not have it."""
    if suite != SUITE_NONE:
        raise StorageError(f"{segment}: cipher suite {suite!r} needs a newer version of kubetape")
    return NullCipher()
