import hashlib
import random
import subprocess
import sys
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
    DICTIONARIES,
    LARGE_BYTES,
    BadCompression,
    Compression,
    load_dictionary,
    shipped_parameters,
)
from storage.errors import UnknownDictionary
from tests.kit.running import ROOT, environment

PARAMETERS = shipped_parameters()
COMPRESSION = Compression(PARAMETERS)
SHIPPED_SHA256 = {
    32_769: "ada6e76b6352a45fb56fcf322e18f22d956ddcb0106e9373b9cc0857f1fb1dcf",
    32_770: "ec09452dc7395832721dc7ca46c987ae77c3fdfb8b6f9c2d93687f705e3de3be",
}


@pytest.mark.parametrize("dict_id", SHIPPED_SHA256)
def test_a_shipped_dictionary_is_the_one_segments_were_written_with(dict_id: int) -> None:
    """If this fails, segments in the field can no longer be read: add a new id, never change an old file."""
    assert hashlib.sha256(load_dictionary(dict_id)).hexdigest() == SHIPPED_SHA256[dict_id]
    assert zstandard.ZstdCompressionDict(load_dictionary(dict_id)).dict_id() == dict_id
    assert shipped_parameters(dict_id).dict_sha256.hex() == SHIPPED_SHA256[dict_id]


def test_every_dictionary_that_ships_is_known_here() -> None:
    assert {path.stem for path in DICTIONARIES.glob("*.zdict")} == {str(one) for one in SHIPPED_SHA256}


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


@pytest.mark.parametrize("size", [LARGE_BYTES - 1, LARGE_BYTES, 1024 * 1024])
@pytest.mark.parametrize("text", [True, False])
def test_large_blocks_and_what_does_not_compress_come_back(size: int, text: bool) -> None:
    raw = (b'{"kind":"Pod","apiVersion":"v1"}' * size)[:size] if text else random.Random(7).randbytes(size)
    payload = COMPRESSION.compress(raw)
    assert COMPRESSION.decompress(payload, size) == raw
    assert len(payload) < size / 10 if text else len(payload) < size + 1024


def test_a_large_block_is_compressed_though_some_of_it_cannot_be() -> None:
    half = 64 * 1024
    raw = random.Random(7).randbytes(half) + b"a" * half
    assert len(COMPRESSION.compress(raw)) < half + 1024


def test_what_an_older_dictionary_made_is_read() -> None:
    older = Compression(shipped_parameters(32_769))
    assert older.decompress(older.compress(b"abc"), 3) == b"abc"


TWO_THREADS = """
import random, sys, threading
from storage.dictionary import LARGE_BYTES, Compression, shipped_parameters

def compress(seed):
    raw, compression = random.Random(seed).randbytes(LARGE_BYTES), Compression(shipped_parameters())
    for _ in range(4000):
        assert compression.decompress(compression.compress(raw), LARGE_BYTES) == raw

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=compress, args=(seed,)) for seed in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("alive")
"""


def test_two_threads_compress_large_blocks_of_two_segments_at_once() -> None:
    """As one that seals a segment beside the one that writes the next: in a process of their own, it could crash."""
    command = [sys.executable, "-c", TWO_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")
