"""/api/v1/approvals: what is shown, who decides, what a vote does, and how changes are followed."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.console.serve import MAX_WATCHES_EACH
from gateway.state.entries import HoldUsed, HoldVoted, Revoked
from tests.kit.console_rig import ConsoleRig, open_console
from tests.kit.raw_client import RawClient


def path(hold: Any, verb: str = "") -> str:
    return f"/api/v1/approvals/{hold.id}" + (f"/{verb}" if verb else "")


async def test_an_approver_sees_the_exact_request(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold(argv=("rm", "-rf", "/"), body='{"a":"(masked)"}', diff="-a\n+b", objects=3)
        _, shown = await rig.ask("bob", "GET", path(hold))
        assert shown["state"] == "pending"
        assert shown["shortId"] == hold.id[10:18]
        assert shown["digest"] == "ab" * 32
        assert shown["call"] == {
            "method": "DELETE",
            "target": "/api/v1/namespaces/prod/pods/web-0",
            "verb": "delete",
            "resource": "pods",
            "namespace": "prod",
            "name": "web-0",
            "argv": ["rm", "-rf", "/"],
            "objects": 3,
            "body": '{"a":"(masked)"}',
            "diff": "-a\n+b",
        }
        assert (shown["mayDecide"], shown.get("isOwn")) == (True, None)
        assert shown["rules"] == ["prod/no-delete"]
        assert shown["approvers"] == {"users": ["bob", "ann"], "groups": ["sre"]}


async def test_an_approval_is_a_vote_of_this_person_and_is_recorded(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold()
        status, shown = await rig.ask(
            "bob", "POST", path(hold, "approve"), {"note": " ok ", "scope": "request", "forSeconds": 30}
        )
        assert (status, shown["state"], shown["decidedBy"]) == (200, "approved", "bob")
        vote = rig.recorded[-1]
        assert isinstance(vote, HoldVoted)
        assert (vote.by.user, vote.by.issuer, vote.approve) == ("bob", "tokens.csv", True)
        assert (vote.scope, vote.for_s) == ("request", 30)


async def test_without_a_choice_it_covers_what_the_rule_permits_for_a_minute(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        wide, narrow = await rig.hold(), await rig.hold(scope="request")
        for hold in (wide, narrow):
            await rig.ask("bob", "POST", path(hold, "approve"), {})
        votes = [entry for entry in rig.recorded if isinstance(entry, HoldVoted)]
        assert [(vote.scope, vote.for_s) for vote in votes] == [("command", 60), ("request", 60)]


@pytest.mark.parametrize("changes", [{"scope": "request"}, {"command": ""}])
async def test_an_approver_cannot_choose_more_than_the_rule_permits(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold(**changes)
        assert (await rig.ask("bob", "GET", path(hold)))[1]["widestScope"] == "request"
        status, said = await rig.ask("bob", "POST", path(hold, "approve"), {"scope": "command"})
        assert status == 422
        assert "this very request only" in said["message"]


async def test_the_requester_never_decides_even_where_the_rule_names_her(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        for user in ("ann", "olga"):  # olga is an admin and of the approving group
            hold = await rig.hold(user)
            for verb in ("approve", "deny"):
                status, said = await rig.ask(user, "POST", path(hold, verb), {"note": "mine"})
                assert status == 403
                assert "somebody else has to decide" in said["message"]


async def test_a_quorum_needs_different_people(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold(quorum=2, approver_users=("olga", "bob"))
        assert (await rig.ask("olga", "POST", path(hold, "approve"), {}))[1]["state"] == "pending"
        status, said = await rig.ask("olga", "POST", path(hold, "approve"), {})
        assert status == 409
        assert "2 different people" in said["message"]
        assert (await rig.ask("bob", "POST", path(hold, "approve"), {}))[1]["decidedBy"] == "olga, bob"


async def test_a_denial_ends_it_and_needs_words(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold(quorum=2)
        assert (await rig.ask("bob", "POST", path(hold, "deny"), {"note": "  "}))[0] == 422
        _, shown = await rig.ask("bob", "POST", path(hold, "deny"), {"note": "wrong namespace"})
        assert (shown["state"], shown["decidedBy"], shown["note"]) == ("denied", "bob", "wrong namespace")
        status, said = await rig.ask("sue", "POST", path(hold, "approve"), {})
        assert status == 409
        assert "denied already" in said["message"]


@pytest.mark.parametrize("note", ["two\nlines", "\x1b[31mred", "\u202eright to left", "x" * 1001])
async def test_a_note_is_one_visible_line(tmp_path: Path, note: str) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold()
        assert (await rig.ask("bob", "POST", path(hold, "deny"), {"note": note}))[0] == 422


async def test_ids_may_be_short_if_they_are_unique_among_what_one_sees(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        await rig.hold("eve", id="01K0000000ABCDEFGH00000001", approver_users=(), approver_groups=())
        await rig.hold(id="01K0000000ABCDEFXX00000001")
        get = "/api/v1/approvals/"
        assert (await rig.ask("bob", "GET", get + "abcdef"))[1]["shortId"] == "ABCDEFXX"
        assert (await rig.ask("adm", "GET", get + "ABCDEF"))[0] == 422
        assert (await rig.ask("adm", "GET", get + "ABCDEFX"))[0] == 200
        assert (await rig.ask("bob", "GET", get + "ABC"))[0] == 422
        assert (await rig.ask("bob", "GET", get + "ABCDEFG"))[0] == 404


async def test_lists_can_be_narrowed_by_state(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        first, second = await rig.hold(), await rig.hold()
        await rig.ask("bob", "POST", path(first, "approve"), {})
        await rig.state.append(HoldUsed(rig.state.now_ns(), first.id, first.digest, "e1"))
        found = {}
        for state in ("pending", "approved", "used"):
            _, listed = await rig.ask("bob", "GET", f"/api/v1/approvals?state={state}")
            found[state] = [item["id"] for item in listed["items"]]
        assert found["pending"] == [second.id]
        assert first.id in found["approved"] + found["used"]


async def test_one_shows_what_the_requester_asked_for_before(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        earlier, _other, hold = await rig.hold(), await rig.hold("eve"), await rig.hold()
        await rig.ask("bob", "POST", path(earlier, "deny"), {"note": "no"})
        _, shown = await rig.ask("bob", "GET", path(hold))
        assert [(past["id"], past["state"]) for past in shown["history"]] == [(earlier.id, "denied")]


class Watch:
    """Documents of a watch as they come."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._buffer = b""

    async def next(self) -> Any:
        while b"\n" not in self._buffer:
            data = await self._client.chunk()
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


