import pytest

from protocol.errors import LocalProtocolError
from protocol.events import Headers, RequestHead, ResponseHead
from protocol.http1_head_writing import REASONS, encode_request_head, encode_response_head, split_length
from protocol.http1_heads import parse_status_line
from tests.kit.http1_messages import FIELD_VALUES


def request(**changes: object) -> RequestHead:
    fields: dict[str, object] = {"method": b"GET", "target": b"/api", "authority": b"k8s:6443", "headers": ()}
    return RequestHead(**(fields | changes))  # type: ignore[arg-type]


def encoded(status: int = 200, *headers: tuple[bytes, bytes]) -> bytes:
    return encode_response_head(ResponseHead(status, headers), length=None, chunked=False, close=False)


@pytest.mark.parametrize(
    ("method", "length", "framing"),
    [
        (b"GET", 0, b""),
        (b"HEAD", 0, b""),
        (b"DELETE", 0, b""),
        (b"OPTIONS", 0, b""),
        (b"POST", 0, b"Content-Length: 0\r\n"),
        (b"PUT", 0, b"Content-Length: 0\r\n"),
        (b"PATCH", 0, b"Content-Length: 0\r\n"),
        (b"DELETE", 17, b"Content-Length: 17\r\n"),
        (b"POST", 17, b"Content-Length: 17\r\n"),
        (b"POST", None, b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_a_request_says_how_its_body_ends(method: bytes, length: int | None, framing: bytes) -> None:
    wire = encode_request_head(request(method=method, content_length=length, headers=((b"a", b"b"),)))
    assert wire == method + b" /api HTTP/1.1\r\nHost: k8s:6443\r\na: b\r\n" + framing + b"\r\n"


def test_an_upgrade_request_brings_its_own_connection_fields() -> None:
    headers: Headers = ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1"))
    wire = encode_request_head(request(method=b"POST", upgrade=b"spdy/3.1", headers=headers))
    assert wire == (
        b"POST /api HTTP/1.1\r\nHost: k8s:6443\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"
    )
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(headers=headers))
    with pytest.raises(LocalProtocolError, match="has a body"):
        encode_request_head(request(upgrade=b"spdy/3.1", headers=headers, content_length=1))


def test_a_last_request_says_close_and_an_expectation_is_not_passed_on() -> None:
    wire = encode_request_head(request(wants_close=True, expects_continue=True, content_length=3))
    assert wire.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\n")
    assert b"xpect" not in wire


@pytest.mark.parametrize("method", [b"get", b"TRACE", b"CONNECT", b"", b"GET /x HTTP/1.1\r\nX:", b"G T"])
def test_a_request_to_be_sent_has_a_known_method(method: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(method=method))


@pytest.mark.parametrize(
    "target",
    [b"", b"*", b"http://a/", b"/a b", b"/a\r\nX: y", b"/a\n", b"/\x00", b"/\xc3\xa9", b"/a#b", b"a"],
)
def test_a_request_to_be_sent_has_a_target_in_origin_form(target: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(target=target))


@pytest.mark.parametrize("authority", [b"", b"a b", b"a\r\nX: y", b"user@a", b"a/b"])
def test_a_request_to_be_sent_has_an_authority(authority: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(authority=authority))


@pytest.mark.parametrize(
    "name", [b"host", b"content-length", b"transfer-encoding", b"connection", b"te", b"expect", b"keep-alive"]
)
def test_a_caller_does_not_frame_a_request(name: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=name.decode()):
        encode_request_head(request(headers=((name, b"x"),)))


@pytest.mark.parametrize(
    "name", [b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"trailer"]
)
def test_a_caller_does_not_frame_a_response(name: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=name.decode()):
        encoded(200, (name, b"x"))


@pytest.mark.parametrize(
    "value", [*FIELD_VALUES, b"\r", b"\n", b"\r\n", b"\r\nSet-Cookie: a", b"\r\n\r\n<html>", b" a", b"a "]
)
def test_no_value_can_split_a_head_we_send(value: bytes) -> None:
    """H19: where a value came from does not matter."""
    inner = b"a" + value + b"b" if value.strip(b" ") == value else value
    with pytest.raises(LocalProtocolError):
        encoded(200, (b"location", inner))
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(headers=((b"x", inner),)))


@pytest.mark.parametrize("value", [b"", b"a:  b", b"a: \tb", b"a\tb"])
def test_blanks_within_a_value_are_part_of_it(value: bytes) -> None:
    assert encoded(200, (b"x", value)) == b"HTTP/1.1 200 OK\r\nx: " + value + b"\r\n\r\n"


@pytest.mark.parametrize("name", [b"", b"A", b"a b", b"a:", b"a\r\n", b"\xc3\xa9", b"a\x00"])
def test_no_name_can_split_a_head_we_send(name: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encoded(200, (name, b"x"))


def test_a_response_has_the_words_kube_apiserver_would_use_or_none() -> None:
    assert encoded(403) == b"HTTP/1.1 403 Forbidden\r\n\r\n"
    assert encoded(599) == b"HTTP/1.1 599 \r\n\r\n"
    for status in REASONS:
        assert parse_status_line(encoded(status).split(b"\r\n")[0]) == status
    for status in (0, 99, 600, -1):
        with pytest.raises(LocalProtocolError):
            encoded(status)


def test_a_length_comes_from_the_header_or_the_field_and_they_must_agree() -> None:
    header = (b"content-length", b"3")
    bare = ResponseHead(200, ((b"a", b"b"),))
    assert split_length(ResponseHead(200, (header, (b"a", b"b")))) == (bare, 3)
    assert split_length(ResponseHead(200, (header,), content_length=3))[1] == 3
    assert split_length(ResponseHead(200, content_length=4))[1] == 4
    assert split_length(bare) == (bare, None)
    for headers, length in (((header, header), None), ((header,), 4), (((b"content-length", b"03"),), None)):
        with pytest.raises(LocalProtocolError):
            split_length(ResponseHead(200, headers, content_length=length))
