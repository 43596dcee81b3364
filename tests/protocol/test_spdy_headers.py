import hashlib
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.spdy_headers import (
    DICTIONARY,
    FORBIDDEN_NAMES,
    MAX_BLOCK_BYTES,
    MAX_PAIRS,
    HeaderDecoder,
    HeaderEncoder,
)
from tests.kit import spdy_bytes
from tests.kit.spdy_bytes import BlockWriter, plain_block

STREAM_HEAD_BYTES = 18


def test_dictionary_is_the_published_one() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    digest = "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"
    assert hashlib.sha256(DICTIONARY).hexdigest() == digest


def test_blocks_of_kubectl_share_one_zlib_stream() -> None:
    decoder = HeaderDecoder()
    frames = (spdy_bytes.OPEN_ERROR, spdy_bytes.OPEN_STDIN, spdy_bytes.OPEN_STDOUT, spdy_bytes.OPEN_STDERR)
    read = [decoder.decode(frame[STREAM_HEAD_BYTES:]) for frame in frames]
    assert read == [((b"streamtype", name),) for name in (b"error", b"stdin", b"stdout", b"stderr")]


def test_empty_block_of_zlib_level_9_is_read() -> None:
    assert HeaderDecoder().decode(spdy_bytes.EMPTY_BLOCK) == ()


def test_what_is_written_inflates_to_the_published_layout() -> None:
    inflater = zlib.decompressobj(zdict=DICTIONARY)
    encoder = HeaderEncoder()
    pairs = ((b"streamtype", b"data"), (b"port", b"80"))
    assert inflater.decompress(encoder.encode(pairs)) == plain_block(pairs)
    assert inflater.decompress(encoder.encode(())) == b"\0\0\0\0"


def test_values_of_one_name_are_joined_by_nul_and_split_again() -> None:
    pairs = ((b"a", b"1"), (b"b", b""), (b"a", b"2"))
    block = HeaderEncoder().encode(pairs)
    plain = zlib.decompressobj(zdict=DICTIONARY).decompress(block)
    assert plain == plain_block([(b"a", b"1\x002"), (b"b", b"")])
    assert HeaderDecoder().decode(block) == ((b"a", b"1"), (b"a", b"2"), (b"b", b""))


names = st.binary(min_size=1, max_size=20).map(lambda raw: bytes(0x61 + byte % 26 for byte in raw))
names = names.filter(lambda name: name not in FORBIDDEN_NAMES)
values = st.binary(max_size=200).map(lambda raw: raw.replace(b"\0", b"0"))


@settings(max_examples=100)
@given(st.lists(st.dictionaries(names, values, max_size=8), max_size=6))
def test_every_block_of_a_direction_comes_back(blocks: list[dict[bytes, bytes]]) -> None:
    encoder, decoder = HeaderEncoder(), HeaderDecoder()
    for block in blocks:
        pairs = tuple(block.items())
        assert decoder.decode(encoder.encode(pairs)) == pairs


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (b"", "inside a length"),
        (b"\0\0\0", "inside a length"),
        (b"\0\0\0\x01", "more than fit"),
        (b"\xff\xff\xff\xff", "more than fit"),
        (b"\0\0\0\x02" + plain_block([(b"a", b"1234")])[4:] + b"\0\0\0", "inside a length"),
        (struct.pack(">III", 1, 2**31, 0), "exceeds the block"),
        (struct.pack(">II", 1, 1) + b"a" + struct.pack(">I", 2) + b"b", "exceeds the block"),
        (plain_block([(b"", b"x")]), "empty"),
        (plain_block([(b"Port", b"80")]), "capitals"),
        (plain_block([(b"po rt", b"80")]), "visible"),
        (plain_block([(b"po\xc3\xbct", b"80")]), "visible"),
        (plain_block([(b"a", b"1"), (b"a", b"2")]), "twice"),
        (plain_block([(b"transfer-encoding", b"chunked")]), "HTTP/1.1"),
        (plain_block([(b"host", b"a")]), "HTTP/1.1"),
        (plain_block([(b"a", b"1\0\x002")]), "empty value"),
        (plain_block([(b"a", b"\x001")]), "empty value"),
        (plain_block([(b"a", b"1")]) + b"\0", "after the last"),
        (plain_block([(b"a", b"1")]) + plain_block([(b"b", b"2")]), "after the last"),
    ],
)
def test_malformed_block_is_refused(plain: bytes, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        HeaderDecoder().decode(BlockWriter().compress(plain))


def test_block_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    fits = plain_block([(b"a", b"x" * (MAX_BLOCK_BYTES - 13))])
    assert len(fits) == MAX_BLOCK_BYTES
    assert len(HeaderDecoder().decode(BlockWriter().compress(fits))[0][1]) == MAX_BLOCK_BYTES - 13
    with pytest.raises(TooLarge):
        HeaderDecoder().decode(BlockWriter().compress(plain_block([(b"a", b"x" * (MAX_BLOCK_BYTES - 12))])))


def test_as_many_pairs_as_allowed_are_read_and_one_more_is_not() -> None:
    pairs = [(b"n%d" % number, b"v") for number in range(MAX_PAIRS + 1)]
    assert len(HeaderDecoder().decode(BlockWriter().block(*pairs[:-1]))) == MAX_PAIRS
    with pytest.raises(TooLarge, match="257 pairs"):
        HeaderDecoder().decode(BlockWriter().block(*pairs))
    with pytest.raises(TooLarge, match="values"):
        HeaderDecoder().decode(BlockWriter().block((b"a", b"\0".join([b"v"] * (MAX_PAIRS + 1)))))


def test_zlib_bomb_costs_no_more_than_the_limit() -> None:
    bomb = BlockWriter().compress(bytes(16 * 1024 * 1024))
    assert len(bomb) < 64 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            HeaderDecoder().decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_block_that_is_not_zlib_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="zlib"):
        HeaderDecoder().decode(b"streamtype")


def test_stream_with_another_dictionary_is_refused() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, 15, 8, 0, b"another dictionary")
    block = deflater.compress(b"\0\0\0\0") + deflater.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(RemoteProtocolError, match="zlib"):
        HeaderDecoder().decode(block)


def test_finished_zlib_stream_is_refused() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, 15, 8, 0, DICTIONARY)
    with pytest.raises(RemoteProtocolError, match="finished"):
        HeaderDecoder().decode(deflater.compress(b"\0\0\0\0") + deflater.flush())


def test_block_without_flush_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="inside a length"):
        HeaderDecoder().decode(spdy_bytes.EMPTY_BLOCK[:8])


@pytest.mark.parametrize(
    "headers",
    [
        ((b"Port", b"80"),),
        ((b"connection", b"close"),),
        ((b"a", b"1\x002"),),
        ((b"a", b""), (b"a", b"1")),
        ((b"a", b"x" * MAX_BLOCK_BYTES),),
    ],
)
def test_encoder_refuses_what_a_decoder_would(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    encoder = HeaderEncoder()
    with pytest.raises(LocalProtocolError):
        encoder.encode(headers)
    # A refused block must leave no trace in the zlib stream.
    assert HeaderDecoder().decode(encoder.encode(((b"a", b"1"),))) == ((b"a", b"1"),)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 41), st.integers(0, 255))
def test_mutated_block_is_read_or_refused_and_nothing_else(tail: bytes, place: int, byte: int) -> None:
    block = bytearray(spdy_bytes.OPEN_ERROR[STREAM_HEAD_BYTES:] + tail)
    block[place % len(block)] = byte
    try:
        HeaderDecoder().decode(bytes(block))
    except RemoteProtocolError:
        pass