async def watch(rig: ConsoleRig, client: RawClient, who: str, more: str = "") -> Watch:
    await client.send(rig.request(who, "GET", f"/api/v1/approvals?watch=true{more}"))
    response = await client.head()
    assert response.status == 200
    assert response.header(b"content-type") == b"application/x-ndjson"
    return Watch(client)


async def test_a_watch_begins_with_what_is_there_and_goes_on_with_what_changes(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, rig.open() as client:
        first = await rig.hold()
        following = await watch(rig, client, "bob")
        assert (await following.next())["id"] == first.id
        second = await rig.hold()
        assert (await following.next())["id"] == second.id
        await rig.ask("sue", "POST", path(first, "deny"), {"note": "no"})
        changed = await following.next()
        assert (changed["id"], changed["state"], changed["note"]) == (first.id, "denied", "no")


async def test_a_watch_tells_of_an_end_that_nobody_wrote(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, rig.open() as client:
        await rig.hold(wait_s=0.3)
        following = await watch(rig, client, "bob", "&state=pending")
        assert (await following.next())["state"] == "pending"
        assert (await following.next())["state"] == "expired"


async def test_a_watch_shows_nobody_what_a_list_would_not(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, rig.open() as client:
        following = await watch(rig, client, "eve")
        await rig.hold()
        own = await rig.hold("eve")
        shown = await following.next()
        assert (shown["id"], shown["isOwn"]) == (own.id, True)


async def test_a_watch_ends_when_access_is_revoked(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, rig.open() as client:
        await rig.hold()
        following = await watch(rig, client, "bob")
        assert await following.next()
        entry = Revoked(rig.state.now_ns(), "01K00000000000000000000001", "user", "bob", "adm", "left")
        await rig.state.append(entry)
        assert await following.next() is None


async def test_a_watch_ends_when_its_client_leaves(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        for _ in range(2 * MAX_WATCHES_EACH):
            status = 429
            while status == 429:  # until the server has noticed that the ones before are gone
                async with rig.open() as client:
                    await client.send(rig.request("bob", "GET", "/api/v1/approvals?watch=true"))
                    status = (await client.head()).status
                    await client.vanish()
            assert status == 200
