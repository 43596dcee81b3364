"""What may be called a token, and what of it can be read in one way only."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identity.errors import Unauthenticated
from gateway.identity.predecode import (
    MAX_TOKEN_BYTES,
    decode_base64url,
    parse_strict_json,
    predecode,
)
from gateway.identity.settings import ALGORITHMS
from tests.kit.issuer import b64

HEADER = {"alg": "RS256", "typ": "JWT", "kid": "k"}
PAYLOAD = {"sub": "alice"}


def compact(header: object = HEADER, payload: object = PAYLOAD, signature: bytes = b"s" * 256) -> bytes:
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return b".".join(b64(part) for part in (*parts, signature))


def refused(token: bytes) -> str:
    with pytest.raises(Unauthenticated) as caught:
        predecode(token)
    return str(caught.value)


def test_a_good_token_is_read() -> None:
    token = compact()
    decoded = predecode(token)
    assert (decoded.header, decoded.payload) == (HEADER, PAYLOAD)
    assert (decoded.algorithm, decoded.key_id, decoded.token_type) == ("RS256", "k", "jwt")
    assert decoded.token == token
    assert decoded.signed == token.rsplit(b".", 1)[0]


def test_kid_and_typ_may_be_absent() -> None:
    decoded = predecode(compact({"alg": "ES256"}, signature=b"s" * 64))
    assert (decoded.key_id, decoded.token_type) == (None, "")


@pytest.mark.parametrize(
    ("typ", "kind"), [("JWT", "jwt"), ("at+JWT", "at+jwt"), ("application/at+jwt", "at+jwt")]
)
def test_typ_is_a_media_type_without_case(typ: str, kind: str) -> None:
    assert predecode(compact({**HEADER, "typ": typ})).token_type == kind


# --- size and parts ----------------------------------------------------------------------------------


def test_the_longest_token_is_read_and_one_byte_more_is_not() -> None:
    def of_length(wanted: int) -> bytes:
        empty = len(compact(payload={"sub": ""}, signature=b"s" * 258))
        fill = (wanted - empty) * 3 // 4
        return next(
            token
            for n in range(fill - 4, fill + 5)
            if len(token := compact(payload={"sub": "a" * n}, signature=b"s" * 258)) == wanted
        )

    predecode(of_length(MAX_TOKEN_BYTES))
    assert "longer than" in refused(compact(signature=b"s" * MAX_TOKEN_BYTES))
    assert "longer than" in refused(b"x" * (1024 * 1024))


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"a",
        b"a.b",
        b".",
        b"..",
        b"...",
        compact() + b".",
        b"." + compact(),
        compact() + b".e30",
        b"a.b.c.d.e",
    ],
)
def test_anything_but_three_full_parts_is_refused(token: bytes) -> None:
    refused(token)


# --- base64url: one spelling for each byte string ----------------------------------------------------


def spellings(part: bytes) -> list[bytes]:
    """Other texts that lenient decoders read as the same bytes, or nearly."""
    middle = len(part) // 2
    texts = [part + pad for pad in (b"=", b"==", b"===", b"\n", b" ", b"\t", b"\r\n", b"%3D", b"\0", b"!")]
    texts += [
        part[:middle] + junk + part[middle:]
        for junk in (b" ", b"\n", b"!", b"=", b"+", b"/", b"\xc3\xa9", b"\0")
    ]
    texts += [b" " + part, b"\n" + part, part.swapcase() + b"=", b"=" + part]
    return texts


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("mutation", range(len(spellings(b"abcd"))))
def test_no_other_spelling_of_a_part_is_accepted(which: int, mutation: int) -> None:
    parts = compact().split(b".")
    parts[which] = spellings(parts[which])[mutation]
    refused(b".".join(parts))


def test_no_refusal_quotes_the_token() -> None:
    canary = b"Q2FuYXJ5LUNhbmFyeS1DYW5hcnk"
    for token in (
        canary,
        canary + b".=." + canary,
        b".".join((canary, canary, canary)),
        compact(payload=canary),
        compact(header=canary),
    ):
        assert canary.decode() not in refused(token)
    assert "Canary" not in refused(compact({**HEADER, "alg": "Canary"}))


def test_unused_bits_are_zero() -> None:
    for good, bads in ((b"aGVsbG8", b"aGVsbG9 aGVsbG- aGVsbG_"), (b"_w", b"_x _z _3"), (b"__8", b"__9 __-")):
        decode_base64url(good, "header")
        for bad in bads.split():
            with pytest.raises(Unauthenticated, match="canonical"):
                decode_base64url(bad, "header")


@given(st.binary(min_size=1, max_size=60))
def test_base64url_reads_what_was_written(data: bytes) -> None:
    assert decode_base64url(b64(data), "header") == data


@given(
    st.text(
        alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12
    )
)
def test_whatever_is_accepted_has_no_second_spelling(text: str) -> None:
    try:
        decoded = decode_base64url(text.encode(), "header")
    except Unauthenticated:
        return
    assert b64(decoded) == text.encode()


@given(st.binary(max_size=200))
def test_no_input_brings_another_exception(data: bytes) -> None:
    for token in (
        data,
        b".".join((b64(data), b64(data), b64(data))),
        compact(payload=data),
        compact(header=data),
    ):
        try:
            predecode(token)
        except Unauthenticated:
            pass


# --- JSON ---------------------------------------------------------------------------------------------

BAD_JSON: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"1",
    b"{",
    b"{}x",
    b'{"sub":"a"}{"sub":"b"}',
    b"{'sub':'a'}",
    b'{"sub":"a",}',
    b'{"sub":"a" /* */}',
    b'\xef\xbb\xbf{"sub":"a"}',
    b'{"sub":"\xff"}',
    b'{"sub":"\xed\xa0\x80"}',
    b'{"sub":"\xc0\xaf"}',
    '{"sub":"a"}'.encode("utf-16"),
    '{"sub":"a"}'.encode("utf-16-le"),
    '{"sub":"a"}'.encode("utf-32"),
    b'{"sub":"a","sub":"b"}',
    b'{"sub":"a","sub":"a"}',
    b'{"sub":"a","\\u0073ub":"b"}',
    b'{"\\u0073\\u0075\\u0062":"a","sub":"b"}',
    b'{"x":{"a":1,"a":2}}',
    b'{"x":[{"a":1,"a":2}]}',
    b'{"exp":NaN}',
    b'{"exp":Infinity}',
    b'{"exp":-Infinity}',
    b'{"exp":1e999}',
    b'{"exp":-1e999}',
    b'{"exp":' + b"9" * 400 + b"}",
    b'{"exp":' + b"9" * 5000 + b"}",
    b'{"exp":9223372036854775808}',
    b'{"exp":-9223372036854775809}',
    b'{"exp":01}',
    b'{"exp":+1}',
    b'{"exp":0x10}',
    b'{"exp":1.}',
    b'{"exp":.5}',
    b'{"sub":"\\ud800"}',
    b'{"sub":"\\udc00\\ud800"}',
    b'{"\\ud800":1}',
    b'{"x":["\\udfff"]}',
    b'{"sub":"a\x00b"}',
    b'{"sub":"a\nb"}',
    b'{"sub":"\\x41"}',
    b'{"sub":tru}',
    b'{"a":' * 8 + b"1" + b"}" * 8 + b"}",
    b'{"a":' * 9 + b"1" + b"}" * 9,
    b'{"a":' + b"[" * 8 + b"]" * 8 + b"}",
    b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"a":' * 1500 + b"1" + b"}" * 1500,
    b"[" * 6000,
]


@pytest.mark.parametrize("part", ["header", "payload"])
@pytest.mark.parametrize("number", range(len(BAD_JSON)))
def test_json_that_readers_read_differently_is_refused(number: int, part: str) -> None:
    bad = BAD_JSON[number]
    if part == "header":
        # as much of a good header as possible, so that the JSON is what is refused
        bad = bad.replace(b"{", b'{"alg":"RS256",', 1) if bad.startswith(b"{") and b":" in bad else bad
    text = refused(compact(**{part: bad}))
    assert part in text


GOOD_JSON: list[tuple[bytes, object]] = [
    (b'{"a":9223372036854775807}', {"a": 2**63 - 1}),
    (b'{"a":-9223372036854775808}', {"a": -(2**63)}),
    (b'{"a":0.5,"b":1e3,"c":-0}', {"a": 0.5, "b": 1000.0, "c": 0}),
    (b' {"a" : [true, false, null]} \n', {"a": [True, False, None]}),
    (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    ('{"a":"gr\u00fc\u00df"}'.encode(), {"a": "gr\u00fc\u00df"}),
    (b'{"a":' * 7 + b"{}" + b"}" * 7, {"a": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}),
]


@pytest.mark.parametrize(("text", "value"), GOOD_JSON)
def test_ordinary_json_is_read(text: bytes, value: object) -> None:
    assert parse_strict_json(text) == value
    assert predecode(compact(payload=text)).payload == value


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(JSON_VALUES)
def test_strict_json_reads_what_json_writes(value: object) -> None:
    assert parse_strict_json(json.dumps(value).encode(), max_depth=64) == value


# --- header -------------------------------------------------------------------------------------------

BAD_ALGORITHMS: list[object] = [
    "none", "None", "NONE", "nOnE", "", " RS256", "RS256 ", "rs256", "Rs256", "es256", "HS256", "HS384", "HS512",
    "hs256", "ES256K", "ES521", "Ed448", "eddsa", "RSA-OAEP", "A128KW", "dir", "RS256\u0000", None, True, 0, 1.0,
    ["RS256"], {"RS256": 1}, [],
]  # fmt: skip


@pytest.mark.parametrize("algorithm", BAD_ALGORITHMS)
def test_only_known_asymmetric_algorithms_pass(algorithm: object) -> None:
    assert "algorithm" in refused(compact({**HEADER, "alg": algorithm}))


def test_a_header_without_alg_is_refused() -> None:
    assert "algorithm" in refused(compact({"typ": "JWT", "kid": "k"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("crit", ["exp"]), ("crit", []), ("crit", ["b64"]), ("crit", None), ("b64", False), ("b64", True), ("enc", "A128GCM"), ("zip", "DEF")],
)  # fmt: skip
def test_headers_that_change_what_is_read_are_refused(name: str, value: object) -> None:
    assert f'"{name}"' in refused(compact({**HEADER, name: value}))


@pytest.mark.parametrize("kid", ["", None, 1, 1.5, True, ["k"], {"k": 1}, "x" * 257, "\u00e9" * 129])
def test_a_key_id_is_a_short_string(kid: object) -> None:
    assert "key id" in refused(compact({**HEADER, "kid": kid}))


@pytest.mark.parametrize("typ", ["", None, 1, ["JWT"], {}, True])
def test_a_type_is_a_string(typ: object) -> None:
    assert "type" in refused(compact({**HEADER, "typ": typ}))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "x5t", "cty"])
def test_headers_that_offer_keys_are_not_read(name: str) -> None:
    decoded = predecode(compact({**HEADER, name: "https://evil.test/keys"}))
    assert decoded.key_id == "k"


@pytest.mark.parametrize(
    ("algorithm", "length"),
    [("ES256", 63), ("ES256", 65), ("ES256", 70), ("ES384", 64), ("ES512", 131), ("EdDSA", 63)],
)
def test_a_signature_of_fixed_size_has_that_size(algorithm: str, length: int) -> None:
    assert "length" in refused(compact({**HEADER, "alg": algorithm}, signature=b"s" * length))


def test_python_itself_reads_what_we_refuse() -> None:
    """The reason for our own decoder: were this to fail, it could become simpler."""
    assert base64.b64decode("aGVs!!bG8=") == base64.b64decode("aGVsbG9=") == b"hello"
    assert json.loads('{"sub":"a","sub":"b"}') == {"sub": "b"}
    assert json.loads('{"exp":1e999}')["exp"] == float("inf")
    assert "HS256" not in ALGORITHMS
    assert "none" not in ALGORITHMS
