import base64
import hashlib
import hmac
import os
import secrets
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from storage.encryption.hpke_key import MAX_PEM_BYTES, HpkeRecipient, generate_recipient, parse_private_key
from storage.encryption.keys import Envelope, KeyMaker, KeyRing, Wrap
from storage.errors import BadKeyFile, WrongKey
from tests.kit.sealing import ORIGIN

KINDS = pytest.mark.parametrize("hybrid", [False, True], ids=["x25519", "mlkem768x25519"])


# --- RFC 9180 by hand, checked against its own vector -------------------------------------------------


def extract(salt: bytes, suite: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")


def expand(key: bytes, suite: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, labelled + b"\1", "sha256")[:length]


def open_by_hand(private: bytes, blob: bytes, info: bytes, aad: bytes, aead_id: int, key_bytes: int) -> bytes:
    """DHKEM(X25519, HKDF-SHA256), base mode, single shot (RFC 9180, sections 4.1, 5.1, 6.1)."""
    enc, ciphertext = blob[:32], blob[32:]
    key = X25519PrivateKey.from_private_bytes(private)
    kem = b"KEM\x00\x20"
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    eae = extract(b"", kem, b"eae_prk", shared)
    shared = expand(eae, kem, b"shared_secret", enc + key.public_key().public_bytes_raw(), 32)
    suite = b"HPKE\x00\x20\x00\x01" + aead_id.to_bytes(2, "big")
    context = b"\0" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info)
    secret = extract(shared, suite, b"secret", b"")
    aead = AESGCM(expand(secret, suite, b"key", context, key_bytes))
    return aead.decrypt(expand(secret, suite, b"base_nonce", context, 12), ciphertext, aad)


def test_the_hand_made_hpke_opens_rfc_9180_appendix_a_1_1() -> None:
    private = bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    enc = bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
    ciphertext = bytes.fromhex(
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    )
    info = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
    opened = open_by_hand(private, enc + ciphertext, info, b"Count-0", 1, 16)
    assert opened == b"Beauty is truth, truth beauty"


def test_what_we_wrap_is_hpke_as_rfc_9180_says() -> None:
    private = X25519PrivateKey.generate()
    recipient = HpkeRecipient("x25519:" + base64.b64encode(private.public_key().public_bytes_raw()).decode())
    key = secrets.token_bytes(32)
    wrap = recipient.wrap(key, "segment")
    assert (wrap.alg, len(wrap.blob)) == ("hpke-x25519-sha256-aes256gcm", 80)
    info = b"kubetape/data-key@v1\0segment"
    assert open_by_hand(private.private_bytes_raw(), wrap.blob, info, b"", 2, 32) == key


# --- recipients and their keys --------------------------------------------------------------------


@KINDS
def test_a_recipient_opens_what_is_wrapped_for_it_and_nobody_else_does(tmp_path: Path, hybrid: bool) -> None:
    line = generate_recipient(tmp_path / "audit.pem", hybrid=hybrid)
    other = generate_recipient(tmp_path / "other.pem", hybrid=hybrid)
    made = KeyMaker(ORIGIN, [HpkeRecipient(line)]).make()
    mine, theirs = (
        parse_private_key((tmp_path / name).read_bytes(), name) for name in ("audit.pem", "other.pem")
    )
    assert (mine.recipient, theirs.recipient) == (line, other)
    assert mine.unwrap(made.envelope) == made.key
    assert theirs.unwrap(made.envelope) is None
    assert KeyRing([theirs, mine]).data_key(made.envelope) == made.key


@KINDS
def test_a_wrap_is_bound_to_its_segment(tmp_path: Path, hybrid: bool) -> None:
    line = generate_recipient(tmp_path / "k", hybrid=hybrid)
    wrap = HpkeRecipient(line).wrap(bytes(32), "one")
    key = parse_private_key((tmp_path / "k").read_bytes(), "k")
    assert key.unwrap(Envelope("one", ORIGIN, (wrap,))) == bytes(32)
    with pytest.raises(WrongKey, match=r"segment two: its envelope names .* and does not open with it"):
        key.unwrap(Envelope("two", ORIGIN, (wrap,)))


