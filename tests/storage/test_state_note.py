"""Entries of the shared state, shown: who caused them, and without content where none may come out."""

import pytest

from gateway.state.entries import HoldRequested, Requester, Revoked, encode_entry
from storage.records import StateChanged
from storage.state_note import IDENTIFYING, read_state
from tests.kit.governed import REQUEST, VOTE

CONTENT = {"body", "diff", "argv", "target", "kubectlCommand", "reason", "note", "ports"}


def test_an_entry_says_who_caused_it() -> None:
    vote = read_state(StateChanged(1, "HoldVoted", VOTE), with_content=True)
    assert (vote.user, vote.session, vote.entry["note"]) == ("bob", "", "go on, 4711")
    asked = read_state(StateChanged(1, "HoldRequested", REQUEST), with_content=True)
    assert (asked.user, asked.session) == ("agent-7", "S1")
    revoked = encode_entry(Revoked(1, "r", "user", "ann", "bob", "left"))
    assert read_state(StateChanged(1, "Revoked", revoked), with_content=True).user == "bob"


def test_without_content_only_what_identifies_is_left() -> None:
    request = HoldRequested(
        1, "h", 2, Requester("ann"), "d", ("r",), ("bob",), (), 1, "command", "DELETE", "/x?q=canary", "delete",
        "pods", kubectl_command="canary", argv=("canary",), body="canary", diff="canary", reason="canary",
    )  # fmt: skip
    note = read_state(StateChanged(1, "HoldRequested", encode_entry(request)), with_content=False)
    assert "canary" not in str(note)
    assert note.entry["digest"] == "d"
    assert IDENTIFYING.isdisjoint(CONTENT)


@pytest.mark.parametrize("entry", [b"", b"[]", b"\xff", b"{", b"[" * 4000])
def test_what_is_no_entry_is_shown_without_fields(entry: bytes) -> None:
    assert read_state(StateChanged(1, "Later", entry), with_content=True) == ({}, "", "")


@pytest.mark.parametrize("entry", [b"{}", b'{"by":7}', b'{"by":{"user":7,"session":[]}}'])
def test_who_is_not_said_is_nobody(entry: bytes) -> None:
    assert read_state(StateChanged(1, "Later", entry), with_content=True)[1:] == ("", "")
