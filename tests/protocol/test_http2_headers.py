import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import InformationalHead, RequestHead, ResponseHead
from protocol.http2_headers import (
    LiteralEncoder,
    encode_integer,
    parse_request,
    promised_bytes,
    response_fields,
)
from tests.kit.h2_wire import GET


def test_a_request_is_read_into_a_head_without_host_and_fields_of_this_hop() -> None:
    fields = [
        *GET,
        (b"host", b"GW.example:6443"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"accept", b"*/*"),
    ]
    assert parse_request(7, fields, ended=True) == RequestHead(
        method=b"GET",
        target=b"/api/v1/namespaces/default/pods?limit=500",
        authority=b"gw.example:6443",
        headers=((b"accept", b"*/*"),),
        http_version=b"2",
        stream_id=7,
        content_length=0,
    )


def test_no_value_is_quoted_in_an_error() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_request(
            1, [*GET, (b"authorization", b"Bearer SECRET"), (b"authorization", b"Bearer SECRET")], ended=True
        )
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("value", [b"", b"-1", b"1_0", b"\xef\xbc\x91", b"1" * 17])
def test_an_odd_content_length_is_refused(value: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="content-length"):
        parse_request(1, [*GET, (b"content-length", value)], ended=False)


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=12))
def test_any_fields_are_a_head_or_a_refusal(fields: list[tuple[bytes, bytes]]) -> None:
    assert hint_of(fields) in (400, 405, 414, 417, 431)  # no pseudo-header set can come out of so few bytes
    assert hint_of([*GET, *fields]) in (None, 400, 417)


def hint_of(fields: list[tuple[bytes, bytes]]) -> int | None:
    try:
        parse_request(1, fields, ended=False)
    except RemoteProtocolError as error:
        return error.status_hint
    return None


def test_a_length_is_added_where_a_body_may_follow() -> None:
    head = ResponseHead(200, ((b"x-a", b"b"),), content_length=3)
    assert response_fields(head) == ((b":status", b"200"), (b"x-a", b"b"), (b"content-length", b"3"))


def test_an_interim_answer_is_its_status_alone() -> None:
    assert response_fields(InformationalHead()) == ((b":status", b"100"),)
    with pytest.raises(LocalProtocolError):
        response_fields(InformationalHead(102))


@pytest.mark.parametrize(
    ("head", "is_head", "promised"),
    [
        (ResponseHead(200), False, None),
        (ResponseHead(200, content_length=5), False, 5),
        (ResponseHead(200, ((b"content-length", b"7"),)), False, 7),
        (ResponseHead(200, content_length=5), True, 0),
        (ResponseHead(204), False, 0),
        (ResponseHead(304, content_length=5), False, 0),
    ],
)
def test_a_head_promises_so_many_bytes(head: ResponseHead, is_head: bool, promised: int | None) -> None:
    assert promised_bytes(head, is_head=is_head) == promised


@given(
    st.lists(
        st.tuples(st.sampled_from([b"etag", b"x-long-name", b"date"]), st.binary(max_size=400)), max_size=8
    )
)
def test_what_is_encoded_decodes_and_keeps_no_state(fields: list[tuple[bytes, bytes]]) -> None:
    encoder, decoder = LiteralEncoder(), Decoder()
    for _ in range(2):
        assert decoder.decode(encoder.encode(fields), raw=True) == fields
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
