import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.events import RequestHead
from protocol.http2_frames import ConnectionFault
from protocol.http2_headers import Kind, judge_field
from protocol.http2_headers import parse_request as parse_judged
from tests.kit.h2_wire import GET

Fields = list[tuple[bytes, bytes]]


def parse_request(stream_id: int, fields: Fields, *, ended: bool) -> RequestHead:
    return parse_judged(stream_id, [judge_field(name, value) for name, value in fields], ended=ended)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        (b"accept", b"*/*", Kind.ORDINARY),
        (b":path", b"/", Kind.PSEUDO),
        (b":status", b"200", Kind.BAD_PSEUDO),
        (b":path", b"/\n", Kind.BAD_VALUE),
        (b"authorization", b"Bearer x", Kind.SINGLETON),
        (b"content-length", b"007", Kind.LENGTH),
        (b"content-length", b"+7", Kind.BAD_LENGTH),
        (b"content-length", b"7" * 4301, Kind.BAD_LENGTH),
        (b"host", b"gw", Kind.HOST),
        (b"te", b"Trailers", Kind.DROPPED),
        (b"te", b"gzip", Kind.CONNECTION),
        (b"trailer", b"x", Kind.DROPPED),
        (b"upgrade", b"websocket", Kind.CONNECTION),
        (b"X-A", b"b", Kind.BAD_NAME),
        (b"x_a", b"b", Kind.BAD_NAME),
    ],
)
def test_a_field_is_judged_by_itself(name: bytes, value: bytes, kind: Kind) -> None:
    field = judge_field(name, value)
    assert (field.pair, field.kind, field.size_bytes) == ((name, value), kind, len(name) + len(value) + 32)


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


@pytest.mark.parametrize("value", [b"1" * 17, b"00", b"01"])
def test_an_odd_content_length_is_refused(value: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="content-length"):
        parse_request(1, [*GET, (b"content-length", value)], ended=False)


@pytest.mark.parametrize("value", [b"", b"-1", b"1_0", b"\xef\xbc\x91", b" 1", b"1" * 4301])
def test_a_content_length_that_is_no_number_ends_the_connection(value: bytes) -> None:
    with pytest.raises(ConnectionFault, match="content-length"):
        parse_request(1, [*GET, (b"content-length", value)], ended=False)


def test_two_content_lengths_that_differ_end_the_connection() -> None:
    lengths = [(b"content-length", b"5"), (b"content-length", b"05")]
    with pytest.raises(RemoteProtocolError, match="twice"):
        parse_request(1, [*GET, *lengths], ended=False)
    with pytest.raises(ConnectionFault, match="differ"):
        parse_request(1, [*GET, *lengths, (b"content-length", b"6")], ended=False)


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=12))
def test_any_fields_are_a_head_or_a_refusal(fields: Fields) -> None:
    assert hint_of(fields) in (400, 405, 414, 417, 431)  # no pseudo-header set can come out of so few bytes
    assert hint_of([*GET, *fields]) in (None, 400, 417)


def hint_of(fields: Fields) -> int | None:
    try:
        parse_request(1, fields, ended=False)
    except RemoteProtocolError as error:
        return error.status_hint
    return None
