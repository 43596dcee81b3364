"""Labels of moments: what policy did, printable and short."""

import pytest

from storage.markers import MAX_LABEL_CHARS, marker
from storage.records import (
    AnyRecord,
    BudgetCrossed,
    CommandSeen,
    FileCopied,
    Held,
    HoldEnded,
    Masked,
    Outcome,
    UnknownRecord,
)

X = bytes(16)


@pytest.mark.parametrize(
    ("record", "label"),
    [
        (Masked(X, 1, "stream", (("a/b", 2), ("c/d", 1))), "masked 3 by a/b, c/d"),
        (Held(X, 1, "H", ("prod/no-wipe",), b""), "held by prod/no-wipe"),
        (Held(X, 1, "H", (), b""), "held by H"),
        (HoldEnded(X, 1, "H", "approved", ("bob", "cid"), "go on"), "approved by bob, cid: go on"),
        (HoldEnded(X, 1, "H", "expired"), "expired"),
        (CommandSeen(X, 1, "ls"), "typed: ls"),
        (CommandSeen(X, 1, "rm -rf /", "deny", "prod/no-wipe"), "denied by prod/no-wipe: rm -rf /"),
        (CommandSeen(X, 1, "rm", "new-action"), "new-action: rm"),
        (CommandSeen(X, 1, ""), ""),
        (FileCopied(X, 1, "up", "/etc/\x1b[31mx", 1), "copied up: /etc/\\x1b[31mx"),
        (
            BudgetCrossed(X, 1, "r/b", "deletes", 11, 10, "freeze"),
            "budget used up: deletes 11 of 10, freeze by r/b",
        ),
        (Outcome(X, 1, "completed", 200), ""),
        (UnknownRecord(99, b""), ""),
    ],
)
def test_a_record_of_policy_marks_a_moment(record: AnyRecord | UnknownRecord, label: str) -> None:
    assert marker(record) == label


def test_a_label_is_as_short_as_a_line() -> None:
    label = marker(CommandSeen(X, 1, "x" * 10_000))
    assert len(label) == MAX_LABEL_CHARS
    assert label.endswith("...")
