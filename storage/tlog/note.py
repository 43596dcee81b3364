"""Signed notes of c2sp.org/signed-note: text, signature lines, and the keys that make and verify them.

Bytes in, `Note` out, and back: `encode_note(parse_note(data)) == data` for whatever is accepted, so a note
has one spelling. Parsing verifies nothing: until `signed_by` has named a trusted key, the text is nobody's.
What a cosignature (types 0x04, 0x06) signs is not the text alone; `storage.tlog.checkpoint` knows that.

The trap: a key id is 32 bits and no proof of anything. A line whose name and id match a known key must
verify, or the whole note is refused; lines of unknown keys are ignored.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from hashlib import sha256
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from storage.errors import StorageError

MAX_NOTE_BYTES: Final = 1 << 20
MAX_SIGNATURES: Final = 100
MAX_NAME_BYTES: Final = 255
"""What an ML-DSA cosigned message can hold; the same for all keys, so that they can be changed."""
KEY_ID_BYTES: Final = 4
SEED_BYTES: Final = 32
SIGNER_PREFIX: Final = "PRIVATE+KEY+"
_DASH: Final = "\u2014 "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class BadNote(StorageError):
    """Bytes are not a signed note; `line` (from 1, 0: the note as a whole) says where. Refuse them."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"signed note, line {line}: {why}" if line else f"signed note: {why}")
        self.line, self.why = line, why


class BadKey(StorageError):
    """A verifier or signer key cannot be used. The message never holds key material."""


class BadSignature(StorageError):
    """A line names a trusted key, and that key did not sign this. Refuse the note; it is evidence."""


class NotSigned(StorageError):
    """No trusted key signed the note. Check which keys are configured."""


class KeyType(IntEnum):
    """The signature type byte of a key."""

    ED25519 = 0x01
    COSIGNATURE = 0x04
    MLDSA44 = 0x06


_PUBLIC_BYTES: Final = {KeyType.ED25519: 32, KeyType.COSIGNATURE: 32, KeyType.MLDSA44: 1312}


class Signature(msgspec.Struct, frozen=True):
    """One signature line. value: what follows the key id; for cosignatures a timestamp comes first."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """As it stands in a note, with its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.value)}\n"


class Note(msgspec.Struct, frozen=True):
    """text: what is signed, ends in a newline. signatures: in the order of their lines."""

    text: str
    signatures: tuple[Signature, ...]


# --- bytes -----------------------------------------------------------------------------------------


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def parse_base64(text: str) -> bytes:
    """Standard base64 in its one canonical spelling (RFC 4648, section 3.5). Raises ValueError."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not base64") from None
    if encode_base64(data) != text:
        raise ValueError("not the canonical base64 of its bytes")
    return data


def is_key_name(name: str) -> bool:
    """Not empty, valid UTF-8, no Unicode space, no control character, no plus, at most MAX_NAME_BYTES."""
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False
    clean = "+" not in name and not any(character.isspace() or character < " " for character in name)
    return clean and 0 < length <= MAX_NAME_BYTES


def parse_note(data: bytes) -> Note:
    """Split a note into text and signatures; verifies no signature. Raises BadNote."""
    if len(data) > MAX_NOTE_BYTES:
        raise BadNote(0, f"longer than {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadNote(data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    if control := _CONTROL.search(whole):
        raise BadNote(whole.count("\n", 0, control.start()) + 1, "control character")
    cut = whole.rfind("\n\n")
    if cut < 0 or not whole.endswith("\n"):
        raise BadNote(0, "no empty line before the signatures, or no newline at the end")
    return Note(whole[: cut + 1], _signatures(whole[cut + 2 :], whole.count("\n", 0, cut + 2) + 1))


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """Signature lines alone, as a witness answers them. Raises BadNote."""
    return parse_note(b"\n\n" + data).signatures


def _signatures(lines: str, first: int) -> tuple[Signature, ...]:
    if not lines:
        raise BadNote(first, "no signature")
    if lines.count("\n") > MAX_SIGNATURES:
        raise BadNote(first, f"more than {MAX_SIGNATURES} signatures")
    return tuple(_signature(line, first + n) for n, line in enumerate(lines[:-1].split("\n")))


def _signature(line: str, number: int) -> Signature:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator or not is_key_name(name):
        raise BadNote(number, "not a signature line (em dash, key name, base64)")
    try:
        value = parse_base64(encoded)
    except ValueError as error:
        raise BadNote(number, f"the signature is {error}") from None
    if len(value) <= KEY_ID_BYTES:
        raise BadNote(number, "the signature is too short")
    return Signature(name, value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])


def encode_note(note: Note) -> bytes:
    """The note's bytes. Raises BadNote if they would not parse back to the same note."""
    data = (note.text + "\n" + "".join(signature.line for signature in note.signatures)).encode("utf-8")
    if parse_note(data) != note:
        raise BadNote(0, "its text does not end in a newline")
    return data


def add_signatures(note: Note, more: Iterable[Signature]) -> Note:
    """The note with further lines; one of the same name and key id replaces the older one."""
    lines = {(signature.name, signature.key_id): signature for signature in (*note.signatures, *more)}
    return Note(note.text, tuple(lines.values()))


