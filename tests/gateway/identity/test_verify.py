"""Signatures: the right key with its one algorithm, and nothing else.

The first half tests what we add to PyJWT, the second what PyJWT promises by itself: both must hold.
"""

import json
from itertools import product
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.identity.errors import Unauthenticated
from gateway.identity.jwks import VerificationKey, parse_jwks
from gateway.identity.predecode import predecode
from gateway.identity.settings import ALGORITHMS
from gateway.identity.verify import verify_signature
from tests.kit.issuer import SigningKey, b64, make_token, private_key, signature

ALL = tuple(sorted(ALGORITHMS))
PAYLOAD = {"sub": "alice", "n": 1}


def verification_key(algorithm: str, which: int = 0) -> VerificationKey:
    published = json.dumps(
        {"keys": [SigningKey("k", algorithm, private_key(algorithm, which)).jwk()]}
    ).encode()
    return parse_jwks(published, ALL).keys[0]


def check(token: bytes, key: VerificationKey) -> None:
    verify_signature(predecode(token), key)


def good(algorithm: str, which: int = 0) -> bytes:
    return make_token({"alg": algorithm, "kid": "k"}, PAYLOAD, private_key(algorithm, which), algorithm)


@pytest.mark.parametrize("algorithm", ALL)
def test_a_token_is_verified_by_its_own_key(algorithm: str) -> None:
    check(good(algorithm), verification_key(algorithm))


@pytest.mark.parametrize("algorithm", ALL)
def test_a_token_is_not_verified_by_another_key_of_the_same_kind(algorithm: str) -> None:
    with pytest.raises(Unauthenticated, match="signature is not valid"):
        check(good(algorithm, 1), verification_key(algorithm))


@pytest.mark.parametrize(("claimed", "real"), [pair for pair in product(ALL, ALL) if pair[0] != pair[1]])
def test_every_other_pair_of_algorithm_and_key_is_refused(claimed: str, real: str) -> None:
    """The header claims one algorithm, the key is bound to another; signed properly either way."""
    for signed_as in (claimed, real):
        forged = make_token({"alg": claimed, "kid": "k"}, PAYLOAD, private_key(signed_as), signed_as)
        with pytest.raises(Unauthenticated, match=r"not that of its key|wrong length"):
            check(forged, verification_key(real))


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512", "none", "nOnE", "None", ""])
@pytest.mark.parametrize("real", ["RS256", "ES256", "EdDSA"])
def test_the_public_key_is_never_taken_for_a_secret(real: str, name: str) -> None:
    """The classic confusion: HMAC with the published key as secret, in every form it is published in."""
    public = private_key(real).public_key()
    spki = [
        public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        for encoding in (Encoding.PEM, Encoding.DER)
    ]
    jwk = json.dumps(SigningKey("k", real, private_key(real)).jwk()).encode()
    for secret in (*spki, jwk, b"", b"x"):
        algorithm = name if name.startswith("HS") else "none"
        forged = make_token({"alg": name, "kid": "k"}, PAYLOAD, secret or b"\0", algorithm)
        for token in (forged, forged.rsplit(b".", 1)[0] + b".", forged.rsplit(b".", 1)[0] + b".AA"):
            with pytest.raises(Unauthenticated):
                check(token, verification_key(real))


def resigned(algorithm: str, sig: bytes) -> bytes:
    return good(algorithm).rsplit(b".", 1)[0] + b"." + b64(sig)


EC_ORDER = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": 2**521 - 657877501894328237357444332315020117536923257219387276263472201219398408051703,
}  # fmt: skip


@pytest.mark.parametrize("algorithm", list(EC_ORDER))
def test_psychic_signatures_are_refused(algorithm: str) -> None:
    """CVE-2022-21449 and its kin: r or s zero, the group's order, or out of range."""
    order = EC_ORDER[algorithm]
    length = {"ES256": 32, "ES384": 48, "ES512": 66}[algorithm]
    highest = 256**length - 1
    for r, s in product((0, 1, order - 1, order, order + 1, highest), repeat=2):
        token = resigned(algorithm, r.to_bytes(length, "big") + s.to_bytes(length, "big"))
        with pytest.raises(Unauthenticated):
            check(token, verification_key(algorithm))


@pytest.mark.parametrize("algorithm", ALL)
def test_a_changed_signature_is_refused(algorithm: str) -> None:
    real = signature(algorithm, private_key(algorithm), good(algorithm).rsplit(b".", 1)[0])
    last_bit, first_bit = real[:-1] + bytes([real[-1] ^ 1]), bytes([real[0] ^ 128]) + real[1:]
    for bad in (
        last_bit,
        first_bit,
        real[:-1],
        real + b"\0",
        b"\0" + real,
        real[::-1],
        bytes(len(real)),
        b"\xff" * len(real),
        b"x",
    ):
        with pytest.raises(Unauthenticated):
            check(resigned(algorithm, bad), verification_key(algorithm))


