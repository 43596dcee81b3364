import msgspec
import pytest

from storage.notary.statement import BadStatement
from storage.notary.tombstone import (
    Tombstone,
    encode_tombstone,
    open_tombstone,
    parse_tombstone,
    read_tombstone,
    sign_tombstone,
)
from storage.tlog.note import BadSignature, NotSigned, generate_signer, parse_signer

ORIGIN = "kubetape/gw-1/0"
SIGNER = parse_signer(generate_signer(ORIGIN)[0])
TOMBSTONE = Tombstone(
    ORIGIN,
    "1790000000123-000001-00000007-ad151265",
    "01a0c450-6c7b-7747-8290-6058ad151265",
    7,
    65_536,
    bytes(range(32)),
    100,
    140,
    1_790_000_000_000_000_000,
    "retention 30d",
)


def test_the_text_of_a_tombstone() -> None:
    assert encode_tombstone(TOMBSTONE) == (
        "kubetape/tombstone/v1\n"
        "origin kubetape/gw-1/0\n"
        "segment 1790000000123-000001-00000007-ad151265\n"
        "segment_id 01a0c450-6c7b-7747-8290-6058ad151265\n"
        "number 7\nsize 65536\n"
        "sha256 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
        "first_record_seq 100\nnext_record_seq 140\n"
        "deleted_ns 1790000000000000000\nreason retention 30d\n"
    )


def test_a_tombstone_opens_with_the_key_of_its_log() -> None:
    data = sign_tombstone(TOMBSTONE, SIGNER)
    assert open_tombstone(data, [SIGNER.verifier]) == TOMBSTONE
    assert read_tombstone(data) == TOMBSTONE


def test_a_tombstone_by_another_key_or_changed_does_not() -> None:
    data = sign_tombstone(TOMBSTONE, SIGNER)
    other = parse_signer(generate_signer(ORIGIN)[0])
    with pytest.raises(NotSigned):
        open_tombstone(data, [other.verifier])
    with pytest.raises(BadSignature):
        open_tombstone(data.replace(b"number 7", b"number 8"), [SIGNER.verifier])


def test_a_tombstone_with_impossible_content_is_refused() -> None:
    backwards = msgspec.structs.replace(TOMBSTONE, next_record_seq=99)
    with pytest.raises(BadStatement, match="end before"):
        parse_tombstone(encode_tombstone(backwards))
    with pytest.raises(BadStatement, match="reason"):
        sign_tombstone(msgspec.structs.replace(TOMBSTONE, reason="two\nlines"), SIGNER)
