"""A rig whose gateway enforces a policy, in front of the oracle or of the stand-in cluster, and people who decide."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from gateway.config import PolicySettings, Settings
from gateway.demo.standin.server import Standin, serve_standin
from gateway.demo.standin.settings import StandinSettings, old_server
from gateway.state.entries import GrantRequested, GrantVoted, HoldVoted, Requester, Revoked, Voter
from gateway.state.hold_state import HoldState
from tests.kit.gateway_rig import Exchange, Rig, open_rig
from tests.kit.orc import Script
from tests.kit.raw_client import RawClient, Response

HEAD = "apiVersion: kubetape/v1\nkind: Policy\nmetadata: {name: p}\n"
ALLOW_ALL = "- {name: all, action: allow}\n"
HOLD = "{hold: {approvers: {groups: [sre]}}}"
BOB, CAROL = Voter("bob", ("sre",)), Voter("carol", ("sre",))


def rules(*lines: str) -> str:
    """A policy file of rules in flow style, behind one that allows everything."""
    return HEAD + "rules:\n" + ALLOW_ALL + "".join(f"- {line}\n" for line in lines)


def write_policy(directory: Path, text: str) -> Path:
    """The directory that holds it."""
    policies = directory / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "p.yaml").write_text(text)
    return policies


@asynccontextmanager
async def open_policed(
    directory: Path, policy: str, script: Script | None = None, *, patience_s: int = 20, **options: Any
) -> AsyncIterator[Rig]:
    """The oracle behind a gateway with this policy file. options: of `open_rig`."""
    directory.mkdir(exist_ok=True)
    policies = write_policy(directory, policy)

    def enforcing(settings: Settings) -> Settings:
        return msgspec.structs.replace(
            settings, policy=PolicySettings(str(policies)), patience_seconds=patience_s
        )

    async with open_rig(directory, script, change=enforcing, **options) as rig:
        yield rig


@asynccontextmanager
async def open_policed_cluster(
    directory: Path, policy: str, *, old: bool = False, **options: Any
) -> AsyncIterator[tuple[Rig, Standin]]:
    """The same in front of the stand-in cluster. old: one that answers as 1.20 does."""
    settings = StandinSettings(directory=directory / "standin")
    async with trio.open_nursery() as nursery:
        standin: Standin = await nursery.start(serve_standin, old_server(settings) if old else settings)
        kubeconfig = directory / "standin" / "admin.kubeconfig"
        async with open_policed(directory, policy, kubeconfig=kubeconfig, **options) as rig:
            yield rig, standin
        nursery.cancel_scope.cancel()


# --- people ---------------------------------------------------------------------------------------------


async def next_hold(rig: Rig, number: int = 1) -> HoldState:
    """The number-th hold there ever was, once it is there."""
    state = rig.gateway.services.state
    while len(holds := state.view.holds(state.now_ns())) < number:
        await state.wait_change()
    return holds[number - 1]


async def approve(rig: Rig, hold: HoldState, by: Voter = BOB, **changes: Any) -> None:
    state = rig.gateway.services.state
    await state.append(HoldVoted(state.now_ns(), hold.id, True, by, **changes))


async def refuse(rig: Rig, hold: HoldState, note: str, by: Voter = BOB) -> None:
    state = rig.gateway.services.state
    await state.append(HoldVoted(state.now_ns(), hold.id, False, by, note))


async def revoke(rig: Rig, kind: str, subject: str, reason: str = "laptop lost") -> None:
    state = rig.gateway.services.state
    await state.append(Revoked(state.now_ns(), f"r-{state.now_ns()}", kind, subject, "bob", reason))


async def grant(rig: Rig, bundle: str, *, duration_s: int = 3600, name: str = "grant-1") -> str:
    """Give the rig's user a grant; returns its id."""
    state = rig.gateway.services.state
    grant_id = "01K0000000" + name.upper().replace("-", "0").ljust(16, "0")
    asked = GrantRequested(
        state.now_ns(),
        grant_id,
        state.now_ns() + 600 * 10**9,
        Requester(user_of(rig), issuer="tokens.csv"),
        bundle,
        "a test",
        duration_s,
        (),
        ("sre",),
        1,
    )
    await state.append(asked)
    await state.append(GrantVoted(state.now_ns(), grant_id, True, BOB))
    return grant_id


def user_of(rig: Rig) -> str:
    """The name of the rig's user."""
    return (rig.gateway.data_dir / "tokens.csv").read_text().split(",")[1].strip('"')


# --- calls ------------------------------------------------------------------------------------------------


async def ask_and(
    rig: Rig, request: bytes, meanwhile: Callable[[], Any], *, client: RawClient | None = None
) -> Response:
    """The answer to a request that somebody has to do something for."""
    found: list[Response] = []

    async def ask(one: RawClient) -> None:
        found.append(await one.ask(request))

    async with rig.client() as fresh, trio.open_nursery() as nursery:
        nursery.start_soon(ask, client or fresh)
        await meanwhile()
    return found[0]


async def the_call(rig: Rig) -> Exchange:
    """The records of the only call, once it is over."""
    await rig.ended()
    return await rig.exchange()
