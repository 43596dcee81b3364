"""What a witness decides: the dialogue of another implementation's tests, split views, rollbacks."""

import random

import pytest

from storage.tlog.checkpoint import Checkpoint, sign_checkpoint, with_cosignatures
from storage.tlog.merkle import EMPTY_ROOT, consistency_proof, root_of
from storage.tlog.note import (
    Signature,
    SignerKey,
    encode_base64,
    generate_signer,
    parse_note,
    parse_signer,
)
from storage.tlog.witness import (
    MAX_REQUEST_BYTES,
    SIZE_CONTENT_TYPE,
    AddCheckpoint,
    BadRequest,
    Grant,
    Head,
    Outcome,
    Refusal,
    decide,
    encode_request,
    parse_request,
    requested_origin,
)
from tests.storage.tlog.test_merkle import reader_of

ORIGIN = "kubetape/gw-1/0"


def signer(name: str = ORIGIN) -> SignerKey:
    return parse_signer(generate_signer(name)[0])


LOG = signer()
LOGS = {ORIGIN: [LOG.verifier]}
RNG = random.Random(7)
LEAVES = [RNG.randbytes(32) for _ in range(40)]
FORK = [*LEAVES[:20], *(RNG.randbytes(32) for _ in range(20))]


def note_of(leaves: list[bytes], size: int, log: SignerKey = LOG) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, size, root_of(leaves[:size])), [log])


def asked(old: int, new: int, leaves: list[bytes] = LEAVES) -> AddCheckpoint:
    return AddCheckpoint(old, tuple(consistency_proof(old, new, reader_of(leaves))), note_of(leaves, new))


def head_of(leaves: list[bytes], size: int) -> Head:
    return Head(size, root_of(leaves[:size]))


def refusal(request: AddCheckpoint, head: Head | None) -> Refusal:
    decision = decide(request, LOGS, head)
    assert isinstance(decision, Refusal)
    return decision


def test_a_witness_follows_a_log_from_its_first_checkpoint() -> None:
    head: Head | None = None
    for old, new in ((0, 3), (3, 3), (3, 8), (8, 40)):
        decision = decide(parse_request(encode_request(asked(old, new))), LOGS, head)
        assert isinstance(decision, Grant)
        head = decision.head
        assert head == head_of(LEAVES, new)
        assert decision.checkpoint == Checkpoint(ORIGIN, new, root_of(LEAVES[:new]))


def test_the_second_branch_of_a_split_view_is_refused_whatever_its_proof() -> None:
    head = head_of(LEAVES, 30)
    for request in (
        asked(30, 40, FORK),  # consistent with itself, not with what was cosigned
        AddCheckpoint(30, (), note_of(FORK, 40)),
        AddCheckpoint(30, asked(30, 40).proof, note_of(FORK, 40)),
        AddCheckpoint(30, (), note_of(FORK, 30)),  # the same size, another root
    ):
        refused = refusal(request, head)
        assert (refused.outcome, refused.origin) == (Outcome.INCONSISTENT, ORIGIN)


def test_a_rollback_is_refused() -> None:
    head = head_of(LEAVES, 30)
    assert refusal(asked(20, 20), head).body == "30\n"
    assert refusal(asked(0, 20), head).status == 409
    assert refusal(AddCheckpoint(30, (), note_of(LEAVES, 20)), head).status == 400


def test_a_client_that_is_behind_is_told_the_size() -> None:
    refused = refusal(asked(3, 40), head_of(LEAVES, 30))
    assert (refused.status, refused.body, refused.content_type) == (409, "30\n", SIZE_CONTENT_TYPE)
    assert refusal(asked(3, 40), None).body == "0\n"


def test_a_first_checkpoint_comes_without_a_proof() -> None:
    assert refusal(AddCheckpoint(0, (bytes(32),), note_of(LEAVES, 3)), None).status == 422
    assert refusal(AddCheckpoint(3, (bytes(32),), note_of(LEAVES, 3)), head_of(LEAVES, 3)).status == 422


def test_an_empty_tree_has_one_root() -> None:
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), [LOG])
    assert isinstance(decide(AddCheckpoint(0, (), empty), LOGS, None), Grant)
    wrong = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), [LOG])
    assert refusal(AddCheckpoint(0, (), wrong), None).status == 422


def test_an_unknown_log_is_told_so_whoever_signed() -> None:
    decision = decide(asked(0, 3), {"other": [LOG.verifier]}, None)
    assert isinstance(decision, Refusal)
    assert (decision.status, decision.origin) == (404, None)


def test_a_checkpoint_its_log_did_not_sign_is_forbidden() -> None:
    assert refusal(AddCheckpoint(0, (), note_of(LEAVES, 3, signer())), None).status == 403
    line = parse_note(note_of(LEAVES, 3)).signatures[0]
    forged = with_cosignatures(note_of(FORK, 21), [line])
    refused = refusal(AddCheckpoint(0, (), forged), None)
    assert (refused.status, refused.origin) == (403, None)


def test_lines_of_unknown_keys_are_ignored_and_not_passed_on() -> None:
    note = with_cosignatures(note_of(LEAVES, 3), [Signature("stranger", b"1234", b"anything")])
    decision = decide(AddCheckpoint(0, (), note), LOGS, None)
    assert isinstance(decision, Grant)
    assert [line.name for line in decision.note.signatures] == [ORIGIN]


@pytest.mark.parametrize("note", [b"", b"not a note", sign_checkpoint(Checkpoint("x", 1, b""), [LOG])])
def test_what_is_no_checkpoint_is_a_bad_request(note: bytes) -> None:
    refused = refusal(AddCheckpoint(0, (), note), None)
    assert refused.status == 400
    assert refused.body.endswith("\n")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no empty line"),
        (b"old 0\n", "no empty line"),
        (b"\n\n", "line 1: not `old <size>`"),
        (b"old\n\n", "line 1"),
        (b"old 01\n\n", "line 1"),
        (b"old -1\n\n", "line 1"),
        (b"new 0\n\n", "line 1"),
        (b"old 0\nx\n\n", "line 2"),
        (b"old 0\n" + encode_base64(bytes(31)).encode() + b"\n\n", "line 2"),
        (b"old 0\n" + (encode_base64(bytes(32)).encode() + b"\n") * 64 + b"\n", "more than 63 proof lines"),
        ("old 0\n\u2014\n\n".encode(), "not ASCII"),
        (b"old 0\r\n\r\n", "no empty line"),
        (b"old 0\n\n" + bytes(MAX_REQUEST_BYTES), "longer than"),
    ],
)
def test_a_malformed_request_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        parse_request(body)


def test_a_request_names_its_log() -> None:
    assert requested_origin(asked(0, 3)) == ORIGIN
    assert requested_origin(AddCheckpoint(0, (), b"\xff\n")) == "\ufffd\n".strip()
