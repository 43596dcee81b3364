"""hpack is the oracle: blocks of its encoder, and any bytes at all, are read as its decoder reads them."""

import pytest
from hpack import Decoder, Encoder, HeaderTuple, NeverIndexedHeaderTuple
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import TooLarge
from protocol.http2_hpack import MAX_DECODED_BYTES, STATIC_TABLE, TABLE_BYTES, HpackDecoder, decode_integer
from protocol.http2_huffman import Undecodable

Pairs = list[tuple[bytes, bytes]]
NAMES = st.sampled_from([b":path", b":method", b"authorization", b"x-a", b"x-b", b"user-agent", b"x" * 200])
VALUES = st.sampled_from([b"", b"GET", b"/", b"a", b"b", b"v" * 130, b"w" * 2000]) | st.binary(max_size=20)
FIELDS = st.tuples(NAMES, VALUES, st.booleans())
BLOCKS = st.tuples(st.lists(FIELDS, max_size=8), st.booleans(), st.sampled_from([None, None, 0, 100, 4096]))


def pairs(decoder: HpackDecoder, block: bytes) -> Pairs:
    return [field.pair for field in decoder.decode(block)]


def test_the_static_table_is_that_of_the_rfc() -> None:
    assert tuple(field.pair for field in STATIC_TABLE) == HeaderTable.STATIC_TABLE


@given(st.lists(BLOCKS, max_size=12))
@settings(deadline=None)
def test_a_conversation_of_blocks_is_read_as_it_was_written(
    blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool, int | None]],
) -> None:
    encoder, decoder = Encoder(), HpackDecoder()
    for fields, huffman, table_bytes in blocks:
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        told = [(NeverIndexedHeaderTuple if hidden else HeaderTuple)(n, v) for n, v, hidden in fields]
        assert pairs(decoder, encoder.encode(told, huffman=huffman)) == [(n, v) for n, v, _ in fields]


OCTETS = st.sampled_from(b"\x82\x84\xbe\xbf\xc0\xff\x7f\x40\x41\x00\x0f\x1f\x20\x3f\x3e\x01\x83\x80a")
ANY_BLOCK = st.lists(OCTETS, max_size=14).map(bytes) | st.binary(max_size=40)


@given(st.lists(ANY_BLOCK, max_size=6))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused_as_hpack_does(blocks: list[bytes]) -> None:
    ours, theirs = HpackDecoder(), Decoder()
    for block in blocks:
        try:
            expected = [tuple(field) for field in theirs.decode(block, raw=True)]
        except HPACKError:
            with pytest.raises(Undecodable):
                ours.decode(block)
            return
        assert pairs(ours, block) == expected


# RFC 7541 appendix C.5: a table of 256 bytes, with evictions
def test_the_examples_of_the_rfc_with_evictions() -> None:
    decoder = HpackDecoder()
    first = "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d"
    assert pairs(decoder, b"\x3f\xe1\x01" + bytes.fromhex(first))[0] == (b":status", b"302")
    second = pairs(decoder, bytes.fromhex("4803333037c1c0bf"))
    assert second[0] == (b":status", b"307")
    assert second[3] == (b"location", b"https://www.example.com")


def test_a_field_larger_than_the_table_empties_it() -> None:
    decoder = HpackDecoder()
    decoder.decode(b"\x40\x01a\x01b")
    decoder.decode(b"\x40\x01c\x7f\xe1\x1f" + b"x" * 4192)
    with pytest.raises(Undecodable):
        decoder.decode(b"\xbe")


def test_a_table_as_large_as_we_offer_is_kept_in_full() -> None:
    decoder = HpackDecoder()
    value = b"v" * (TABLE_BYTES // 2 - 32 - 1)
    for name in (b"a", b"b"):
        decoder.decode(b"\x40\x01" + name + b"\x7f\xe0\x0e" + value)
    assert pairs(decoder, b"\xbf\xbe") == [(b"a", value), (b"b", value)]


def test_a_list_that_grows_without_end_is_stopped_while_it_grows() -> None:
    decoder, oracle = HpackDecoder(), Decoder(MAX_DECODED_BYTES)
    bomb = b"\x40\x01a\x7f\xb9\x17" + b"v" * 3000 + b"\xbe" * 60_000
    with pytest.raises(OversizedHeaderListError):
        oracle.decode(bomb)
    with pytest.raises(TooLarge):
        decoder.decode(bomb)


@pytest.mark.parametrize("encoded", [b"\x0a", b"\x1f\x9a\x0a", b"\x1f\x00", b"\x1f\xff\xff\xff\xff\x0f"])
def test_integers_are_read(encoded: bytes) -> None:
    number = {b"\x0a": 10, b"\x1f\x9a\x0a": 1337, b"\x1f\x00": 31}.get(encoded, 2**32 - 1 + 31)
    assert decode_integer(encoded + b"rest", 0, 0x1F) == (number, len(encoded))
    assert decode_integer(b"xx" + encoded, 2, 0x1F) == (number, 2 + len(encoded))


def test_an_integer_without_end_is_refused() -> None:
    with pytest.raises(Undecodable):
        decode_integer(b"\x1f" + b"\x80" * 30, 0, 0x1F)
