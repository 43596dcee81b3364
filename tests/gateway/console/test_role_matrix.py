"""Every route, for every kind of person, on what is theirs and what is not (peers S17, S36): one table, all of it asked.

The table is complete: a route that is not in it fails the test, so that nobody adds one without saying whose it is.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.console.routes import ROUTES
from gateway.state.entries import Revoked
from tests.kit.console_rig import ConsoleRig, open_console

ROLES = ("", "eve", "ann", "bob", "sue", "adm", "olga")
"""Nobody; a stranger; the owner; approvers by name and by group; an admin; an admin who is an approver."""

READ = (401, 404, 200, 200, 200, 200, 200)
LIST = (401, 200, 200, 200, 200, 200, 200)
VOTE = (401, 404, 403, 200, 200, 403, 200)
END = (401, 404, 200, 403, 403, 200, 200)
CREATED = (401, 404, 201, 404, 201, 404, 201)
REVOKE = (401, 403, 403, 403, 403, 201, 201)
LIFT = (401, 404, 404, 404, 404, 200, 200)


class Row(NamedTuple):
    """What each role is answered. {hold}, {grant}, {revocation} are ann's."""

    method: str
    path: str
    target: str
    expected: tuple[int, ...]
    body: Any = None


NOTE = {"note": "seen"}
ASK = {"bundle": "debug-prod", "reason": "ticket 7", "duration": "10m"}
REVOKED = {"kind": "user", "subject": "zoe", "reason": "left"}

MATRIX = (
    Row("GET", "/api/v1/approvals", "/api/v1/approvals", LIST),
    Row("GET", "/api/v1/approvals/{id}", "/api/v1/approvals/{hold}", READ),
    Row("POST", "/api/v1/approvals/{id}/approve", "/api/v1/approvals/{hold}/approve", VOTE, NOTE),
    Row("POST", "/api/v1/approvals/{id}/deny", "/api/v1/approvals/{hold}/deny", VOTE, NOTE),
    Row("GET", "/api/v1/bundles", "/api/v1/bundles", LIST),
    Row("GET", "/api/v1/grants", "/api/v1/grants", LIST),
    Row("POST", "/api/v1/grants", "/api/v1/grants", CREATED, ASK),
    Row("GET", "/api/v1/grants/{id}", "/api/v1/grants/{grant}", READ),
    Row("POST", "/api/v1/grants/{id}/approve", "/api/v1/grants/{grant}/approve", VOTE, NOTE),
    Row("POST", "/api/v1/grants/{id}/deny", "/api/v1/grants/{grant}/deny", VOTE, NOTE),
    Row("POST", "/api/v1/grants/{id}/revoke", "/api/v1/grants/{grant}/revoke", END, {"reason": "done"}),
    Row("GET", "/api/v1/revocations", "/api/v1/revocations", LIST),
    Row("POST", "/api/v1/revocations", "/api/v1/revocations", REVOKE, REVOKED),
    Row(
        "POST",
        "/api/v1/revocations/{id}/lift",
        "/api/v1/revocations/{revocation}/lift",
        LIFT,
        {"reason": "found it"},
    ),
    Row("GET", "/api/v1/whoami", "/api/v1/whoami", LIST),
)


async def revocation(rig: ConsoleRig) -> str:
    """Of somebody who is none of the people above."""
    entry = Revoked(rig.state.now_ns(), "01K00000000000000000000002", "user", "zoe", "adm", "left")
    await rig.state.append(entry)
    return entry.id


def test_every_route_has_its_row() -> None:
    assert {(row.method, row.path) for row in MATRIX} == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: f"{row.method} {row.path}")
async def test_every_route_answers_every_role_as_the_table_says(tmp_path: Path, row: Row) -> None:
    async with open_console(tmp_path) as rig:
        ids = {"revocation": await revocation(rig)} if "{revocation}" in row.target else {}
        answered = []
        for role in ROLES:  # each on fresh things, so that no vote is in the way of the next
            ids |= {"hold": (await rig.hold()).id, "grant": (await rig.grant()).id}
            if "{revocation}" in row.target and role == "olga":
                entry = Revoked(
                    rig.state.now_ns(), "01K00000000000000000000003", "user", "yan", "adm", "left"
                )
                await rig.state.append(entry)
                ids["revocation"] = entry.id
            status, _ = await rig.ask(role, row.method, row.target.format(**ids), row.body)
            answered.append(status)
        assert dict(zip(ROLES, answered, strict=True)) == dict(zip(ROLES, row.expected, strict=True))


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: f"{row.method} {row.path}")
async def test_no_route_serves_whose_access_is_revoked(tmp_path: Path, row: Row) -> None:
    async with open_console(tmp_path) as rig:
        ids = {
            "hold": (await rig.hold()).id,
            "grant": (await rig.grant()).id,
            "revocation": await revocation(rig),
        }
        entry = Revoked(rig.state.now_ns(), "01K00000000000000000000009", "user", "olga", "adm", "left")
        await rig.state.append(entry)
        status, _ = await rig.ask("olga", row.method, row.target.format(**ids), row.body)
        assert status == 403


async def test_lists_show_what_the_single_views_show(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        holds = [
            await rig.hold(user, approver_users=("bob",), approver_groups=())
            for user in ("ann", "eve", "sue")
        ]
        grants = [
            await rig.grant(user, approver_users=("bob",), approver_groups=()) for user in ("ann", "eve")
        ]
        for role in ROLES[1:]:
            for what, entries in (("approvals", holds), ("grants", grants)):
                listed = {item["id"] for item in (await rig.ask(role, "GET", f"/api/v1/{what}"))[1]["items"]}
                single = {
                    entry.id
                    for entry in entries
                    if (await rig.ask(role, "GET", f"/api/v1/{what}/{entry.id}"))[0] == 200
                }
                assert listed == single, role


async def test_what_one_may_not_see_is_answered_like_what_is_not_there(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        hold = await rig.hold()
        hidden = await rig.ask("eve", "GET", f"/api/v1/approvals/{hold.id}")
        missing = await rig.ask("eve", "GET", "/api/v1/approvals/01K00000000000000000000001")
        assert hidden == missing
        assert hidden[0] == 404
