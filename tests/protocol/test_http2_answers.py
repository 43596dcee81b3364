import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError
from protocol.events import InformationalHead, ResponseHead
from protocol.http2_answers import NO_TABLE, encode_head, encode_integer, encode_length


def fields_of(head: ResponseHead | InformationalHead) -> list[tuple[bytes, bytes]]:
    return [(field[0], field[1]) for field in Decoder().decode(encode_head(head)[0], raw=True)]


def test_a_length_is_added_where_a_body_may_follow() -> None:
    head = ResponseHead(200, ((b"x-a", b"b"),), content_length=3)
    assert fields_of(head) == [(b":status", b"200"), (b"x-a", b"b"), (b"content-length", b"3")]


def test_an_interim_answer_is_its_status_alone() -> None:
    assert fields_of(InformationalHead()) == [(b":status", b"100")]
    with pytest.raises(LocalProtocolError):
        encode_head(InformationalHead(102))


@pytest.mark.parametrize("status", range(200, 600))
def test_every_status_decodes_to_itself(status: int) -> None:
    assert fields_of(ResponseHead(status)) == [(b":status", b"%d" % status)]


@pytest.mark.parametrize(
    ("head", "promised"),
    [
        (ResponseHead(200), None),
        (ResponseHead(200, content_length=5), 5),
        (ResponseHead(200, ((b"content-length", b"7"),)), 7),
        (ResponseHead(204), 0),
        (ResponseHead(304, content_length=5), 0),
        (InformationalHead(), None),
    ],
)
def test_a_head_promises_so_many_bytes(head: ResponseHead | InformationalHead, promised: int | None) -> None:
    assert encode_head(head)[1] == promised


@pytest.mark.parametrize(
    "field",
    [(b"connection", b"close"), (b"X-Upper", b"v"), (b":status", b"a\nb"), (b"x-a", b" v"), (b"", b"v")],
)
def test_a_field_that_http2_does_not_allow_is_a_bug_of_ours(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        encode_head(ResponseHead(200, (field,)))


NAMES = st.sampled_from([b"etag", b"x-long-name", b"date", b"x" * 200])
VALUES = st.text("abcXYZ 09-_=;,/", max_size=400).map(lambda text: text.strip().encode())


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_what_is_encoded_decodes_and_keeps_no_state(fields: list[tuple[bytes, bytes]]) -> None:
    decoder = Decoder()
    decoder.decode(NO_TABLE)
    for _ in range(2):
        block, _ = encode_head(ResponseHead(200, tuple(fields)))
        assert decoder.decode(block, raw=True) == [(b":status", b"200"), *fields]
        assert not decoder.header_table.dynamic_entries


# RFC 7541 appendix C.1
@pytest.mark.parametrize(
    ("number", "bits", "encoded"),
    [
        (10, 5, b"\x0a"),
        (1337, 5, b"\x1f\x9a\x0a"),
        (42, 8, b"\x2a"),
        (31, 5, b"\x1f\x00"),
        (127, 7, b"\x7f\x00"),
    ],
)
def test_integers_are_those_of_the_rfc(number: int, bits: int, encoded: bytes) -> None:
    assert encode_integer(number, bits) == encoded


def test_a_length_is_an_integer_without_the_huffman_bit() -> None:
    assert [encode_length(n) for n in (0, 126, 127, 300)] == [b"\x00", b"\x7e", b"\x7f\x00", b"\x7f\xad\x01"]
