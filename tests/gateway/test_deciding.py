"""A vote that cannot be recorded or stored is no vote (peers S42): nothing is approved by a failure."""

from pathlib import Path

import pytest

from gateway.deciding import check_text, vote_on_grant, vote_on_hold, write
from gateway.errors import Refusal
from gateway.state.entries import AnyEntry, HoldVoted, Revoked, Voter
from gateway.state.hold_state import HoldState
from gateway.state.sqlite import SqliteStore
from gateway.state.store import StateUnavailable
from storage.errors import LogFailed
from tests.kit.console_rig import ConsoleRig, open_console

BOB = Voter("bob", (), "tokens.csv")


class BrokenStore(SqliteStore):
    """Breaks when it is told to."""

    is_broken = False

    def append(self, encoded: bytes, signature: bytes, *, unique: str = "", expires_ns: int = 0) -> int:
        if self.is_broken:
            raise StateUnavailable("the disk is gone: look at it")
        return super().append(encoded, signature, unique=unique, expires_ns=expires_ns)


async def held(rig: ConsoleRig, **changes: object) -> HoldState:
    entry = await rig.hold(**changes)  # type: ignore[arg-type]
    found = rig.state.view.hold(entry.id)
    assert found is not None
    return found


async def test_a_vote_that_cannot_be_stored_does_not_count(tmp_path: Path) -> None:
    tmp_path.joinpath("gw").mkdir()
    store = BrokenStore(tmp_path / "gw")
    async with open_console(tmp_path / "gw", store=store) as rig:
        hold = await held(rig)
        store.is_broken = True
        with pytest.raises(Refusal, match="the disk is gone") as refused:
            await vote_on_hold(rig.state, hold, BOB, approve=True, note="")
        assert refused.value.answer.code == 503
        assert rig.state.view.hold(hold.id) == hold
        status, said = await rig.ask("bob", "POST", f"/api/v1/approvals/{hold.id}/approve", {})
        assert (status, said["message"]) == (503, "the disk is gone: look at it")


async def test_a_vote_that_cannot_be_recorded_is_not_even_stored(tmp_path: Path) -> None:
    def record(entry: AnyEntry, encoded: bytes, signature: bytes) -> None:
        if isinstance(entry, HoldVoted):
            raise LogFailed("write", "log", "disk full")

    async with open_console(tmp_path, record=record) as rig:
        hold = await held(rig)
        with pytest.raises(Refusal, match="cannot record decisions, so none is made"):
            await vote_on_hold(rig.state, hold, BOB, approve=True, note="")
        assert rig.state.view.hold(hold.id) == hold


async def test_two_votes_of_one_person_at_once_are_one(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold = await held(rig, quorum=2)
        vote = HoldVoted(rig.state.now_ns(), hold.id, True, BOB)
        await write(rig.state, vote)
        with pytest.raises(Refusal, match="said already") as refused:
            await write(rig.state, vote)
        assert refused.value.answer.code == 409


async def test_a_revoked_person_decides_nothing(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold = await held(rig)
        grant = await rig.grant()
        now_ns = rig.state.now_ns()
        await rig.state.append(Revoked(now_ns, "01K00000000000000000000001", "user", "bob", "adm", "left"))
        asked = rig.state.view.grant(grant.id)
        assert asked is not None
        with pytest.raises(Refusal, match="access of bob is revoked: left"):
            await vote_on_hold(rig.state, hold, BOB, approve=True, note="")
        with pytest.raises(Refusal, match="access of bob is revoked: left"):
            await vote_on_grant(rig.state, asked, BOB, approve=True, note="")


@pytest.mark.parametrize(("scope", "for_s"), [("session", 0), ("command", 3601), ("command", -1)])
async def test_an_approval_covers_no_more_than_there_is(tmp_path: Path, scope: str, for_s: int) -> None:
    async with open_console(tmp_path) as rig:
        hold = await held(rig)
        with pytest.raises(Refusal) as refused:
            await vote_on_hold(rig.state, hold, BOB, approve=True, note="", scope=scope, for_s=for_s)
        assert refused.value.answer.code == 422


def test_words_are_one_visible_line() -> None:
    assert check_text("  fine ", "note") == "fine"
    for text in ("a\nb", "\x1b[2J", "x" * 1001):
        with pytest.raises(Refusal, match="note: one line"):
            check_text(text, "note")
