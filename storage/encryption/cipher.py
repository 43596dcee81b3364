"""Data frames between compression and disk: nothing (suite "none"), or AES-256-GCM.

One data key per segment; a frame's nonce is the segment's base nonce XOR the frame's number, and a segment is
never written on after a restart, so no (key, nonce) pair comes twice. The frame header is the additional data,
which binds order, length, record range and time. The header page commits to the key. Table and seal frames
never pass here: they hold nothing that the hash tree does not publish, and an auditor without keys reads them.

The trap: GCM itself does not commit to its key, and a segment may be wrapped for several recipients. Without the
commitment in the header, two of them could be made to read two different records.
Source: the key schedule of C2SP chunked-encryption, under a label of our own, because frames vary in length and
carry additional data.
"""

import hashlib
import hmac
import secrets
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from storage.errors import StorageError, WrongKey
from storage.format import CipherParameters, SegmentHeader, encode_header_map

SUITE_NONE: Final = "none"
SUITE_AES_256_GCM: Final = "aes-256-gcm"
DATA_KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
_LABEL: Final = b"kubetape/kseg@v2+AEAD_AES_256_GCM\0"
_KEY_BYTES, _NONCE_BYTES, _COMMITMENT_BYTES, _SALT_BYTES = 32, 12, 32, 24


class BadTag(Exception):
    """A payload is not what was sealed under this key, at this place; callers say where."""


class FrameCipher(Protocol):
    """Seals and opens the payloads of one segment."""

    suite: str
    overhead_bytes: int  # how much longer a sealed payload is

    def seal(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes: ...

    def open(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        """Raises BadTag."""
        ...


class NullCipher:
    """Suite "none": the payload is stored as it is."""

    suite = SUITE_NONE
    overhead_bytes = 0

    def seal(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        return payload

    def open(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        return payload


class AesGcmCipher:
    """Suite "aes-256-gcm"."""

    suite = SUITE_AES_256_GCM
    overhead_bytes = TAG_BYTES

    def __init__(self, key: bytes, base_nonce: bytes) -> None:
        self._aead = AESGCM(key)
        self._base_nonce = int.from_bytes(base_nonce, "big")

    def nonce(self, block_seq: int) -> bytes:
        """12 bytes; different for every frame of a segment."""
        return (self._base_nonce ^ block_seq).to_bytes(_NONCE_BYTES, "big")

    def seal(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        return self._aead.encrypt(self.nonce(block_seq), payload, authenticated)

    def open(self, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        try:
            return self._aead.decrypt(self.nonce(block_seq), payload, authenticated)
        except InvalidTag as error:
            raise BadTag("the payload is not what was sealed here") from error


def new_cipher_parameters() -> CipherParameters:
    """Parameters of a segment to be encrypted; `commit_to_key` completes them."""
    return CipherParameters(SUITE_AES_256_GCM, secrets.token_bytes(_SALT_BYTES))


def commit_to_key(header: SegmentHeader, data_key: bytes) -> SegmentHeader:
    """The header with its commitment to the data key (32 bytes) filled in."""
    commitment = _derive(header, data_key)[2]
    cipher = msgspec.structs.replace(header.cipher, commitment32=commitment)
    return msgspec.structs.replace(header, cipher=cipher)


def open_cipher(header: SegmentHeader, data_key: bytes | None) -> FrameCipher:
    """The cipher of a segment. data_key: None only for suite "none".

    Raises WrongKey when the header commits to another key, StorageError when this version lacks the suite.
    """
    suite, stem = header.cipher.suite, header.name.stem
    if suite == SUITE_NONE:
        return NullCipher()
    if suite != SUITE_AES_256_GCM:
        raise StorageError(f"{stem}: cipher suite {suite!r} needs a newer version of kubetape")
    if data_key is None:
        raise AssertionError(f"{stem}: an encrypted segment is opened without a key")
    key, base_nonce, commitment = _derive(header, data_key)
    if not hmac.compare_digest(commitment, header.cipher.commitment32):
        raise WrongKey(f"{stem}: the data key is not the one this segment was written with")
    return AesGcmCipher(key, base_nonce)


def _derive(header: SegmentHeader, data_key: bytes) -> tuple[bytes, bytes, bytes]:
    """Key, base nonce and commitment, bound to everything else the header says."""
    if len(data_key) != DATA_KEY_BYTES:
        raise WrongKey(
            f"{header.name.stem}: a data key has {DATA_KEY_BYTES} bytes, this one has {len(data_key)}"
        )
    bare = msgspec.structs.replace(header, cipher=msgspec.structs.replace(header.cipher, commitment32=b""))
    context = hashlib.sha256(encode_header_map(bare)).digest()
    info = _LABEL + header.cipher.salt24 + context
    length = _KEY_BYTES + _NONCE_BYTES + _COMMITMENT_BYTES
    block = HKDFExpand(SHA512(), length, info).derive(data_key)
    return (
        block[:_KEY_BYTES],
        block[_KEY_BYTES : _KEY_BYTES + _NONCE_BYTES],
        block[_KEY_BYTES + _NONCE_BYTES :],
    )