def test_a_der_signature_is_refused() -> None:
    key: Any = private_key("ES256")
    from cryptography.hazmat.primitives import hashes

    der = key.sign(good("ES256").rsplit(b".", 1)[0], ec.ECDSA(hashes.SHA256()))
    with pytest.raises(Unauthenticated, match="length"):
        check(resigned("ES256", der), verification_key("ES256"))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_changed_header_or_payload_is_refused(algorithm: str) -> None:
    header, payload, sig = good(algorithm).split(b".")
    for changed in (
        b".".join((header, b64(json.dumps({"sub": "mallory", "n": 1}).encode()), sig)),
        b".".join((b64(json.dumps({"kid": "k", "alg": algorithm}).encode()), payload, sig)),
        b".".join((payload, header, sig)),
    ):
        with pytest.raises(Unauthenticated):
            check(changed, verification_key(algorithm))


def test_both_readers_must_have_read_the_same() -> None:
    token = good("RS256")
    decoded = predecode(token)
    for other in (
        {"sub": "alice", "n": 1.0},
        {"sub": "alice", "n": True},
        {"n": 1, "sub": "alice"},
        {"sub": "bob", "n": 1},
    ):
        read = type(decoded)(token, decoded.signed, decoded.header, other, "RS256", "k", "")
        with pytest.raises(Unauthenticated, match="two ways"):
            verify_signature(read, verification_key("RS256"))
    read = type(decoded)(token, decoded.signed, {"alg": "RS256"}, decoded.payload, "RS256", "k", "")
    with pytest.raises(Unauthenticated, match="two ways"):
        verify_signature(read, verification_key("RS256"))


def test_a_short_rsa_key_is_refused_even_if_it_were_loaded() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    key = VerificationKey("k", "RS256", weak.public_key(), b"")
    with pytest.raises(Unauthenticated):
        check(make_token({"alg": "RS256"}, PAYLOAD, weak, "RS256"), key)


def test_a_key_of_another_kind_is_refused_even_if_it_were_loaded() -> None:
    wrong = VerificationKey("k", "ES256", private_key("ES384").public_key(), b"")
    with pytest.raises(Unauthenticated):
        check(good("ES256"), wrong)
    wrong = VerificationKey("k", "EdDSA", private_key("RS256").public_key(), b"")
    with pytest.raises(Unauthenticated):
        check(good("EdDSA"), wrong)


# --- what PyJWT lets through, so that we must not rely on it; and what it refuses by itself ----------


def pyjwt_reads(token: bytes, algorithm: str = "RS256", key: Any = None) -> dict[str, Any]:
    public = (key or private_key(algorithm)).public_key()
    return jwt.decode(
        token, public, algorithms=[algorithm], options={"verify_aud": False, "verify_exp": False}
    )


def raw(payload: bytes, header: bytes = b'{"alg":"RS256"}') -> bytes:
    return make_token(header, payload, private_key("RS256"), "RS256")


PYJWT_ACCEPTS = [
    raw(b'{"sub":"a","sub":"b"}'),
    raw(b'{"sub":"a","\\u0073ub":"b"}'),
    raw(b'{"sub":"a"}', b'{"alg":"none","alg":"RS256"}'),
    raw(b'{"sub":"\\ud800"}'),
    raw(b'{"n":' + b"9" * 400 + b"}"),
    raw(b'{"sub":"' + b"a" * 2_000_000 + b'"}'),
    raw(b'{"sub":"a"}') + b"==",
]


@pytest.mark.parametrize("number", range(len(PYJWT_ACCEPTS)))
def test_what_pyjwt_accepts_and_we_do_not(number: int) -> None:
    token = PYJWT_ACCEPTS[number]
    pyjwt_reads(token)
    with pytest.raises(Unauthenticated):
        check(token, verification_key("RS256"))


PYJWT_REFUSES = [
    good("RS256")[:-1] + b"!",
    good("RS256").replace(b".", b".!", 1),
    good("RS256") + b".e30",
    good("RS256").rsplit(b".", 1)[0],
    raw(b'{"a":"b"}', b'{"alg":"RS256","crit":["exp"]}'),
    raw(b'{"a":"b"}', b'{"alg":"RS256","crit":[]}'),
    raw(b'{"a":"b"}', b'{"alg":"RS256","kid":5}'),
    raw(b'{"a":"b"}', b'{"alg":"rs256"}'),
    raw(b'{"a":"b"}', b'{"alg":"nOnE"}'),
    raw(b'{"sub":5}'),
    raw(b'{"sub":"\xff"}'),
    raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
]


@pytest.mark.parametrize("number", range(len(PYJWT_REFUSES)))
def test_what_pyjwt_refuses_by_itself(number: int) -> None:
    with pytest.raises(jwt.PyJWTError):
        pyjwt_reads(PYJWT_REFUSES[number])


@pytest.mark.parametrize("exp", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_pyjwt_refuses_expiry_that_is_no_number(exp: bytes) -> None:
    with pytest.raises(jwt.PyJWTError):
        jwt.decode(raw(b'{"exp":' + exp + b"}"), private_key("RS256").public_key(), algorithms=["RS256"])


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_pyjwt_refuses_ecdsa_signatures_of_other_lengths(length: int) -> None:
    with pytest.raises(jwt.PyJWTError):
        pyjwt_reads(resigned("ES256", bytes(length)), "ES256")


def test_pyjwt_refuses_a_key_on_another_curve() -> None:
    with pytest.raises(jwt.PyJWTError):
        pyjwt_reads(good("ES256"), "ES256", private_key("ES384"))


def test_keys_in_the_kit_are_real() -> None:
    assert isinstance(private_key("EdDSA"), ed25519.Ed25519PrivateKey)
