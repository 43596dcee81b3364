"""The one-file proof: a round trip, what it proves, and files that must not pass."""

import pytest

from storage.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from storage.tlog.merkle import ProofMismatch, leaf_hash, root_of
from storage.tlog.note import NotSigned, encode_base64, generate_signer, parse_signer
from storage.tlog.proof import (
    MAX_EXTRA_BYTES,
    MAX_PROOF_BYTES,
    BadProof,
    LogProof,
    encode_proof,
    parse_proof,
    verify_proof,
)
from tests.storage.tlog.test_merkle import direct_path

ENTRIES = [bytes([n]) * n for n in range(11)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
LOG = parse_signer(generate_signer("kubetape/gw-1/0")[0])
HEAD = Checkpoint("kubetape/gw-1/0", 11, root_of(LEAVES))
NOTE = sign_checkpoint(HEAD, [LOG])


def proof_of(index: int, extra: bytes = b"") -> LogProof:
    return LogProof(index, tuple(direct_path(index, LEAVES)), NOTE, extra)


def open_note(note: bytes) -> Checkpoint:
    return open_checkpoint(note, [LOG.verifier])


@pytest.mark.parametrize("extra", [b"", b"segment 7, frame 9"])
def test_every_entry_is_proved_by_its_file(extra: bytes) -> None:
    for index, entry in enumerate(ENTRIES):
        proof = parse_proof(encode_proof(proof_of(index, extra)))
        assert proof == proof_of(index, extra)
        assert verify_proof(proof, entry, open_note) == HEAD


def test_the_file_is_the_one_the_specification_shows() -> None:
    data = encode_proof(proof_of(3, b"x"))
    lines = data.decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra eA==", "index 3"]
    assert lines[3] == encode_base64(LEAVES[2])
    assert data.endswith(b"\n\n" + NOTE)
    assert encode_proof(parse_proof(data)) == data


def test_the_only_entry_of_a_log_needs_no_hashes() -> None:
    note = sign_checkpoint(Checkpoint(HEAD.origin, 1, LEAVES[0]), [LOG])
    proof = parse_proof(encode_proof(LogProof(0, (), note)))
    assert verify_proof(proof, ENTRIES[0], open_note).size == 1


def test_another_entry_index_or_hash_is_not_proved() -> None:
    proof = proof_of(3)
    with pytest.raises(ProofMismatch):
        verify_proof(proof, ENTRIES[4], open_note)
    with pytest.raises(ProofMismatch):
        verify_proof(LogProof(4, proof.hashes, NOTE), ENTRIES[3], open_note)
    with pytest.raises(ProofMismatch):
        verify_proof(LogProof(3, proof.hashes[:-1], NOTE), ENTRIES[3], open_note)


def test_a_checkpoint_nobody_trusts_proves_nothing() -> None:
    stranger = parse_signer(generate_signer("kubetape/gw-1/0")[0])
    forged = LogProof(3, proof_of(3).hashes, sign_checkpoint(HEAD, [stranger]))
    with pytest.raises(NotSigned):
        verify_proof(forged, ENTRIES[3], open_note)


GOOD = encode_proof(proof_of(3))
HASH_LINE = encode_base64(LEAVES[2]).encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", 1),
        (b"\n\n" + NOTE, 1),
        (GOOD.replace(b"@v1", b"@v2"), 1),
        (b"\n" + GOOD, 1),
        (GOOD.replace(b"\n", b"\r\n"), 12),
        (GOOD.partition(b"\n\n")[0], 6),
        (b"c2sp.org/tlog-proof@v1\n\n" + NOTE, 2),
        (GOOD.replace(b"index 3", b"index 03"), 2),
        (GOOD.replace(b"index 3", b"index -3"), 2),
        (GOOD.replace(b"index 3", b"index  3"), 2),
        (GOOD.replace(b"index 3", b"Index 3"), 2),
        (GOOD.replace(b"index 3", b"index 3\nextra eA=="), 3),
        (GOOD.replace(b"index 3", b"extra eA==\nextra eA==\nindex 3"), 3),
        (GOOD.replace(b"index 3", b"extra \nindex 3"), 2),
        (GOOD.replace(b"index 3", b"extra e@==\nindex 3"), 2),
        (
            GOOD.replace(
                b"index 3", b"extra " + encode_base64(bytes(MAX_EXTRA_BYTES + 1)).encode() + b"\nindex 3"
            ),
            2,
        ),
        (GOOD.replace(b"index 3", b"extra eA=="), 3),
        (GOOD.replace(HASH_LINE, HASH_LINE[:-2] + b"\n"), 3),
        (GOOD.replace(HASH_LINE, b"eA==\n"), 3),
        (GOOD.replace(HASH_LINE, HASH_LINE * 64), 3),
        (GOOD.replace(HASH_LINE, "\u2014\n".encode()), 3),
        (b"c2sp.org/tlog-proof@v1\n" + b"x" * MAX_PROOF_BYTES, 0),
    ],
)
def test_a_malformed_file_is_refused_and_its_line_named(data: bytes, line: int) -> None:
    with pytest.raises(BadProof) as caught:
        parse_proof(data)
    assert caught.value.line == line
