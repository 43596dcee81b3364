"""From the state to the receivers, over real sockets: what is told, once, also after a restart and to who was away."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.config import Cluster, Settings
from gateway.console.settings import ConsoleSettings
from gateway.notify import deliveries, notifier
from gateway.notify.running import notify_people
from gateway.notify.settings import ApprovalsSettings, WebhookSettings
from gateway.state.entries import HoldVoted, Revoked, Voter
from tests.kit.console_rig import ConsoleRig, open_console
from tests.kit.webhook_server import Receiver, webhook_server

S = 1_000_000_000


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(notifier, "TICK_S", 0.05)


@asynccontextmanager
async def notifying(rig: ConsoleRig, *receivers: Receiver, **changes: Any) -> AsyncIterator[None]:
    secret = rig.directory / "secret"
    secret.write_text("0123456789abcdef")
    webhooks = tuple(WebhookSettings(receiver.url, str(secret), **changes) for receiver in receivers)
    settings = Settings(
        clusters=[Cluster(name="prod")],
        approvals=ApprovalsSettings(webhooks=webhooks),
        console=ConsoleSettings(url="https://gw.example:8443/"),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(notify_people, settings, rig.state)
        yield
        nursery.cancel_scope.cancel()


def ids(receiver: Receiver) -> list[str]:
    return [json.loads(received.body)["id"] for received in receiver.received]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.002)


def vote(rig: ConsoleRig, hold_id: str, *, approve: bool = True) -> HoldVoted:
    return HoldVoted(rig.state.now_ns(), hold_id, approve, Voter("bob"), "" if approve else "no")


async def test_a_hold_is_told_when_it_begins_and_when_it_is_decided(tmp_path: Path) -> None:
    with webhook_server() as receiver:
        async with open_console(tmp_path) as rig, notifying(rig, receiver):
            hold = await rig.hold()
            await until(lambda: ids(receiver) == [f"hold.requested/{hold.id}"])
            await rig.state.append(vote(rig, hold.id))
            await until(lambda: ids(receiver)[1:] == [f"hold.decided/{hold.id}"])
        first = json.loads(receiver.received[0].body)
        assert first["cluster"] == "prod"
        assert first["url"] == f"https://gw.example:8443/api/v1/approvals/{hold.id}"


async def test_what_ends_by_itself_is_told_too(tmp_path: Path) -> None:
    with webhook_server() as receiver:
        async with open_console(tmp_path) as rig, notifying(rig, receiver):
            hold = await rig.hold(wait_s=0.2)
            await until(lambda: f"hold.expired/{hold.id}" in ids(receiver))


async def test_a_receiver_is_told_only_what_it_wants(tmp_path: Path) -> None:
    with webhook_server() as receiver:
        async with open_console(tmp_path) as rig, notifying(rig, receiver, events=("revoked",)):
            await rig.hold()
            await rig.grant()
            await rig.state.append(
                Revoked(rig.state.now_ns(), "01K00000000000000000000001", "user", "x", "adm", "y")
            )
            await until(lambda: receiver.received)
            assert ids(receiver) == ["revoked/01K00000000000000000000001"]


async def test_one_that_is_away_does_not_keep_the_others_waiting_and_is_told_when_it_is_back(
    tmp_path: Path,
) -> None:
    with webhook_server(503) as away, webhook_server() as there:
        async with open_console(tmp_path) as rig, notifying(rig, away, there):
            hold = await rig.hold()
            await until(lambda: ids(there))
            await until(lambda: len(away.received) > 2)
            away.answers = [200]
            seen = len(away.received)
            await until(lambda: len(away.received) > seen)
            assert set(ids(away)) == {f"hold.requested/{hold.id}"}


async def test_after_a_restart_what_waits_is_told_again_and_the_past_is_not(tmp_path: Path) -> None:
    with webhook_server() as receiver:
        async with open_console(tmp_path) as rig:
            now_ns = rig.state.now_ns()
            await rig.state.append(
                Revoked(now_ns - 3600 * S, "01K00000000000000000000001", "user", "x", "adm", "y")
            )
            await rig.state.append(
                Revoked(now_ns - 60 * S, "01K00000000000000000000002", "user", "z", "adm", "y")
            )
            hold = await rig.hold()
            for expected in (2, 4):
                async with notifying(rig, receiver):
                    await until(lambda: len(receiver.received) == expected)  # noqa: B023 - awaited here
            told = [f"hold.requested/{hold.id}", "revoked/01K00000000000000000000002"]
            assert ids(receiver) == told + told


async def test_without_receivers_nothing_runs(tmp_path: Path) -> None:
    async with open_console(tmp_path) as rig, notifying(rig):
        await rig.hold()
