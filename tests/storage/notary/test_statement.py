import pytest

from storage.notary.statement import (
    MAX_STATEMENT_BYTES,
    BadStatement,
    encode_fields,
    open_statement,
    parse_fields,
    parse_number,
    parse_sha256,
    read_unsigned,
    sign_statement,
)
from storage.tlog.checkpoint import BadCheckpoint, Checkpoint, parse_checkpoint
from storage.tlog.note import BadNote, NotSigned, generate_signer, parse_signer

LABEL = "kubetape/test/v1"
FIELDS = {"name": "a reason, with spaces", "count": 7, "sha256": bytes(range(32))}
TEXT = encode_fields(LABEL, FIELDS)
SIGNER = parse_signer(generate_signer("example.com/log")[0])


def test_fields_are_a_line_each() -> None:
    assert TEXT == (
        "kubetape/test/v1\nname a reason, with spaces\ncount 7\n"
        "sha256 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
    )
    fields = parse_fields(LABEL, tuple(FIELDS), TEXT)
    assert fields["name"] == "a reason, with spaces"
    assert parse_number(fields, "count") == 7
    assert parse_sha256(fields, "sha256") == bytes(range(32))


@pytest.mark.parametrize(
    "value", ["", "two\nlines", " padded", "padded ", "x" * 1001, "bell\a", "\u202eright to left", "\ud800"]
)
def test_text_that_is_no_plain_line_is_refused(value: str) -> None:
    with pytest.raises(BadStatement, match="name: write"):
        encode_fields(LABEL, {"name": value})


@pytest.mark.parametrize(
    "text",
    [
        "kubetape/other/v1\nname x\n",
        "kubetape/test/v1\n",
        "kubetape/test/v1\nname x\nname y\n",
        "kubetape/test/v1\nother x\n",
        "kubetape/test/v1\nname\n",
        "kubetape/test/v1\nname  x\n",
        "",
    ],
)
def test_a_text_with_other_lines_is_refused(text: str) -> None:
    with pytest.raises(BadStatement):
        parse_fields(LABEL, ("name",), text)


@pytest.mark.parametrize("value", ["x", "-1", "01", "1.0", "18446744073709551616", "٣"])
def test_only_the_one_spelling_of_a_number_is_read(value: str) -> None:
    with pytest.raises(BadStatement, match="no number"):
        parse_number({"count": value}, "count")


@pytest.mark.parametrize("value", ["ab", "AB" * 32, "zz" * 32])
def test_only_the_one_spelling_of_a_hash_is_read(value: str) -> None:
    with pytest.raises(BadStatement, match="SHA-256"):
        parse_sha256({"sha256": value}, "sha256")


def test_a_signed_statement_opens_with_its_key_only() -> None:
    data = sign_statement(TEXT, SIGNER)
    assert open_statement(data, [SIGNER.verifier]) == TEXT
    assert read_unsigned(data) == TEXT
    other = parse_signer(generate_signer("example.com/log")[0])
    with pytest.raises(NotSigned):
        open_statement(data, [other.verifier])
    with pytest.raises(BadNote):
        read_unsigned(b"nothing")


def test_a_statement_is_bounded_before_it_is_looked_at() -> None:
    for read in (read_unsigned, lambda data: open_statement(data, [])):
        with pytest.raises(BadStatement, match="at most"):
            read(b"x" * (MAX_STATEMENT_BYTES + 1))


def test_a_statement_is_never_a_checkpoint_nor_the_other_way() -> None:
    with pytest.raises(BadCheckpoint):
        parse_checkpoint(TEXT)
    with pytest.raises(BadStatement):
        parse_fields(LABEL, ("name",), Checkpoint(LABEL, 3, bytes(32)).text)
