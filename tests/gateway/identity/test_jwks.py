"""Which published keys are used, each for exactly one algorithm."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identity.jwks import MAX_KEYS, KeySet, UnusableKeys, parse_jwks
from gateway.identity.settings import ALGORITHMS
from tests.kit.issuer import SigningKey, b64, b64_number, private_key, public_members

ALL = tuple(sorted(ALGORITHMS))
RSA_KEY = SigningKey("rsa", "RS256", private_key("RS256"))
EC_KEY = SigningKey("ec", "ES256", private_key("ES256"))
ED_KEY = SigningKey("ed", "EdDSA", private_key("EdDSA"))


def jwks(*members: object) -> bytes:
    return json.dumps({"keys": members}).encode()


def parse(*members: object, algorithms: tuple[str, ...] = ALL) -> KeySet:
    return parse_jwks(jwks(*members), algorithms)


def complaint(member: object, *, algorithms: tuple[str, ...] = ALL) -> str:
    """Why one key is left out, beside another one that is used."""
    keys = parse(EC_KEY.jwk(kid="good"), member, algorithms=algorithms)
    assert [key.key_id for key in keys.keys] == ["good"]
    assert len(keys.complaints) == 1
    return keys.complaints[0]


@pytest.mark.parametrize("algorithm", ALL)
def test_every_supported_algorithm_has_its_key(algorithm: str) -> None:
    key = SigningKey("k", algorithm, private_key(algorithm))
    (read,) = parse(key.jwk()).keys
    assert (read.key_id, read.algorithm) == ("k", algorithm)
    assert read.public_key.public_bytes_raw() if algorithm == "EdDSA" else read.public_key.key_size >= 256


@pytest.mark.parametrize(
    ("key", "algorithms", "chosen"),
    [
        (RSA_KEY, ("RS256", "ES256"), "RS256"),
        (RSA_KEY, ("PS256",), "PS256"),
        (RSA_KEY, ("ES256", "RS512", "RS256"), "RS512"),
        (EC_KEY, ALL, "ES256"),
        (ED_KEY, ALL, "EdDSA"),
    ],
)
def test_a_key_that_leaves_its_algorithm_open_gets_one(
    key: SigningKey, algorithms: tuple[str, ...], chosen: str
) -> None:
    assert [read.algorithm for read in parse(key.jwk(alg=None), algorithms=algorithms).keys] == [chosen]


def test_the_new_name_of_ed25519_is_understood() -> None:
    assert [key.algorithm for key in parse(ED_KEY.jwk(alg="Ed25519")).keys] == ["EdDSA"]


def rsa_jwk(bits: int) -> dict[str, object]:
    return {"kid": "weak", "alg": "RS256", **public_members(private_key("RS256", rsa_bits=bits))}


def with_exponent(e: int) -> dict[str, object]:
    return RSA_KEY.jwk(e=b64_number(e))


PRIVATE: Any = RSA_KEY.private
WEAK: list[tuple[str, dict[str, object] | object, str]] = [
    ("RSA of 1024 bits", rsa_jwk(1024), "1024 bits"),
    ("RSA of 2047 bits", RSA_KEY.jwk(n=b64_number(PRIVATE.public_key().public_numbers().n >> 1 | 1)), "2047 bits"),
    ("RSA too large", RSA_KEY.jwk(n=b64_number((1 << 9000) + 1)), "too long"),
    ("RSA of 8200 bits", RSA_KEY.jwk(n="_" * 1368), "too long"),
    ("RSA exponent 1", with_exponent(1), "e"),
    ("RSA exponent 3", with_exponent(3), "exponent"),
    ("RSA exponent even", with_exponent(65536), "e"),
    ("RSA without modulus", RSA_KEY.jwk(n=None), "read"),
    ("RSA with number as n", RSA_KEY.jwk(n=5), "read"),
    ("RSA with list as e", RSA_KEY.jwk(e=["AQAB"]), "read"),
    ("RSA as EC algorithm", RSA_KEY.jwk(alg="ES256"), "alg"),
    ("RSA as HMAC", RSA_KEY.jwk(alg="HS256"), "alg"),
    ("RSA as none", RSA_KEY.jwk(alg="none"), "alg"),
    ("RSA for encryption", RSA_KEY.jwk(alg="RSA-OAEP"), "alg"),
    ("alg in other case", RSA_KEY.jwk(alg="rs256"), "alg"),
    ("alg not text", RSA_KEY.jwk(alg=["RS256"]), "alg"),
    ("shared secret", {"kid": "s", "kty": "oct", "k": b64(b"x" * 32).decode(), "alg": "HS256"}, "public"),
    ("shared secret without k", {"kid": "s", "kty": "oct", "alg": "HS256"}, "alg"),
    ("shared secret in disguise", {"kid": "s", "kty": "oct", "alg": "RS256"}, "alg"),
    ("private RSA key", RSA_KEY.jwk(d=b64_number(PRIVATE.private_numbers().d)), "public"),
    ("private EC key", EC_KEY.jwk(d="AAAA"), "public"),
    ("private Ed key", ED_KEY.jwk(d="AAAA"), "public"),
    ("curve of another alg", EC_KEY.jwk(alg="ES384"), "alg"),
    ("curve renamed", EC_KEY.jwk(crv="P-384", alg="ES384"), "read"),
    ("curve missing", EC_KEY.jwk(crv=None), "alg"),
    ("secp256k1", {"kid": "k1", "alg": "ES256K", **public_members(ec.generate_private_key(ec.SECP256K1()))}, "alg"),
    ("secp256k1, no alg", {"kid": "k1", **public_members(ec.generate_private_key(ec.SECP256K1()))}, "no configured"),
    ("P-224", {"kid": "k2", "kty": "EC", "crv": "P-224", "x": "AA", "y": "AA"}, "no configured"),
    ("point off the curve", EC_KEY.jwk(x=b64(b"\x01" * 32).decode()), "read"),
    ("point at zero", EC_KEY.jwk(x=b64(bytes(32)).decode(), y=b64(bytes(32)).decode()), "read"),
    ("short coordinate", EC_KEY.jwk(x=b64(b"\x01" * 31).decode()), "read"),
    ("Ed448", {"kid": "e", "kty": "OKP", "crv": "Ed448", "x": b64(ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()).decode()}, "no configured"),
    ("X25519", {"kid": "e", "kty": "OKP", "crv": "X25519", "x": b64(b"x" * 32).decode()}, "no configured"),
    ("short Ed25519", ED_KEY.jwk(x=b64(b"x" * 31).decode()), "read"),
    ("for encryption", RSA_KEY.jwk(use="enc"), "signatures"),
    ("use null", {**RSA_KEY.jwk(), "use": None}, "signatures"),
    ("for signing only", RSA_KEY.jwk(key_ops=["sign"]), "signatures"),
    ("key_ops not a list", RSA_KEY.jwk(key_ops="verify"), "signatures"),
    ("kid empty", RSA_KEY.jwk(kid=""), "kid"),
    ("kid a number", RSA_KEY.jwk(kid=5), "kid"),
    ("kid too long", RSA_KEY.jwk(kid="x" * 257), "kid"),
    ("no kty", RSA_KEY.jwk(kty=None), "alg"),
    ("kty unknown", {"kty": "XYZ", "kid": "x"}, "no configured"),
    ("kty a list", {"kty": ["RSA"], "kid": "x"}, "no configured"),
    ("not an object", "key", "object"),
    ("null", None, "object"),
    ("empty", {}, "no configured"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("member", "why"), [pytest.param(member, why, id=name) for name, member, why in WEAK]
)
def test_a_weak_or_strange_key_is_left_out_with_a_complaint(member: object, why: str) -> None:
    assert why in complaint(member)


def test_a_complaint_never_quotes_key_material() -> None:
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
    assert secret not in complaint({"kid": "s", "kty": "oct", "k": secret, "alg": "HS256"})
    assert secret not in complaint(RSA_KEY.jwk(d=secret))
    assert secret not in complaint(RSA_KEY.jwk(n=secret))


def test_a_key_for_an_algorithm_that_is_not_configured_is_left_out() -> None:
    assert "configured" in complaint(RSA_KEY.jwk(alg="PS256"), algorithms=("RS256", "ES256"))
    assert "configured" in complaint(ED_KEY.jwk(alg=None), algorithms=("RS256", "ES256"))


def test_two_keys_under_one_kid_are_both_left_out() -> None:
    other = SigningKey("rsa", "RS256", private_key("RS256", 1))
    keys = parse(EC_KEY.jwk(), RSA_KEY.jwk(), other.jwk())
    assert [key.key_id for key in keys.keys] == ["ec"]
    assert "share one kid" in keys.complaints[0]


def test_the_same_key_twice_counts_once_and_one_kid_may_serve_two_algorithms() -> None:
    keys = parse(RSA_KEY.jwk(), RSA_KEY.jwk(), EC_KEY.jwk(kid="rsa"))
    assert [(key.key_id, key.algorithm) for key in keys.keys] == [("rsa", "RS256"), ("rsa", "ES256")]
    assert not keys.complaints
    assert len(keys.candidates("rsa")) == 2


def test_a_key_id_is_looked_up_exactly_and_a_missing_one_means_any() -> None:
    keys = parse(RSA_KEY.jwk(), EC_KEY.jwk(kid=None))
    assert [key.algorithm for key in keys.candidates("rsa")] == ["RS256"]
    assert len(keys.candidates(None)) == 2
    for wrong in ("RSA", "rsa ", "rs", "rsa\0", "../rsa", "ec", ""):
        assert keys.candidates(wrong) == []


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        b"\xff",
        b"<html>",
        jwks(rsa_jwk(1024)),
        jwks(*[EC_KEY.jwk()] * (MAX_KEYS + 1)),
        b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_document_without_a_usable_key_is_refused_whole(document: bytes) -> None:
    with pytest.raises(UnusableKeys):
        parse_jwks(document, ALL)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**62) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from(["kty", "crv", "alg", "kid", "use", "key_ops", "n", "e", "x", "y", "k"])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([RSA_KEY, EC_KEY, ED_KEY]), st.dictionaries(NAMES, JUNK, max_size=3))
def test_no_member_brings_another_exception(key: SigningKey, changes: dict[str, object]) -> None:
    try:
        parse({**key.jwk(), **changes})
    except UnusableKeys:
        pass


def test_rsa_keys_in_the_kit_are_real() -> None:
    assert isinstance(RSA_KEY.private, rsa.RSAPrivateKey)
