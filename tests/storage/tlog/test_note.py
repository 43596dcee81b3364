"""Signed notes: the examples of Go's sumdb/note and of C2SP, and a corpus of notes that must not pass."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.tlog.note import (
    MAX_NOTE_BYTES,
    BadKey,
    BadNote,
    BadSignature,
    KeyType,
    Note,
    NotSigned,
    Signature,
    SignerKey,
    VerifierKey,
    add_signatures,
    encode_base64,
    encode_note,
    encode_signer,
    generate_signer,
    is_key_name,
    open_note,
    parse_base64,
    parse_note,
    parse_signatures,
    parse_signer,
    parse_vkey,
    sign_text,
    signed_by,
)

# The key pair, the text and the signatures of the documentation and tests of golang.org/x/mod/sumdb/note.
PETER_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "\u2014 EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
GO_NOTE = (TEXT + "\n" + PETER_LINE + ENOCH_LINE).encode()

# The example of c2sp.org/signed-note.
C2SP_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()


def test_the_go_example_verifies_under_each_of_its_keys() -> None:
    peter, enoch = parse_vkey(PETER), parse_vkey(ENOCH)
    note = parse_note(GO_NOTE)
    assert note.text == TEXT
    assert list(signed_by(note, [peter])) == [peter]
    assert list(signed_by(note, [enoch, peter])) == [peter, enoch]
    assert open_note(GO_NOTE, [enoch]).signatures[1].name == "EnochRoot"


def test_the_go_example_is_made_byte_for_byte() -> None:
    signer = parse_signer(PETER_SIGNER)
    assert signer.verifier.vkey == PETER
    assert encode_note(Note(TEXT, (sign_text(TEXT, signer),))) == (TEXT + "\n" + PETER_LINE).encode()


def test_the_c2sp_example_verifies() -> None:
    key = parse_vkey(C2SP_KEY)
    assert key.key_id.hex() == "530d903a"
    assert open_note(C2SP_NOTE, [key]).text == "This is an example message.\n"


def test_a_note_of_unknown_keys_only_is_not_signed() -> None:
    with pytest.raises(NotSigned, match=r"example\.com/foo\+530d903a"):
        open_note(GO_NOTE, [parse_vkey(C2SP_KEY)])
    with pytest.raises(NotSigned, match="trusted: none"):
        open_note(GO_NOTE, [])


def test_a_known_key_under_another_name_or_id_is_an_unknown_key() -> None:
    peter = parse_vkey(PETER)
    renamed = VerifierKey("EnochRoot", peter.type, peter.public)
    assert signed_by(parse_note(GO_NOTE), [renamed]) == {}


def test_a_known_key_that_did_not_sign_refuses_the_whole_note() -> None:
    changed = GO_NOTE.replace(b"cryptography", b"cryptographY")
    with pytest.raises(BadSignature, match=r"PeterNeumann\+c74f20a3"):
        open_note(changed, [parse_vkey(PETER)])
    # also when another known key did sign it
    forged = parse_note(GO_NOTE).signatures[0]
    forged = Signature(forged.name, forged.key_id, forged.value[:-1] + b"\x00")
    note = Note(TEXT, (forged, parse_note(GO_NOTE).signatures[1]))
    with pytest.raises(BadSignature):
        open_note(encode_note(note), [parse_vkey(ENOCH), parse_vkey(PETER)])


def test_a_signature_of_another_length_does_not_verify() -> None:
    good = parse_note(GO_NOTE).signatures[0]
    for value in (good.value[:-1], good.value + b"\x00", b"\x00"):
        with pytest.raises(BadSignature):
            signed_by(Note(TEXT, (Signature(good.name, good.key_id, value),)), [parse_vkey(PETER)])


# --- notes that must not pass, and where they are wrong ---------------------------------------------

SIGNED = TEXT + "\n" + PETER_LINE


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", 0),
        (b"\n", 0),
        (TEXT.encode(), 0),
        ((TEXT + "\n").encode(), 4),
        (SIGNED[:-1].encode(), 0),
        ((SIGNED + "\n").encode(), 6),
        ((SIGNED + "Unexpected line.\n").encode(), 5),
        ((SIGNED + " \n").encode(), 5),
        (b"\x01" + SIGNED.encode(), 1),
        (SIGNED.replace("then", "\tthen").encode(), 2),
        (SIGNED.replace("\n", "\r\n").encode(), 1),
        (SIGNED.encode().replace(b"then", b"\xff\xfe"), 2),
        (SIGNED.encode().replace(b"then", b"\xed\xa0\x80"), 2),
        (SIGNED.replace("\u2014", "-").encode(), 4),
        (SIGNED.replace("\u2014 ", "\u2014").encode(), 4),
        (SIGNED.replace("\u2014 ", "\u2014  ").encode(), 4),
        (SIGNED.replace("\u2014 ", " \u2014 ").encode(), 4),
        (SIGNED.replace("PeterNeumann ", "PeterNeumann  ").encode(), 4),
        (SIGNED.replace("PeterNeumann", "Peter+Neumann").encode(), 4),
        (SIGNED.replace("PeterNeumann", "Peter\u00a0Neumann").encode(), 4),
        (SIGNED.replace("PeterNeumann", "Peter\u2028Neumann").encode(), 4),
        (SIGNED.replace("PeterNeumann", "P" * 256).encode(), 4),
        (SIGNED.replace("PeterNeumann ", "").encode(), 4),
        (SIGNED.replace("AM=\n", "AM\n").encode(), 4),
        (SIGNED.replace("AM=\n", "AN=\n").encode(), 4),
        (SIGNED.replace("AM=\n", "AM==\n").encode(), 4),
        (SIGNED.replace("AM=\n", "AM= \n").encode(), 4),
        (SIGNED.replace("/ZJ", "_ZJ").encode(), 4),
        (SIGNED.replace("x08g", "\u0445\u0665gg").encode(), 4),
        ((TEXT + "\n\u2014 PeterNeumann x08g\n").encode(), 4),
        ((TEXT + "\n\u2014 PeterNeumann x08gow==\n").encode(), 4),
        ((TEXT + "\n\u2014 PeterNeumann \n").encode(), 4),
        ((TEXT + "\n" + PETER_LINE * 101).encode(), 4),
        (b"a" * MAX_NOTE_BYTES + SIGNED.encode(), 0),
    ],
)
def test_a_malformed_note_is_refused_and_its_line_named(data: bytes, line: int) -> None:
    with pytest.raises(BadNote) as caught:
        parse_note(data)
    assert caught.value.line == line


def test_a_note_has_one_spelling() -> None:
    for data in (
        GO_NOTE,
        C2SP_NOTE,
        (TEXT + "\n" + PETER_LINE * 100).encode(),
        b"\n\n" + PETER_LINE.encode(),
    ):
        assert encode_note(parse_note(data)) == data


def test_every_byte_flip_of_a_note_is_refused_or_no_longer_signed() -> None:
    key = parse_vkey(C2SP_KEY)
    for at in range(len(C2SP_NOTE)):
        for bit in range(8):
            flipped = bytearray(C2SP_NOTE)
            flipped[at] ^= 1 << bit
            with pytest.raises((BadNote, BadSignature, NotSigned)):
                open_note(bytes(flipped), [key])


def test_the_text_ends_at_the_last_empty_line() -> None:
    signer = parse_signer(PETER_SIGNER)
    text = "a\n\nb\n\n\u2014 PeterNeumann not a signature\n"
    data = encode_note(Note(text, (sign_text(text, signer),)))
    assert open_note(data, [signer.verifier]).text == text


@pytest.mark.parametrize("text", ["no newline", "", "tab\there\n", "nul\0\n", "a\n\n\u2014 b AAAAAAA="])
def test_a_text_that_is_no_note_cannot_be_encoded(text: str) -> None:
    with pytest.raises(BadNote):
        encode_note(Note(text, (Signature("a", b"1234", b"5"),)))
    with pytest.raises(BadNote, match="no signature"):
        encode_note(Note("a\n", ()))


def test_signature_lines_alone_are_read_as_a_witness_answers_them() -> None:
    lines = parse_signatures((PETER_LINE + ENOCH_LINE).encode())
    assert [signature.name for signature in lines] == ["PeterNeumann", "EnochRoot"]
    for wrong in (b"", b"nonsense\n", PETER_LINE.encode()[:-1]):
        with pytest.raises(BadNote):
            parse_signatures(wrong)


def test_a_newer_line_of_a_key_replaces_its_older_one() -> None:
    note = parse_note(GO_NOTE)
    newer = Signature("PeterNeumann", note.signatures[0].key_id, b"new")
    other = Signature("PeterNeumann", b"\0\0\0\0", b"another key")
    merged = add_signatures(note, [newer, other])
    assert merged.signatures == (newer, note.signatures[1], other)


# --- keys --------------------------------------------------------------------------------------------


def manglings(text: str) -> list[str]:
    """Every proper part of a key, and the key with any one character changed."""
    parts = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
    parts.remove(text)
    return parts + [text[:i] + chr(ord(text[i]) + 1) + text[i + 1 :] for i in range(len(text))]


def test_no_mangled_verifier_key_is_accepted() -> None:
    for text in (
        *manglings(PETER),
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter\ud800Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+",
        "",
    ):
        with pytest.raises(BadKey):
            parse_vkey(text)


def test_no_mangled_signer_key_is_accepted_and_none_is_shown() -> None:
    secret = PETER_SIGNER.rpartition("+")[2]
    for text in (*manglings(PETER_SIGNER), PETER_SIGNER.removeprefix("PRIVATE+KEY+"), PETER_SIGNER + "\n"):
        with pytest.raises(BadKey) as caught:
            parse_signer(text)
        assert secret[4:20] not in str(caught.value)


def test_a_signer_with_a_seed_of_another_length_is_refused() -> None:
    text = f"PRIVATE+KEY+a+00000000+{encode_base64(bytes([1]) + bytes(31))}"
    with pytest.raises(BadKey, match="its seed is not 32 bytes long"):
        parse_signer(text)


@pytest.mark.parametrize("key_type", list(KeyType))
def test_a_generated_key_comes_back_from_its_texts(key_type: KeyType) -> None:
    text, vkey = generate_signer("example.com/witness", key_type)
    signer, key = parse_signer(text), parse_vkey(vkey)
    assert signer.verifier == key
    assert key.type is key_type
    signature = signer.sign(b"message")
    assert key.verify(b"message", signature)
    assert not key.verify(b"massage", signature)
    assert not key.verify(b"message", signature[:-1])
    assert vkey in repr(signer)
    assert text.split("+", 4)[4] not in repr(signer)
    assert text != generate_signer("example.com/witness", key_type)[0]


def test_one_seed_has_another_key_id_for_every_type_and_name() -> None:
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    ids = {SignerKey(name, kind, seed).verifier.key_id for name in "ab" for kind in KeyType}
    assert len(ids) == 6
    assert parse_signer(encode_signer("a", KeyType.COSIGNATURE, seed)).verifier.type is KeyType.COSIGNATURE


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x1fb", "a\u3000b", "x" * 256, "\udc80"])
def test_an_impossible_name_gets_no_key(name: str) -> None:
    assert not is_key_name(name)
    with pytest.raises(BadKey):
        generate_signer(name)


def test_a_cosignature_key_signs_no_plain_note() -> None:
    signer = parse_signer(generate_signer("w", KeyType.COSIGNATURE)[0])
    with pytest.raises(BadKey, match="it signs checkpoints, not notes"):
        sign_text("a\n", signer)
    line = Signature("w", signer.verifier.key_id, signer.sign(b"a\n"))
    with pytest.raises(BadSignature):
        signed_by(Note("a\n", (line,)), [signer.verifier])


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AB==", "AAB=", "AA==\n", " AA==", "A-==", "\u0661A==", "AA=A"]
)
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        parse_base64(text)
