from pathlib import Path

import msgspec
import pytest

from storage.files import REAL_FILES
from storage.notary.loss import (
    MAX_RANGES,
    TREE_KEPT,
    TREE_LOST,
    LossStatement,
    join_ranges,
    loss_number,
    next_loss_name,
    open_loss,
    read_losses,
    sign_loss,
)
from storage.notary.statement import BadStatement
from storage.tlog.note import NotSigned, generate_signer, parse_signer

SIGNER = parse_signer(generate_signer("kubetape/gw/0")[0])
LOSS = LossStatement(
    "kubetape/gw/0",
    120,
    bytes(range(32)),
    TREE_KEPT,
    ((100, 110), (115, 120)),
    7,
    3,
    9000,
    False,
    9,
    400,
    1_790_000_000_000_000_000,
    "segment 8 is gone",
    "disk restored from the backup of Monday",
)


@pytest.mark.parametrize(
    "loss",
    [LOSS, msgspec.structs.replace(LOSS, lost=(), kept_complete=True, tree=TREE_LOST)],
    ids=["some lost", "the tree lost"],
)
def test_a_statement_reads_back_as_it_was(loss: LossStatement) -> None:
    assert open_loss(sign_loss(loss, SIGNER), [SIGNER.verifier]) == loss


def test_exactly_the_lost_leaves_are_excused() -> None:
    assert [index for index in range(130) if LOSS.excuses(index)] == [*range(100, 110), *range(115, 120)]


def test_a_statement_needs_the_key_of_the_log() -> None:
    other = parse_signer(generate_signer("kubetape/gw/0")[0])
    with pytest.raises(NotSigned):
        open_loss(sign_loss(LOSS, other), [SIGNER.verifier])


@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        ("tree kept", "tree gone", "tree"),
        ("kept_complete no", "kept_complete maybe", "kept_complete"),
        ("100-110", "110-100", "ends before"),
        ("100-110", "all", "no ranges"),
        ("kept_number 7", "kept_number seven", "no number"),
    ],
)
def test_a_statement_that_is_not_understood_is_refused(right: str, wrong: str, why: str) -> None:
    from storage.notary.statement import read_unsigned, sign_statement

    text = read_unsigned(sign_loss(LOSS, SIGNER)).replace(right, wrong)
    with pytest.raises(BadStatement, match=why):
        open_loss(sign_statement(text, SIGNER), [SIGNER.verifier])


def test_ranges_are_joined_and_bounded() -> None:
    assert join_ranges([1, 2, 3, 7, 9, 10]) == ((1, 4), (7, 8), (9, 11))
    assert join_ranges([]) == ()
    many = join_ranges(range(0, 1000, 2))
    assert len(many) == MAX_RANGES
    assert many[-1][1] == 999


def test_statements_are_numbered() -> None:
    assert loss_number("loss-12.note") == 12
    assert loss_number("loss-012.note") == loss_number("loss-1.note.tmp") == loss_number("tlog") == 0
    assert next_loss_name([]) == "loss-1.note"
    assert next_loss_name(["loss-2.note", "loss-10.note", "LOCK"]) == "loss-11.note"


def test_only_signed_statements_of_a_log_are_read_oldest_first(tmp_path: Path) -> None:
    later = msgspec.structs.replace(LOSS, tree_size=200)
    (tmp_path / "loss-10.note").write_bytes(sign_loss(later, SIGNER))
    (tmp_path / "loss-2.note").write_bytes(sign_loss(LOSS, SIGNER))
    (tmp_path / "loss-3.note").write_bytes(sign_loss(LOSS, parse_signer(generate_signer("x")[0])))
    (tmp_path / "loss-4.note").write_bytes(b"x" * 100_000)
    names = [path.name for path in tmp_path.iterdir()]
    found = read_losses(REAL_FILES, tmp_path, names, [SIGNER.verifier])
    assert [(loss.name, loss.statement) for loss in found] == [("loss-2.note", LOSS), ("loss-10.note", later)]
