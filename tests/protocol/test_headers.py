import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.headers import (
    SINGLETONS,
    find_repeated,
    is_field_name,
    is_field_value,
    is_request_field_name,
    is_token,
    parse_authority,
    parse_connection,
    parse_content_length,
    split_list,
)

TOKEN_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_a_token_is_made_of_token_bytes_and_of_nothing_else() -> None:
    for byte in range(256):
        assert is_token(bytes([byte])) == (byte in TOKEN_BYTES), byte
        assert is_token(b"a" + bytes([byte])) == (byte in TOKEN_BYTES), byte
    assert not is_token(b"")


def test_a_field_name_has_no_upper_case_because_it_was_lowered() -> None:
    for byte in range(256):
        expected = byte in TOKEN_BYTES and not 0x41 <= byte <= 0x5A
        assert is_field_name(b"x" + bytes([byte])) == expected, byte
    assert not is_field_name(b"")


def test_a_request_may_not_use_an_underscore_in_a_name() -> None:
    assert is_field_name(b"x_remote_user")
    assert not is_request_field_name(b"x_remote_user")
    for byte in range(256):
        name = b"x" + bytes([byte])
        assert is_request_field_name(name) == (is_field_name(name) and byte != 0x5F), byte


def test_a_kelvin_sign_is_not_a_k() -> None:
    assert "\N{KELVIN SIGN}".lower() == "k"  # what a parser of text would do
    assert not is_request_field_name("\N{KELVIN SIGN}ubectl-session".encode().lower())


def test_a_value_has_no_control_byte_but_tab() -> None:
    for byte in range(256):
        forbidden = (byte < 0x20 and byte != 0x09) or byte == 0x7F
        assert is_field_value(b"a" + bytes([byte]) + b"b") != forbidden, byte
    assert is_field_value(b"")


@pytest.mark.parametrize("value", [b" a", b"a ", b"\ta", b"a\t", b" ", b"a\r\n", b"a\n"])
def test_a_value_has_no_outer_blanks(value: bytes) -> None:
    assert not is_field_value(value)


@pytest.mark.parametrize(
    ("value", "length"),
    [(b"0", 0), (b"1", 1), (b"10", 10), (b"9" * 16, 10**16 - 1), (b"3145728", 3145728)],
)
def test_a_length_is_a_plain_decimal_number(value: bytes, length: int) -> None:
    assert parse_content_length(value) == length


@pytest.mark.parametrize(
    "value",
    [
        b"", b"00", b"03", b"+3", b"-3", b"-0", b" 3", b"3 ", b"3\n", b"3, 3", b"0x3", b"1_0", b"3.0", b"1e3", b"9" * 17, b"3a",
        "\uff13".encode(), "\u0663".encode(),
    ],
)  # fmt: skip
def test_no_other_spelling_of_a_length_is_read(value: bytes) -> None:
    assert parse_content_length(value) is None


@pytest.mark.parametrize(
    "value",
    [
        b"localhost", b"127.0.0.1:6443", b"[::1]:6443", b"[2001:db8::1]", b"[::ffff:1.2.3.4]:1", b"a.b-c.example.:443", b"x_y:65535",
        b"ABC123.gr7.eu-central-1.eks.amazonaws.com", b"a" * 255, b"a" * 255 + b":65535", b"1",
    ],
)  # fmt: skip
def test_an_authority_is_a_host_and_maybe_a_port_in_lower_case(value: bytes) -> None:
    assert parse_authority(value) == value.lower()


@pytest.mark.parametrize(
    "value",
    [
        b"", b":", b":443", b"a:", b"a:0", b"a:00", b"a:0443", b"a:65536", b"a:100000", b"a:4a", b"a:-1", b"a:1:2", b"::1", b"[::1", b"[]",
        b"[::1]a", b"[::1]:", b"[g::]", b"[1.2.3.4]", b"[::1%25eth0]", b"[1:2:3:4:5:6:7:8:9]", b"[:]", b"u@h", b"u:p@h", b"a b", b" a",
        b"a ", b"a\n", b"a\x00", b"a/b", b"/", b"a?b", b"a#b", b"a\\b", b"a%41", b"a,b", b"a;b", b"*", b"a..b", b".a", b".", b"a" * 256,
        b"a" * 256 + b":1", b"\xc3\xa9", b"a=b", b"(a)", b"'a'", b"a" * 10_000,
    ],
)  # fmt: skip
def test_anything_else_is_no_authority(value: bytes) -> None:
    assert parse_authority(value) is None


def test_a_list_loses_its_blanks_and_empty_elements_and_keeps_its_order() -> None:
    assert split_list([b"b , a\t,, ", b"", b"C"]) == [b"b", b"a", b"C"]
    assert split_list([]) == []


def test_connection_options_have_no_case() -> None:
    assert parse_connection([b"Close, KEEP-alive", b"upgrade"]) == {b"close", b"keep-alive", b"upgrade"}
    assert parse_connection([b"TE", b"HTTP2-Settings"]) == {b"te", b"http2-settings"}
    assert parse_connection([]) == parse_connection([b" ,"]) == frozenset()


@pytest.mark.parametrize(
    "option", [b"impersonate-user", b"close, authorization", b"close x", b"x-forwarded-for"]
)
def test_a_client_cannot_have_a_field_removed_by_naming_it_in_connection(option: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        parse_connection([b"keep-alive", option])
    assert raised.value.status_hint == 400
    assert "impersonate" not in raised.value.why.lower()


def test_a_repeated_field_is_found_only_if_it_may_come_once() -> None:
    for name in SINGLETONS:
        assert find_repeated([b"a", name, b"b", name]) == name
        assert find_repeated([b"a", name, b"b"]) is None
    assert find_repeated([b"accept", b"accept", b"x-stream-protocol-version"] * 2) is None


@given(st.binary(max_size=40))
@settings(max_examples=300)
def test_the_grammar_never_raises_and_never_widens(data: bytes) -> None:
    authority = parse_authority(data)
    assert authority is None or authority == data.lower()
    length = parse_content_length(data)
    assert length is None or str(length).encode() == data
    assert is_token(data) == (bool(data) and TOKEN_BYTES.issuperset(data))
    assert not is_request_field_name(data) or is_field_name(data)
