"""hpack's encoder and decoder are the oracle."""

import pytest
from hpack.exceptions import HPACKError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as decode_by_hpack
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.http2_huffman import Undecodable, decode_huffman

ENCODER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


@pytest.mark.parametrize("octet", range(256))
def test_every_symbol_decodes_alone_and_in_company(octet: int) -> None:
    for text in (bytes((octet,)), bytes((octet,)) * 9, b"a" + bytes((octet,)) + b"Z"):
        assert decode_huffman(ENCODER.encode(text)) == text


# RFC 7541 appendix C.4.1
def test_the_example_of_the_rfc() -> None:
    assert decode_huffman(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff")) == b"www.example.com"


@given(st.binary(max_size=300))
def test_what_hpack_encodes_is_decoded(text: bytes) -> None:
    assert decode_huffman(ENCODER.encode(text)) == text


@given(st.binary(max_size=12) | st.lists(st.sampled_from(b"\xff\xfe\x00\x1f\xf8"), max_size=9).map(bytes))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused_as_hpack_does(data: bytes) -> None:
    try:
        expected = decode_by_hpack(data)
    except HPACKError:
        with pytest.raises(Undecodable):
            decode_huffman(data)
    else:
        assert decode_huffman(data) == expected


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x07\xff\xff", b"\x1f\xfe", b"\xff"])
def test_eos_and_bad_padding_are_refused(data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_huffman(data)
