"""Which dictionary a segment is compressed with, and bounded zstd in both directions.

A commit holds one to four records at low load; a trained dictionary lets such small frames compress
like large ones. Dictionaries ship with the code, are named by id and SHA-256 in every segment header,
and are never changed or removed: a segment whose dictionary is missing cannot be read.

The trap: zstandard's `decompress` ignores `max_output_size` when the frame declares its size. So the
declared size must equal the expected one before anything is allocated; then zstd itself refuses to
write past it, and reports a frame that is cut, followed by other bytes, or fails its checksum.
"""

import hashlib
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from storage.errors import UnknownDictionary
from storage.format import ZstdParameters

DEFAULT_LEVEL: Final = 3
DEFAULT_DICTIONARY_ID: Final = 32_770
"""zstd reserves ids below 32768 for a public registry; ours are private and count from there."""
LARGE_BYTES: Final = 16 * 1024
"""From here on speed counts more: a faster level takes two thirds of the time and 3 % more room."""
LARGE_LEVEL: Final = 1
HOPELESS_LEVEL: Final = -20
"""For what does not compress (archives, images, ciphertext): four times as fast again as the level above."""
SAMPLING_LEVEL: Final = -1
SAMPLES: Final = 4
SAMPLE_BYTES: Final = 1024
"""What is looked at to know that, a tenth of the time it saves: in the middle of each quarter."""
HOPELESS_SHARE: Final = 0.95
DICTIONARIES: Final = Path(__file__).parent / "dictionaries"


class BadCompression(Exception):
    """Bytes that do not decompress to what was announced; callers say where."""


@lru_cache(maxsize=8)
def load_dictionary(dict_id: int, directory: Path = DICTIONARIES) -> bytes:
    """The bytes of a shipped dictionary. Raises UnknownDictionary."""
    try:
        return (directory / f"{dict_id}.zdict").read_bytes()
    except FileNotFoundError as error:
        raise UnknownDictionary(
            f"dictionary {dict_id} is not part of this version: read this segment with the version that "
            f"wrote it, or put {dict_id}.zdict into {directory}"
        ) from error


def shipped_parameters(dict_id: int = DEFAULT_DICTIONARY_ID, level: int = DEFAULT_LEVEL) -> ZstdParameters:
    """What a segment header says about compression with a shipped dictionary; dict_id 0: with none."""
    digest = hashlib.sha256(load_dictionary(dict_id)).digest() if dict_id else b""
    return ZstdParameters(level, dict_id, digest)


@lru_cache(maxsize=16)
def _prepared(parameters: ZstdParameters) -> zstandard.ZstdCompressionDict | None:
    if not parameters.dict_id:
        return None
    data = load_dictionary(parameters.dict_id)
    if hashlib.sha256(data).digest() != parameters.dict_sha256:
        raise UnknownDictionary(
            f"dictionary {parameters.dict_id} of this version is not the one the segment was written with"
        )
    prepared = zstandard.ZstdCompressionDict(data)
    # Digested once, or every frame would pay for reading the whole dictionary.
    prepared.precompute_compress(level=parameters.level)
    return prepared


class Compression:
    """Compressor and decompressor of one segment. Not for two threads at once: zstandard's objects are not, and
    compress without the interpreter lock. So nothing here may be shared with the segments of another log."""

    def __init__(self, parameters: ZstdParameters) -> None:
        """Raises UnknownDictionary when this version lacks the dictionary or has another one."""
        self._parameters = parameters
        self._decompressor = zstandard.ZstdDecompressor(dict_data=_prepared(parameters))

    def compress(self, raw: bytes) -> bytes:
        """One independent zstd frame that declares its size and ends with a checksum."""
        if len(raw) < LARGE_BYTES:
            return self._small.compress(raw)
        return (self._hopeless if self._is_hopeless(raw) else self._large).compress(raw)

    # Made when they are needed: a reader needs none.

    @cached_property
    def _small(self) -> zstandard.ZstdCompressor:
        return self._compressor(self._parameters.level)

    @cached_property
    def _large(self) -> zstandard.ZstdCompressor:
        return self._compressor(min(self._parameters.level, LARGE_LEVEL))

    @cached_property
    def _hopeless(self) -> zstandard.ZstdCompressor:
        return self._compressor(HOPELESS_LEVEL)

    @cached_property
    def _sampler(self) -> zstandard.ZstdCompressor:
        return zstandard.ZstdCompressor(level=SAMPLING_LEVEL)

    def _is_hopeless(self, raw: bytes) -> bool:
        """Whether a large block looks as if it cannot be compressed. Wrong either way only costs time or room."""
        step = len(raw) // SAMPLES
        start = (step - SAMPLE_BYTES) // 2
        sample = b"".join(raw[at : at + SAMPLE_BYTES] for at in range(start, len(raw), step))
        return len(self._sampler.compress(sample)) > HOPELESS_SHARE * len(sample)

    def _compressor(self, level: int) -> zstandard.ZstdCompressor:
        return zstandard.ZstdCompressor(
            level=level,
            dict_data=_prepared(msgspec.structs.replace(self._parameters, level=level)),
            # Without it one in three flipped bits decodes silently to other content.
            write_checksum=True,
            write_content_size=True,
            write_dict_id=False,  # the segment header names it, with its hash
        )

    def decompress(self, payload: bytes, raw_len: int) -> bytes:
        """Exactly raw_len bytes, never allocating more. Raises BadCompression."""
        try:
            # Size 0 would mean "unknown" to the binding, and then no limit would hold.
            if zstandard.get_frame_parameters(payload).content_size != raw_len or not raw_len:
                raise BadCompression(f"the compressed data declares another size than {raw_len} bytes")
            return self._decompressor.decompress(payload, max_output_size=raw_len, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise BadCompression(f"the compressed data is damaged: {error}") from error
