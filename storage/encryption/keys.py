"""Data keys, wrapped: the envelope beside a segment, and who can open it.

A data key encrypts one segment and is in no file in the clear. `<segment>.keys` holds it wrapped for every
recipient: beside the segment, not in it, because a segment is never changed again while a wrap is renewed when a
key encryption key is rotated, and deleted to destroy the segment's content (shredding). Here are the envelope and
the two interfaces, `KeyMaker` for who writes and `KeyRing` for who reads; the kinds of key encryption keys are in
`local_key` and `hpke_key` (and, with a network, in the gateway: KMS).
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from storage.encryption.cipher import DATA_KEY_BYTES
from storage.errors import UNDECODABLE, BadKeyFile, NoKey, Shredded, StorageError
from storage.files import FileOps, exists, read_start, replace_file
from storage.segment_id import new_segment_id

SUFFIX_KEYS: Final = ".keys"
SUFFIX_SHREDDED: Final = ".shredded"
MAX_ENVELOPE_BYTES: Final = 64 * 1024
"""Some hundred recipients; nothing larger is read."""
ENVELOPE_VERSION: Final = 1


class Wrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A data key, encrypted for one recipient."""

    kek_id: str  # names the key encryption key: "local:...", "x25519:...", an ARN
    alg: str  # "aes-kw", "hpke-x25519-sha256-aes256gcm", "aws-kms"
    blob: bytes  # base64 in the file
    context: dict[str, str] = {}  # aws-kms: what its encryption context has beside origin and segment_id


class Envelope(msgspec.Struct, frozen=True):
    """The content of `<segment>.keys`."""

    segment_id: str
    log_origin: str
    wraps: tuple[Wrap, ...]
    version: int = ENVELOPE_VERSION


@dataclass(frozen=True)
class DataKey:
    """A fresh key with the segment it is for. Its text form hides the key."""

    envelope: Envelope
    key: bytes = field(repr=False)


class Wrapper(Protocol):
    """Encrypts data keys for one recipient."""

    def wrap(self, key: bytes, segment_id: str) -> Wrap: ...


class Unwrapper(Protocol):
    """Opens what was wrapped for one recipient."""

    def unwrap(self, envelope: Envelope) -> bytes | None:
        """The data key, None if no wrap is for this recipient. Raises StorageError if one is and does not open."""
        ...


Generate = Callable[[str], tuple[bytes, Wrap]]
"""segment id -> (data key, its wrap): for a service that makes data keys itself and need not let us encrypt."""


class KeyMaker:
    """Makes the data key of one segment after the other. Not for two threads at once.

    generate: where data keys come from; None: from the operating system's random numbers. wrappers: for whom
    else each is wrapped. At least one of both, or nobody could ever read the log.
    """

    def __init__(
        self, log_origin: str, wrappers: Sequence[Wrapper], generate: Generate | None = None
    ) -> None:
        if not wrappers and generate is None:
            raise AssertionError("data keys that are wrapped for nobody")
        self._origin, self._wrappers, self._generate = log_origin, tuple(wrappers), generate
        self._last_ms = 0

    def make(self) -> DataKey:
        """May block where `generate` does; raises what it raises (StorageError)."""
        # ids of one run ascend, also within a millisecond and when the clock goes back: `MemoryKeys` relies on it
        self._last_ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
        segment_id = new_segment_id(self._last_ms * 1_000_000)
        wraps: list[Wrap] = []
        if self._generate is not None:
            key, wrap = self._generate(segment_id)
            wraps.append(wrap)
        else:
            key = secrets.token_bytes(DATA_KEY_BYTES)
        wraps += [wrapper.wrap(key, segment_id) for wrapper in self._wrappers]
        return DataKey(Envelope(segment_id, self._origin, tuple(wraps)), key)


class KeyRing:
    """Everything at hand that opens envelopes."""

    def __init__(self, unwrappers: Sequence[Unwrapper] = ()) -> None:
        self._unwrappers = tuple(unwrappers)
        self._known: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        """Whether anything could be opened at all."""
        return bool(self._unwrappers)

    def data_key(self, envelope: Envelope) -> bytes:
        """The data key of a segment, as `unwrap` finds it the first time; remembered."""
        key = self._known.get(envelope.segment_id)
        if key is None:
            key = self.unwrap(envelope)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[envelope.segment_id] = key
        return key

    def unwrap(self, envelope: Envelope) -> bytes:
        """The data key of a segment.

        Raises NoKey when nothing at hand is a recipient, and what the first unwrapper raised that should have
        opened it and did not, unless another one did.
        """
        problem: StorageError | None = None
        for unwrapper in self._unwrappers:
            try:
                key = unwrapper.unwrap(envelope)
            except StorageError as error:
                problem = problem or error
                continue
            if key is not None:
                return key
        if problem is not None:
            raise problem
        wanted = ", ".join(wrap.kek_id for wrap in envelope.wraps) or "nobody"
        raise NoKey(
            f"segment {envelope.segment_id} is encrypted for {wanted}, and no key at hand opens it: "
            "give it with --key FILE"
        )


_REMEMBERED: Final = 4096
NO_KEYS: Final = KeyRing()
"""Opens nothing: enough to verify, and to read what is not encrypted."""


# --- the file -------------------------------------------------------------------------------------

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Envelope)


def encode_envelope(envelope: Envelope) -> bytes:
    return msgspec.json.format(_ENCODER.encode(envelope), indent=1) + b"\n"


def parse_envelope(data: bytes, name: str) -> Envelope:
    """Decode the content of a `.keys` file. Raises BadKeyFile."""
    try:
        envelope = _DECODER.decode(data)
    except UNDECODABLE as error:
        raise BadKeyFile(f"{name}: not a key envelope: {error}") from error
    if envelope.version != ENVELOPE_VERSION:
        raise BadKeyFile(f"{name}: envelope version {envelope.version} needs a newer version of kubetape")
    return envelope


def write_envelope(files: FileOps, path: Path, envelope: Envelope) -> None:
    """Write or replace `<segment>.keys`. Its bytes are durable on return, its name after the next
    `sync_directory`. Raises OSError."""
    replace_file(files, path, encode_envelope(envelope), sync_name=False)


def read_envelope(files: FileOps, segment: Path) -> Envelope:
    """The envelope of a segment file. Raises Shredded, NoKey (it is missing), BadKeyFile."""
    path = segment.with_suffix(SUFFIX_KEYS)
    try:
        data = read_small(files, path, MAX_ENVELOPE_BYTES)
    except FileNotFoundError:
        if exists(files, segment.with_suffix(SUFFIX_SHREDDED)):
            raise Shredded(
                f"segment {segment.stem}: its key was destroyed: it can be verified, and never be read again"
            ) from None
        raise NoKey(f"{path.name} is missing beside {segment.name}: restore it from a copy") from None
    return parse_envelope(data, path.name)


def read_small(files: FileOps, path: Path, limit_bytes: int) -> bytes:
    """A whole small file. Raises FileNotFoundError, BadKeyFile when it is larger than it can be."""
    data = read_start(files, path, limit_bytes + 1)
    if len(data) > limit_bytes:
        raise BadKeyFile(f"{path.name}: larger than {limit_bytes} bytes: that is not what it should be")
    return data
