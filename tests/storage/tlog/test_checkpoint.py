"""Checkpoints and cosignatures."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from storage.tlog.checkpoint import (
    BadCheckpoint,
    Checkpoint,
    check_signature,
    cosign,
    cosignature_time_s,
    cosignatures,
    open_checkpoint,
    parse_checkpoint,
    parse_decimal,
    parse_hash,
    read_unverified,
    sign_checkpoint,
    with_cosignatures,
)
from storage.tlog.merkle import EMPTY_ROOT
from storage.tlog.note import (
    BadKey,
    BadSignature,
    KeyType,
    NotSigned,
    Signature,
    SignerKey,
    encode_base64,
    generate_signer,
    parse_note,
    parse_signer,
)

ROOT = bytes(range(32))
HEAD = Checkpoint("kubetape/gw-1/0", 7, ROOT)
NOW_S = 1_790_000_000


def signer(name: str, kind: KeyType = KeyType.ED25519) -> SignerKey:
    return parse_signer(generate_signer(name, kind)[0])


def test_a_cosignature_signs_what_the_specification_says() -> None:
    """c2sp.org/tlog-cosignature: 8 bytes of time, then Ed25519 over "cosignature/v1", the time, and the body."""
    witness = signer("w.example", KeyType.COSIGNATURE)
    line = cosign(HEAD.text, witness, NOW_S)
    assert int.from_bytes(line.value[:8], "big") == NOW_S
    message = f"cosignature/v1\ntime {NOW_S}\n{HEAD.text}".encode()
    Ed25519PublicKey.from_public_bytes(witness.verifier.public).verify(line.value[8:], message)


def test_the_specifications_example_reads() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert checkpoint.text == text


def test_extension_lines_are_read_and_kept() -> None:
    text = HEAD.text + "one\ntwo\n"
    assert parse_checkpoint(text).extensions == ("one", "two")
    assert parse_checkpoint(text).text == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("origin\n", 1),
        ("origin\n7\n", 2),
        (HEAD.text[:-1], 3),
        (HEAD.text.replace("kubetape/gw-1/0", ""), 1),
        (HEAD.text + "\n", 4),
        (HEAD.text + "\nextension\n", 4),
        (HEAD.text.replace("\n7\n", "\n07\n"), 2),
        (HEAD.text.replace("\n7\n", "\n-7\n"), 2),
        (HEAD.text.replace("\n7\n", "\n+7\n"), 2),
        (HEAD.text.replace("\n7\n", "\n7 \n"), 2),
        (HEAD.text.replace("\n7\n", "\n\u0667\n"), 2),
        (HEAD.text.replace("\n7\n", "\n9223372036854775808\n"), 2),
        (HEAD.text.replace("\n7\n", "\n" + "9" * 5000 + "\n"), 2),
        (f"origin\n7\n{encode_base64(bytes(31))}\n", 3),
        (f"origin\n7\n{encode_base64(bytes(33))}\n", 3),
        ("origin\n7\nnot base64\n", 3),
    ],
)
def test_what_is_no_checkpoint_is_refused_and_its_line_named(text: str, line: int) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        parse_checkpoint(text)
    assert caught.value.line == line


def test_the_limits_of_numbers_and_hashes() -> None:
    assert parse_decimal("0") == 0
    assert parse_decimal("9223372036854775807") == 2**63 - 1
    assert parse_hash(encode_base64(ROOT)) == ROOT


def test_a_signed_checkpoint_opens_with_its_key_only() -> None:
    log, other = signer("kubetape/gw-1/0"), signer("kubetape/gw-1/0")
    note = sign_checkpoint(HEAD, [log])
    assert open_checkpoint(note, [log.verifier], origin=HEAD.origin) == HEAD
    assert read_unverified(note) == HEAD
    with pytest.raises(NotSigned):
        open_checkpoint(note, [other.verifier])
    with pytest.raises(BadCheckpoint, match="this is the log 'kubetape/gw-1/0', not 'kubetape/gw-2/0'"):
        open_checkpoint(note, [log.verifier], origin="kubetape/gw-2/0")


def test_a_log_may_sign_with_an_old_and_a_post_quantum_key() -> None:
    keys = [signer(HEAD.origin, kind) for kind in (KeyType.ED25519, KeyType.MLDSA44)]
    note = sign_checkpoint(HEAD, keys, NOW_S)
    for key in keys:
        assert open_checkpoint(note, [key.verifier]) == HEAD


@pytest.mark.parametrize("kind", [KeyType.COSIGNATURE, KeyType.MLDSA44])
def test_a_cosignature_verifies_for_its_text_and_time_only(kind: KeyType) -> None:
    witness = signer("w.example", kind)
    line = cosign(HEAD.text, witness, NOW_S)
    assert cosignature_time_s(line) == NOW_S
    assert check_signature(witness.verifier, HEAD.text, line.value)
    later = (NOW_S + 1).to_bytes(8, "big") + line.value[8:]
    assert not check_signature(witness.verifier, HEAD.text, later)
    for text in (
        HEAD.text.replace("\n7\n", "\n8\n"),
        HEAD.text.replace("gw-1", "gw-2"),
        Checkpoint(HEAD.origin, 7, EMPTY_ROOT).text,
    ):
        assert not check_signature(witness.verifier, text, line.value)
    for value in (line.value[:8], line.value[:-1], line.value + b"\0", b""):
        assert not check_signature(witness.verifier, HEAD.text, value)


@pytest.mark.parametrize("timestamp_s", [0, 1 << 63, (1 << 64) - 1])
def test_a_cosignature_without_a_possible_time_is_none(timestamp_s: int) -> None:
    witness = signer("w.example", KeyType.COSIGNATURE)
    line = cosign(HEAD.text, witness, timestamp_s)
    assert not check_signature(witness.verifier, HEAD.text, line.value)


def test_extension_lines_are_cosigned_by_ed25519_and_ignored_by_ml_dsa() -> None:
    extended = HEAD.text + "extension\n"
    ed25519, mldsa = signer("w", KeyType.COSIGNATURE), signer("w", KeyType.MLDSA44)
    assert not check_signature(ed25519.verifier, extended, cosign(HEAD.text, ed25519, NOW_S).value)
    assert check_signature(mldsa.verifier, extended, cosign(HEAD.text, mldsa, NOW_S).value)


def test_a_note_key_does_not_cosign() -> None:
    with pytest.raises(BadKey, match="cosigning needs type 0x04 or 0x06"):
        cosign(HEAD.text, signer("w"), NOW_S)


def test_nobody_cosigns_what_is_no_checkpoint() -> None:
    with pytest.raises(BadCheckpoint):
        cosign("just a text\n", signer("w", KeyType.COSIGNATURE), NOW_S)
    with pytest.raises(BadCheckpoint, match="255 bytes at most"):
        cosign(Checkpoint("o" * 256, 7, ROOT).text, signer("w", KeyType.MLDSA44), NOW_S)


def test_cosignatures_are_added_once_a_key_and_counted_by_key() -> None:
    log, first, second = signer(HEAD.origin), signer("w1", KeyType.COSIGNATURE), signer("w2", KeyType.MLDSA44)
    note = sign_checkpoint(HEAD, [log])
    note = with_cosignatures(note, [cosign(HEAD.text, first, NOW_S)])
    note = with_cosignatures(note, [cosign(HEAD.text, s, NOW_S + 5) for s in (first, second)])
    assert len(parse_note(note).signatures) == 3
    keys = [first.verifier, second.verifier]
    assert cosignatures(parse_note(note), keys) == dict.fromkeys(keys, NOW_S + 5)
    assert open_checkpoint(note, [log.verifier]) == HEAD


def test_a_forged_cosignature_of_a_known_witness_refuses_the_note() -> None:
    log, witness = signer(HEAD.origin), signer("w1", KeyType.COSIGNATURE)
    line = cosign(HEAD.text, witness, NOW_S)
    forged = Signature(line.name, line.key_id, line.value[:-1] + bytes([line.value[-1] ^ 1]))
    note = with_cosignatures(sign_checkpoint(HEAD, [log]), [forged])
    with pytest.raises(BadSignature):
        cosignatures(parse_note(note), [witness.verifier])
