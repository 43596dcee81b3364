"""Recipients: data keys wrapped for a public key, so that who writes the log cannot read it.

`x25519:<base64 of 32 bytes>` is a public key of RFC 7748, its private key a PKCS8 PEM file as `openssl genpkey
-algorithm X25519` makes it. `mlkem768x25519:<base64 of 1216 bytes>` adds ML-KEM-768, for logs that must stay
shut when X25519 no longer is; its file holds two PEM blocks. Single-shot HPKE in base mode, KDF HKDF-SHA256,
AEAD AES-256-GCM; `info` binds a wrap to its segment.

The trap: HPKE in base mode proves nothing about the sender. It need not: the commitment in the segment's header
does. Source: RFC 9180 (`cryptography`), draft-ietf-hpke-pq (KEM MLKEM768-X25519).
"""

import base64
import binascii
import hashlib
import os
import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from storage.encryption.keys import Envelope, Wrap
from storage.errors import BadKeyFile, WrongKey

X25519: Final = "x25519"
HYBRID: Final = "mlkem768x25519"
ALG_X25519: Final = "hpke-x25519-sha256-aes256gcm"
ALG_HYBRID: Final = "hpke-mlkem768x25519-sha256-aes256gcm"
MAX_PEM_BYTES: Final = 64 * 1024
_X25519_BYTES: Final = 32
_MLKEM_BYTES: Final = 1184
_INFO: Final = b"kubetape/data-key@v1\0"
_SUITES: Final = {
    ALG_X25519: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    ALG_HYBRID: Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}
_PEM_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----[^-]*-----END \1-----")

PublicKey = X25519PublicKey | MLKEM768X25519PublicKey
PrivateKey = X25519PrivateKey | MLKEM768X25519PrivateKey


class HpkeRecipient:
    """Wraps data keys for one public key."""

    def __init__(self, text: str) -> None:
        """text: the recipient line. Raises BadKeyFile."""
        self.text = text
        self.kek_id, self._alg, self._key = _parse_recipient(text)

    def wrap(self, key: bytes, segment_id: str) -> Wrap:
        return Wrap(self.kek_id, self._alg, _SUITES[self._alg].encrypt(key, self._key, _info(segment_id)))


class HpkePrivateKey:
    """Opens what was wrapped for one recipient. Its text form hides the key."""

    def __init__(self, key: PrivateKey, recipient: str) -> None:
        self.recipient = recipient
        self.kek_id, self._alg, _ = _parse_recipient(recipient)
        self._key = key

    def __repr__(self) -> str:
        return f"HpkePrivateKey({self.kek_id})"

    def unwrap(self, envelope: Envelope) -> bytes | None:
        """The data key of a segment; None if it is not wrapped for this key. Raises WrongKey."""
        for wrap in envelope.wraps:
            if (wrap.alg, wrap.kek_id) == (self._alg, self.kek_id):
                try:
                    return _SUITES[self._alg].decrypt(wrap.blob, self._key, _info(envelope.segment_id))
                except (InvalidTag, ValueError) as error:
                    raise WrongKey(
                        f"segment {envelope.segment_id}: its envelope names {self.kek_id} and does not open with "
                        "it: it is damaged or another segment's; restore it from a copy"
                    ) from error
        return None


def _info(segment_id: str) -> bytes:
    return _INFO + segment_id.encode()


# --- recipients -----------------------------------------------------------------------------------


def _parse_recipient(text: str) -> tuple[str, str, PublicKey]:
    """(kek id, alg, public key) of a recipient line. Raises BadKeyFile."""
    kind, _, encoded = text.strip().partition(":")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKeyFile(f"recipient {_shown(text)}: what follows the colon is not base64") from error
    if kind == X25519 and len(raw) == _X25519_BYTES:
        key = X25519PublicKey.from_public_bytes(raw)
        try:
            _SUITES[ALG_X25519].encrypt(b"", key, b"")
        except ValueError as error:  # a point of small order: everybody could open it
            raise BadKeyFile(f"recipient {_shown(text)} is no usable public key") from error
        return f"{X25519}:{encoded}", ALG_X25519, key
    if kind == HYBRID and len(raw) == _MLKEM_BYTES + _X25519_BYTES:
        try:
            hybrid = MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_BYTES]),
                X25519PublicKey.from_public_bytes(raw[_MLKEM_BYTES:]),
            )
            _SUITES[ALG_HYBRID].encrypt(b"", hybrid, b"")
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadKeyFile(f"recipient {_shown(text)} cannot be used: {error}") from error
        # 1624 characters would be in every envelope
        return f"{HYBRID}:sha256:{hashlib.sha256(raw).hexdigest()}", ALG_HYBRID, hybrid
    raise BadKeyFile(
        f"recipient {_shown(text)}: a recipient is {X25519}:BASE64 of {_X25519_BYTES} bytes or "
        f"{HYBRID}:BASE64 of {_MLKEM_BYTES + _X25519_BYTES} bytes; make one with kubetape keys new-recipient"
    )


def _shown(text: str) -> str:
    """A recipient as messages show it; what was given may be anything, even a private key."""
    kind = text.strip().partition(":")[0]
    return repr(f"{kind}:..." if kind in (X25519, HYBRID) else "...")


# --- private keys ---------------------------------------------------------------------------------


def parse_private_key(content: bytes, name: str) -> HpkePrivateKey:
    """Decode a PEM file with a private key. name: for messages. Raises BadKeyFile."""
    if len(content) > MAX_PEM_BYTES:
        raise BadKeyFile(f"{name}: larger than {MAX_PEM_BYTES} bytes: that is no key file")
    parts = [_load(found[0], name) for found in _PEM_BLOCK.finditer(content)]
    match parts:
        case [X25519PrivateKey() as x25519]:
            public = x25519.public_key().public_bytes_raw()
            return HpkePrivateKey(x25519, f"{X25519}:{base64.b64encode(public).decode()}")
        case [MLKEM768PrivateKey() as mlkem, X25519PrivateKey() as x25519]:
            public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
            key = MLKEM768X25519PrivateKey(mlkem, x25519)
            return HpkePrivateKey(key, f"{HYBRID}:{base64.b64encode(public).decode()}")
    raise BadKeyFile(
        f"{name}: holds {', '.join(type(part).__name__ for part in parts) or 'no PEM block'}; wanted is the private "
        "key of a recipient: X25519, or ML-KEM-768 and X25519, as kubetape keys new-recipient makes it"
    )


def _load(pem: bytes, name: str) -> object:
    try:
        return load_pem_private_key(pem, None)
    except TypeError as error:  # it has a passphrase
        raise BadKeyFile(
            f"{name}: protected by a passphrase: remove it with openssl pkey -in {name} -out NEW"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKeyFile(f"{name}: a PEM block cannot be read as a private key") from error


def generate_recipient(path: Path, *, hybrid: bool = False) -> str:
    """Make a private key file (mode 0600, never over another) and return its recipient line.

    Durable on return. Raises BadKeyFile.
    """
    x25519 = X25519PrivateKey.generate()
    keys: list[X25519PrivateKey | MLKEM768PrivateKey] = [x25519]
    if hybrid:
        keys.insert(0, MLKEM768PrivateKey.generate())
    pem = b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)
    recipient = parse_private_key(pem, str(path)).recipient
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise BadKeyFile(f"{path} exists and is not overwritten: name another file") from None
    except OSError as error:
        raise BadKeyFile(f"cannot write {path}: {error.strerror}") from error
    with open(fd, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(fd)
    directory = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return recipient
