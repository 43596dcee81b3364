"""/api/v1/revocations: whose access ends, by whom, and who gets it back."""

from pathlib import Path
from typing import Any

import pytest

from gateway.console.context import ApiCall, ConsoleServices
from gateway.console.revocations import LiftBody, lift
from gateway.console.rights import Person
from gateway.errors import Refusal
from gateway.identity.authenticate import Authenticator
from gateway.principal import Principal
from gateway.server.names import HostNames
from gateway.state.entries import Reinstated, Revoked
from tests.kit.console_rig import ANN_SESSION, ConsoleRig, S, open_console

URL = "/api/v1/revocations"


async def revoke(rig: ConsoleRig, who: str, kind: str, subject: str, **more: Any) -> tuple[int, Any]:
    return await rig.ask(who, "POST", URL, {"kind": kind, "subject": subject, "reason": "stolen"} | more)


async def test_an_admin_ends_anybodys_access_and_gives_it_back(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        status, shown = await revoke(rig, "adm", "user", "eve")
        assert (status, shown["by"], shown["reason"]) == (201, "adm", "stolen")
        assert "until" not in shown
        assert (await rig.ask("eve", "GET", "/api/v1/whoami"))[0] == 403
        _, listed = await rig.ask("adm", "GET", URL)
        assert [item["id"] for item in listed["items"]] == [shown["id"]]
        short = shown["id"][10:18]
        assert (await rig.ask("adm", "POST", f"{URL}/{short}/lift", {"reason": "found"}))[0] == 200
        assert isinstance(rig.recorded[-1], Reinstated)
        assert (await rig.ask("eve", "GET", "/api/v1/whoami"))[0] == 200
        assert (await rig.ask("adm", "POST", f"{URL}/{short}/lift", {"reason": "found"}))[0] == 404


async def test_it_can_be_for_a_while(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        await revoke(rig, "adm", "user", "eve", duration="24h")
        entry = rig.recorded[-1]
        assert isinstance(entry, Revoked)
        assert entry.until_ns == pytest.approx(entry.at_ns + 24 * 3600 * S, abs=S)
        assert (await revoke(rig, "adm", "user", "eve", duration="a day"))[0] == 422


async def test_everybody_may_end_what_is_his_own(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        _, who = await rig.ask("eve", "GET", "/api/v1/whoami")
        assert (await revoke(rig, "eve", "credential", "0" * 32))[0] == 403
        assert (await revoke(rig, "eve", "session", ANN_SESSION))[0] == 403
        hold = await rig.hold("eve")
        assert (await revoke(rig, "eve", "hold", hold.id))[0] == 201
        assert (await revoke(rig, "eve", "hold", hold.id))[0] == 409
        assert (await revoke(rig, "eve", "credential", who["credentialId"]))[0] == 201
        assert (await revoke(rig, "ann", "session", ANN_SESSION))[0] == 201
        for locked_out in ("eve", "ann"):
            assert (await rig.ask(locked_out, "GET", "/api/v1/whoami"))[0] == 403


async def test_of_other_peoples_requests_nothing_is_said(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        grant = await rig.grant()
        assert (await revoke(rig, "eve", "grant", grant.id)) == (await revoke(rig, "eve", "grant", "0" * 26))
        assert (await revoke(rig, "eve", "grant", grant.id))[0] == 404
        assert (await revoke(rig, "bob", "grant", grant.id))[0] == 403  # sees it, for he may decide it
        assert (await revoke(rig, "ann", "grant", grant.id))[0] == 201


async def test_one_sees_only_revocations_of_oneself(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        await revoke(rig, "adm", "user", "zoe")
        await revoke(rig, "adm", "credential", "0" * 32)
        assert len((await rig.ask("adm", "GET", URL))[1]["items"]) == 2
        assert (await rig.ask("ann", "GET", URL))[1]["items"] == []


@pytest.mark.parametrize(
    ("kind", "subject", "words"),
    [
        ("credential", "my-token", "never by the token itself"),
        ("session", "01K", "whole id"),
        ("grant", "GGGG", "whole id"),
        ("user", "a\nb", "in one line"),
        ("user", "ADM", "lock yourself out"),
        ("pod", "x", "Invalid enum value"),
    ],
)
async def test_what_names_nothing_revokes_nothing(
    tmp_path: Path, kind: str, subject: str, words: str
) -> None:
    async with open_console(tmp_path) as rig:
        status, said = await revoke(rig, "adm", kind, subject)
        assert status == 422
        assert words in said["message"]
        assert rig.recorded == []


async def test_a_reason_is_needed(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        assert (await revoke(rig, "adm", "user", "eve", reason="  "))[0] == 422


async def test_a_grant_that_was_revoked_stays_over(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig:
        grant = await rig.grant()
        _, shown = await revoke(rig, "adm", "grant", grant.id)
        status, said = await rig.ask("adm", "POST", f"{URL}/{shown['id']}/lift", {"reason": "oops"})
        assert status == 422
        assert "ask for a new one" in said["message"]


async def test_whom_it_is_about_does_not_lift_it(tmp_path: Path) -> None:
    """He is turned away at the door already; this is the second lock, asked without the first."""
    async with open_console(tmp_path) as rig:
        _, shown = await revoke(rig, "adm", "session", ANN_SESSION)
        services = ConsoleServices(authenticator=Authenticator(), state=rig.state, host_names=HostNames([]))
        ann = Person(Principal("ann", (), "token", "c" * 32), ANN_SESSION)
        with pytest.raises(Refusal, match="only an admin may lift"):
            await lift(ApiCall(services, ann, path_id=shown["id"], body=LiftBody("it is me")))
