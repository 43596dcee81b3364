import hashlib
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.kubernetes_samples import KNOWN
from benchmarks.train_dictionary import measure
from storage.dictionary import (
    DEFAULT_DICTIONARY_ID,
    BadCompression,
    Compression,
    load_dictionary,
    shipped_parameters,
)
from storage.errors import UnknownDictionary

PARAMETERS = shipped_parameters()
COMPRESSION = Compression(PARAMETERS)
SHIPPED_SHA256 = "ada6e76b6352a45fb56fcf322e18f22d956ddcb0106e9373b9cc0857f1fb1dcf"


def test_the_shipped_dictionary_is_the_one_every_segment_was_written_with() -> None:
    """If this fails, segments in the field can no longer be read: add a new id, never change an old file."""
    assert hashlib.sha256(load_dictionary(DEFAULT_DICTIONARY_ID)).hexdigest() == SHIPPED_SHA256
    assert (
        zstandard.ZstdCompressionDict(load_dictionary(DEFAULT_DICTIONARY_ID)).dict_id()
        == DEFAULT_DICTIONARY_ID
    )
    assert PARAMETERS.dict_sha256.hex() == SHIPPED_SHA256


def test_the_dictionary_halves_single_record_frames() -> None:
    plain, trained = measure(0, KNOWN, 1, 300), measure(DEFAULT_DICTIONARY_ID, KNOWN, 1, 300)
    assert trained["bytes_per_record"] < 0.6 * plain["bytes_per_record"]


def test_a_missing_dictionary_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownDictionary, match="dictionary 40000 is not part of this version"):
        load_dictionary(40_000, tmp_path)


def test_a_dictionary_of_another_content_is_refused() -> None:
    with pytest.raises(UnknownDictionary, match="not the one"):
        Compression(msgspec.structs.replace(PARAMETERS, dict_sha256=bytes(32)))


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=2000))
def test_what_is_compressed_comes_back(raw: bytes) -> None:
    assert COMPRESSION.decompress(COMPRESSION.compress(raw), len(raw)) == raw


def test_without_a_dictionary_it_works_too() -> None:
    plain = Compression(shipped_parameters(0))
    assert plain.decompress(plain.compress(b"abc"), 3) == b"abc"


def test_every_flipped_bit_and_every_cut_is_found_and_nothing_more_is_allocated() -> None:
    raw = b"pods is forbidden: User cannot list resource " * 4
    payload = COMPRESSION.compress(raw)
    damaged = [payload[:end] for end in range(len(payload))] + [payload + b"\0", payload + payload]
    for bit in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for data in damaged:
        try:
            # A few header bits carry nothing for the decoder: then the content must be right.
            assert COMPRESSION.decompress(data, len(raw)) == raw
        except BadCompression:
            continue


@pytest.mark.parametrize("raw_len", [0, 1, 10_000])
def test_a_frame_that_declares_another_size_is_refused_before_it_is_decoded(raw_len: int) -> None:
    bomb = COMPRESSION.compress(bytes(1 << 20))
    with pytest.raises(BadCompression, match="declares another size"):
        COMPRESSION.decompress(bomb, raw_len)


def test_a_frame_that_declares_no_size_is_refused() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc")
    with pytest.raises(BadCompression, match="declares another size"):
        COMPRESSION.decompress(unsized, 3)