# --- keys ------------------------------------------------------------------------------------------


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key with the name and the kind of signature it stands for."""

    name: str
    type: KeyType
    public: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(f"{self.name}\n".encode() + bytes([self.type]) + self.public).digest()[:KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """`<name>+<hex id>+<base64(type || key)>`"""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.type]) + self.public)}"

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this key signed exactly this message (for cosignatures: the cosigned message)."""
        try:
            if self.type is KeyType.MLDSA44:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """Whoever can sign for a key: a seed in memory, a KMS. Its signatures are those of `verifier`."""

    @property
    def verifier(self) -> VerifierKey: ...

    def sign(self, message: bytes) -> bytes: ...


class SignerKey:
    """A private key in memory. Its repr shows the public part only."""

    def __init__(self, name: str, key_type: KeyType, seed: bytes) -> None:
        self._key: Ed25519PrivateKey | MLDSA44PrivateKey
        if key_type is KeyType.MLDSA44:
            self._key = MLDSA44PrivateKey.from_seed_bytes(seed)
        else:
            self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, key_type, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SignerKey({self.verifier.vkey})"

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def parse_vkey(text: str) -> VerifierKey:
    """A verifier key from its text. Raises BadKey."""
    name, _, rest = text.partition("+")
    key_type, public = _typed_key("verifier key", name, rest)
    if len(public) != _PUBLIC_BYTES[key_type]:
        raise BadKey(
            f"verifier key of {name!r}: {len(public)} key bytes instead of {_PUBLIC_BYTES[key_type]}"
        )
    key = VerifierKey(name, key_type, public)
    if key.vkey != text:
        raise BadKey(f"verifier key of {name!r}: its key id does not belong to its key; copy it again")
    return key


def parse_signer(text: str) -> SignerKey:
    """A signer key from its text, `PRIVATE+KEY+<name>+<hex id>+<base64(type || seed)>`. Raises BadKey."""
    if not text.startswith(SIGNER_PREFIX):
        raise BadKey(f"a signer key begins with {SIGNER_PREFIX}")
    name, _, rest = text.removeprefix(SIGNER_PREFIX).partition("+")
    key_type, seed = _typed_key("signer key", name, rest)
    if len(seed) != SEED_BYTES:
        raise BadKey(f"signer key of {name!r}: its seed is not {SEED_BYTES} bytes long")
    signer = SignerKey(name, key_type, seed)
    if signer.verifier.key_id.hex() != rest.partition("+")[0]:
        raise BadKey(f"signer key of {name!r}: its key id does not belong to its key; copy it again")
    return signer


def encode_signer(name: str, key_type: KeyType, seed: bytes) -> str:
    """The text of a signer key: a secret."""
    key_id = SignerKey(name, key_type, seed).verifier.key_id
    return f"{SIGNER_PREFIX}{name}+{key_id.hex()}+{encode_base64(bytes([key_type]) + seed)}"


def generate_signer(name: str, key_type: KeyType = KeyType.ED25519) -> tuple[str, str]:
    """A new key as (signer text, vkey). The first is a secret. Raises BadKey for an impossible name."""
    if not is_key_name(name):
        raise BadKey(f"{name!r} cannot be a key's name: no spaces, no plus, 1 to {MAX_NAME_BYTES} bytes")
    seed = Ed25519PrivateKey.generate().private_bytes_raw()  # 32 bytes of the library's random source
    return encode_signer(name, key_type, seed), SignerKey(name, key_type, seed).verifier.vkey


def _typed_key(what: str, name: str, rest: str) -> tuple[KeyType, bytes]:
    """Type and key bytes of `<hex id>+<base64>`."""
    key_id, _, encoded = rest.partition("+")
    if not is_key_name(name) or len(key_id) != 2 * KEY_ID_BYTES:
        raise BadKey(f"not a {what} (name, key id in hex, base64, joined by plus signs)")
    try:
        data = parse_base64(encoded)
        return KeyType(data[0]), data[1:]
    except (ValueError, IndexError):
        raise BadKey(f"{what} of {name!r}: its last part is not base64 of a known key type") from None


# --- who signed ------------------------------------------------------------------------------------

Check = Callable[[VerifierKey, str, bytes], bool]
"""(key, text, signature value) -> whether it is a signature of that key on that text."""


def check_text(key: VerifierKey, text: str, value: bytes) -> bool:
    """The check for plain notes: only Ed25519 note signatures sign the text itself."""
    return key.type is KeyType.ED25519 and key.verify(text.encode("utf-8"), value)


def sign_text(text: str, signer: Signer) -> Signature:
    """A plain note signature. Raises BadKey for a key that is made for cosignatures."""
    key = signer.verifier
    if key.type is not KeyType.ED25519:
        raise BadKey(f"{key.name} is a cosignature key: it signs checkpoints, not notes")
    return Signature(key.name, key.key_id, signer.sign(text.encode("utf-8")))


def signed_by(
    note: Note, keys: Sequence[VerifierKey], check: Check = check_text
) -> dict[VerifierKey, Signature]:
    """Which of these keys signed the note; of several lines of one key the last counts.

    Raises BadSignature when a line of one of them does not verify. May be empty: see `open_note`.
    """
    known = {(key.name, key.key_id): key for key in keys}
    found = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not check(key, note.text, signature.value):
            raise BadSignature(f"the signature of {key.name}+{key.key_id.hex()} does not verify")
        found[key] = signature
    return found


def open_note(data: bytes, keys: Sequence[VerifierKey], check: Check = check_text) -> Note:
    """A note at least one of these keys signed. Raises BadNote, BadSignature, NotSigned."""
    note = parse_note(data)
    if not signed_by(note, keys, check):
        names = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys) or "none"
        raise NotSigned(f"the note is not signed by a trusted key (trusted: {names})")
    return note
