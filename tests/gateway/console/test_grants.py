"""/api/v1/grants and /api/v1/bundles: asking, deciding, the end."""

from pathlib import Path
from typing import Any

import pytest

from gateway.console.grants import MAX_PENDING, REQUEST_LIVES_S
from gateway.state.entries import GrantRequested, Revoked
from tests.kit.console_rig import ANN_SESSION, S, open_console

ASK = {"bundle": "debug-prod", "reason": "ticket 7", "duration": "30m"}


async def test_one_sees_the_bundles_one_may_ask_for(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        _, listed = await rig.ask("ann", "GET", "/api/v1/bundles")
        assert [item["bundle"] for item in listed["items"]] == ["debug-prod", "two-people"]
        assert listed["items"][0] == {
            "bundle": "debug-prod",
            "maxDurationSeconds": 3600,
            "approvers": {"users": ["bob"], "groups": ["sre"]},
            "rules": ["prod/debug"],
            "reason": "to look at a pod",
        }


async def test_a_request_says_who_what_why_and_how_long(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        status, shown = await rig.ask("ann", "POST", "/api/v1/grants", ASK)
        assert (status, shown["state"], shown["durationSeconds"]) == (201, "pending", 1800)
        entry = rig.recorded[-1]
        assert isinstance(entry, GrantRequested)
        assert (entry.requester.user, entry.requester.groups) == ("ann", ("devs",))
        assert (entry.requester.session, entry.requester.source) == (ANN_SESSION, "127.0.0.1")
        assert len(entry.requester.credential_id) == 32
        assert (entry.bundle, entry.reason, entry.duration_s) == ("debug-prod", "ticket 7", 1800)
        assert (entry.approver_users, entry.approver_groups, entry.quorum) == (("bob",), ("sre",), 1)
        assert entry.expires_ns == entry.at_ns + REQUEST_LIVES_S * S


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"bundle": "not-for-ann"}, 404, "no such bundle"),
        ({"bundle": "none"}, 404, "no such bundle"),
        ({"duration": "61m"}, 422, "at most 3600 s"),
        ({"duration": "0s"}, 422, "a duration is written"),
        ({"duration": "1.5s"}, 422, "a duration is written"),
        ({"duration": "soon"}, 422, "a duration is written"),
        ({"reason": "   "}, 422, "say why"),
        ({"reason": "a\nb"}, 422, "one line"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(
    tmp_path: Path, changes: dict[str, Any], status: int, words: str
) -> None:
    async with open_console(tmp_path) as rig:
        code, said = await rig.ask("ann", "POST", "/api/v1/grants", ASK | changes)
        assert code == status
        assert words in said["message"]
        assert rig.recorded == []


async def test_nobody_piles_up_requests(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        for _ in range(MAX_PENDING):
            await rig.grant()
        assert (await rig.ask("ann", "POST", "/api/v1/grants", ASK))[0] == 429


async def test_a_grant_begins_with_the_vote_and_ends_as_approved(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        grant = await rig.grant()
        status, shown = await rig.ask(
            "sue", "POST", f"/api/v1/grants/{grant.id}/approve", {"note": "ok", "duration": "10m"}
        )
        assert (status, shown["state"], shown["decidedBy"], shown["note"]) == (200, "active", "sue", "ok")
        (active,) = rig.state.grants_of("ann", "tokens.csv")
        assert active.expires_ns == rig.state.view.grant(grant.id).begins_ns + 600 * S  # type: ignore[union-attr]


async def test_more_than_was_asked_for_is_not_granted(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        grant = await rig.grant()
        status, _ = await rig.ask("sue", "POST", f"/api/v1/grants/{grant.id}/approve", {"duration": "31m"})
        assert status == 422


async def test_a_denial_is_shown_to_who_asked(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        grant = await rig.grant()
        await rig.ask("bob", "POST", f"/api/v1/grants/{grant.id}/deny", {"note": "use staging"})
        _, shown = await rig.ask("ann", "GET", f"/api/v1/grants/{grant.id}")
        assert (shown["state"], shown["note"], shown["isOwn"]) == ("denied", "use staging", True)


@pytest.mark.parametrize("who", ["ann", "adm"])
async def test_its_holder_or_an_admin_ends_a_grant(tmp_path: Path, who: str) -> None:
    async with open_console(tmp_path) as rig:
        grant = await rig.grant()
        await rig.ask("bob", "POST", f"/api/v1/grants/{grant.id}/approve", {})
        end = f"/api/v1/grants/{grant.id}/revoke"
        assert (await rig.ask(who, "POST", end, {"reason": " "}))[0] == 422
        _, shown = await rig.ask(who, "POST", end, {"reason": "done"})
        assert shown["state"] == "revoked"
        entry = rig.recorded[-1]
        assert isinstance(entry, Revoked)
        assert (entry.subject_kind, entry.subject, entry.by) == ("grant", grant.id, who)
        assert rig.state.grants_of("ann", "tokens.csv") == ()
        assert (await rig.ask(who, "POST", end, {"reason": "done"}))[0] == 409


async def test_a_request_can_be_withdrawn(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        grant = await rig.grant()
        await rig.ask("ann", "POST", f"/api/v1/grants/{grant.id}/revoke", {"reason": "not needed"})
        assert (await rig.ask("bob", "POST", f"/api/v1/grants/{grant.id}/approve", {}))[0] == 409


async def test_lists_can_be_narrowed_by_state(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        one, other = await rig.grant(), await rig.grant()
        await rig.ask("bob", "POST", f"/api/v1/grants/{one.id}/approve", {})
        _, active = await rig.ask("ann", "GET", "/api/v1/grants?state=active")
        _, pending = await rig.ask("ann", "GET", "/api/v1/grants?state=pending")
        assert [item["id"] for item in active["items"]] == [one.id]
        assert [item["id"] for item in pending["items"]] == [other.id]