@KINDS
def test_a_damaged_wrap_is_an_error_and_not_another_key(tmp_path: Path, hybrid: bool) -> None:
    line = generate_recipient(tmp_path / "k", hybrid=hybrid)
    wrap = HpkeRecipient(line).wrap(bytes(32), "one")
    key = parse_private_key((tmp_path / "k").read_bytes(), "k")
    damaged = bytearray(wrap.blob)
    damaged[-1] ^= 1
    for blob in (b"", wrap.blob[:10], wrap.blob[:-1], bytes(damaged), bytes(len(wrap.blob))):
        with pytest.raises(WrongKey):
            key.unwrap(Envelope("one", ORIGIN, (Wrap(wrap.kek_id, wrap.alg, blob),)))


def test_the_id_of_a_recipient_is_short_even_where_the_recipient_is_not(tmp_path: Path) -> None:
    plain, hybrid = (generate_recipient(tmp_path / name, hybrid=name == "h") for name in ("x", "h"))
    assert HpkeRecipient(plain).kek_id == plain
    assert len(hybrid) > 1600
    raw = base64.b64decode(hybrid.partition(":")[2])
    assert HpkeRecipient(hybrid).kek_id == f"mlkem768x25519:sha256:{hashlib.sha256(raw).hexdigest()}"


def test_a_key_of_openssl_is_a_recipients_key(tmp_path: Path) -> None:
    path = tmp_path / "openssl.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", str(path)], check=True)
    key = parse_private_key(path.read_bytes(), "openssl.pem")
    made = KeyMaker(ORIGIN, [HpkeRecipient(f" {key.recipient}\n")]).make()
    assert key.unwrap(made.envelope) == made.key


def test_a_new_key_file_is_private_and_never_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    generate_recipient(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    with pytest.raises(BadKeyFile, match="exists and is not overwritten"):
        generate_recipient(path)
    assert path.read_bytes() == content
    with pytest.raises(BadKeyFile, match="cannot write"):
        generate_recipient(tmp_path / "none" / "audit.pem")


def test_the_text_form_of_a_private_key_hides_it(tmp_path: Path) -> None:
    line = generate_recipient(tmp_path / "k")
    assert repr(parse_private_key((tmp_path / "k").read_bytes(), "k")) == f"HpkePrivateKey({line})"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a recipient is x25519:BASE64"),
        ("x25519", "a recipient is"),
        ("x25519:", "a recipient is"),
        ("x25519:!!", "is not base64"),
        ("x25519:" + base64.b64encode(bytes(31)).decode(), "a recipient is x25519:BASE64 of 32 bytes"),
        ("x25519:" + base64.b64encode(bytes(32)).decode(), "no usable public key"),
        ("mlkem768x25519:" + base64.b64encode(bytes(32)).decode(), "a recipient is"),
        ("mlkem768x25519:" + base64.b64encode(b"\xff" * 1216).decode(), "cannot be used"),
        ("mlkem768x25519:" + base64.b64encode(bytes(1216)).decode(), "cannot be used"),
        ("age1qqqq:" + base64.b64encode(bytes(32)).decode(), "a recipient is"),
    ],
)
def test_a_recipient_that_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadKeyFile, match=why):
        HpkeRecipient(text)


def test_a_private_key_given_as_recipient_is_not_shown(tmp_path: Path) -> None:
    generate_recipient(tmp_path / "k")
    secret = (tmp_path / "k").read_text()
    with pytest.raises(BadKeyFile) as caught:
        HpkeRecipient(secret)
    assert secret.splitlines()[1] not in str(caught.value)


def pem(key: object, *, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no PEM block"),
        (os.urandom(100), "holds no PEM block"),
        (pem(X25519PrivateKey.generate()) * 2, "holds X25519PrivateKey, X25519PrivateKey"),
        (pem(generate_private_key(SECP256R1())), "holds ECPrivateKey|holds EllipticCurve"),
        (pem(X25519PrivateKey.generate(), passphrase=b"secret"), "protected by a passphrase: .*openssl pkey"),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "a PEM block cannot be read as a private key",
        ),
        (b"-----BEGIN " * 10_000, "larger than"),
        (b"-----BEGIN A-----" * (MAX_PEM_BYTES // 20), "holds no PEM block"),
    ],
)
def test_a_key_file_that_is_none_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(BadKeyFile, match=f"k.pem: ({why})"):
        parse_private_key(content, "k.pem")
