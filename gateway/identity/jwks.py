"""A JWK Set -> the keys we accept, each bound to one algorithm. Pure.

Weak or unusable keys are left out and named in `complaints`; they never fail the rest of the set. The
trap: a JWK may leave its algorithm open, and a key usable with two algorithms is how signature
confusion begins. So every key gets exactly one here: its "alg"; for elliptic curves that of the curve;
for RSA the first RSA algorithm the issuer's settings list.
Source: RFC 7517 (JWK), RFC 7518 section 6, RFC 8037 (Ed25519), RFC 8725 section 3.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK, PyJWTError

from gateway.identity.predecode import MAX_KEY_ID_BYTES, parse_strict_json

MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
"""A larger modulus makes each verification slow enough to be a weapon."""
MAX_NUMBER_LENGTH: Final = 1366
"""Base64url characters of a number of 8192 bits: looked at before anything is computed from it."""
MIN_RSA_EXPONENT: Final = 65537
"""FIPS 186-5 section 5.4; small exponents make careless padding checks forgeable."""

_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class UnusableKeys(ValueError):
    """A document is no JWK Set, or none of its keys can be used. Keep the keys there were."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key and the only algorithm it may verify."""

    key_id: str | None
    algorithm: str
    public_key: PublicKey
    fingerprint: bytes  # SHA-256 of SubjectPublicKeyInfo


class KeySet:
    """The usable keys of one issuer at one time."""

    def __init__(self, keys: Iterable[VerificationKey], complaints: tuple[str, ...] = ()) -> None:
        self.keys = tuple(keys)
        self.complaints = complaints  # why other keys of the document are not used; for an alarm
        self.identities = frozenset((key.key_id, key.algorithm, key.fingerprint) for key in self.keys)
        self._by_id: defaultdict[str | None, list[VerificationKey]] = defaultdict(list)
        for key in self.keys:
            self._by_id[key.key_id].append(key)

    def candidates(self, key_id: str | None) -> list[VerificationKey]:
        """The keys a token with this key id may mean. Without one: all, and more than one is ambiguous."""
        if key_id is None:
            return list(self.keys)
        return self._by_id.get(key_id, [])


def parse_jwks(document: bytes, algorithms: tuple[str, ...]) -> KeySet:
    """The keys of a JWK Set that may verify one of `algorithms`. Raises UnusableKeys.

    document: a whole response body, already bounded. algorithms: of the issuer's settings, in order.
    """
    try:
        value = parse_strict_json(document)
    except ValueError as error:
        raise UnusableKeys(f"the JWK Set is not acceptable JSON: {error}") from None
    members = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(members, list):
        raise UnusableKeys('the JWK Set has no list "keys"')
    if len(members) > MAX_KEYS:
        raise UnusableKeys(f"the JWK Set has more than {MAX_KEYS} keys")
    keys: list[VerificationKey] = []
    complaints: list[str] = []
    for index, member in enumerate(members):
        try:
            keys.append(parse_key(member, algorithms))
        except UnusableKeys as error:
            complaints.append(f"key {index} is not used: {error}")
    keys = _without_ambiguous(keys, complaints)
    if not keys:
        raise UnusableKeys("; ".join(["the JWK Set has no usable key", *complaints]))
    return KeySet(keys, tuple(complaints))


def parse_key(member: object, algorithms: tuple[str, ...]) -> VerificationKey:
    """One member of a JWK Set. Raises UnusableKeys with the reason, without key material."""
    if not isinstance(member, dict):
        raise UnusableKeys("it is not an object")
    key_id = member.get("kid")
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id.encode()) <= MAX_KEY_ID_BYTES):
        raise UnusableKeys(f"its kid is not a string of 1 to {MAX_KEY_ID_BYTES} bytes")
    if member.get("use", "sig") != "sig" or "verify" not in _operations(member):
        raise UnusableKeys("it is not meant for signatures")
    leaked = [name for name in _PRIVATE_MEMBERS if name in member]
    if leaked:
        # Who publishes the private half has lost the key: anyone can sign with it.
        raise UnusableKeys(f"it is not a public key (it has {leaked[0]!r})")
    algorithm = _algorithm_of(member, algorithms)
    if any(len(str(member.get(name, ""))) > MAX_NUMBER_LENGTH for name in ("n", "e", "x", "y")):
        raise UnusableKeys("one of its numbers is too long")
    try:
        public_key = cast(PublicKey, PyJWK(member, algorithm).key)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, OverflowError) as error:
        raise UnusableKeys(f"it cannot be read as a key for {algorithm} ({type(error).__name__})") from None
    _check_strength(public_key)
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerificationKey(key_id, algorithm, public_key, hashlib.sha256(spki).digest())


def _operations(member: dict[str, object]) -> list[object]:
    operations = member.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def _algorithm_of(member: dict[str, object], algorithms: tuple[str, ...]) -> str:
    declared, family = member.get("alg"), _possible_algorithms(member, algorithms)
    if declared == "Ed25519":  # its name since RFC 9864; tokens and PyJWT still say EdDSA
        declared = "EdDSA"
    if declared is None:
        if not family:
            raise UnusableKeys(f"no configured algorithm fits it (kty {member.get('kty')!r:.20})")
        return family[0]
    if not isinstance(declared, str) or declared not in family:
        raise UnusableKeys(f"its alg {declared!r:.20} does not fit its type, or is not configured")
    return declared


def _possible_algorithms(member: dict[str, object], algorithms: tuple[str, ...]) -> list[str]:
    match member.get("kty"), member.get("crv"):
        case "RSA", _:
            fitting = {name for name in algorithms if name[:2] in ("RS", "PS")}
        case "EC", str(curve):
            fitting = {_CURVES.get(curve, "")}
        case "OKP", "Ed25519":
            fitting = {"EdDSA"}
        case _:  # "oct" above all: a shared secret has no place in a public document
            fitting = set()
    return [name for name in algorithms if name in fitting]


def _check_strength(key: PublicKey) -> None:
    if isinstance(key, RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise UnusableKeys(f"RSA of {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")
        if key.public_numbers().e < MIN_RSA_EXPONENT:
            raise UnusableKeys(f"RSA exponent below {MIN_RSA_EXPONENT}")


def _without_ambiguous(keys: list[VerificationKey], complaints: list[str]) -> list[VerificationKey]:
    """Keys under one (kid, algorithm): identical copies count once, different ones not at all."""
    groups: defaultdict[tuple[str | None, str], dict[bytes, VerificationKey]] = defaultdict(dict)
    for key in keys:
        groups[key.key_id, key.algorithm].setdefault(key.fingerprint, key)
    kept: list[VerificationKey] = []
    for (key_id, algorithm), same in groups.items():
        if key_id is not None and len(same) > 1:
            complaints.append(f"{len(same)} different keys for {algorithm} share one kid: none is used")
        else:
            kept.extend(same.values())
    return kept
