"""Slack, against a fake that says it is one: messages, forms, votes, and who may not."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.config import Cluster, Settings
from gateway.notify import deliveries, notifier, running, slack
from gateway.notify.notifier import Notifier
from gateway.notify.running import SlackVotes
from gateway.notify.settings import ApprovalsSettings, SlackPerson, SlackSettings
from gateway.notify.slack import SlackMissing, SlackReceiver
from gateway.state.entries import GrantVoted, HoldVoted, Revoked
from tests.kit.console_rig import ConsoleRig, open_console
from tests.kit.fake_slack import APP_TOKEN, BOT_TOKEN, NAME, FakeSlack, fake_slack

USERS = {
    "U1BOB": SlackPerson("bob", (), "https://issuer"),
    "U1SUE": SlackPerson("susan", ("sre",)),
    "U1ANN": SlackPerson("ann", ("sre",)),
    "U1EVE": SlackPerson("eve"),
}


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with fake_slack() as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(slack, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(notifier, "TICK_S", 0.05)


def settings(directory: Path) -> SlackSettings:
    (directory / "app").write_text(APP_TOKEN + "\n")
    (directory / "bot").write_text(BOT_TOKEN + "\n")
    return SlackSettings(str(directory / "app"), str(directory / "bot"), "#approvals", USERS)


@asynccontextmanager
async def listening(rig: ConsoleRig, fake: FakeSlack) -> AsyncIterator[None]:
    receiver = SlackReceiver(
        settings(rig.directory),
        SlackVotes(rig.state).vote,
        rig.state.now_ns,
        cluster="prod",
        base_url=fake.url,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.deliveries.run)
        nursery.start_soon(Notifier(rig.state, [receiver]).run)
        await nursery.start(receiver.run)
        yield
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.002)


async def form_of(fake: FakeSlack, user: str, subject: str, *, approve: bool) -> dict[str, Any]:
    """Press a button; the form that opens."""
    seen = len(fake.all("views.open"))

    def press() -> None:
        fake.press(user, subject, approve=approve)
        fake.acknowledgement("e1")

    await trio.to_thread.run_sync(press)
    await until(lambda: len(fake.all("views.open")) > seen)
    view = fake.all("views.open")[-1]["view"]
    found: dict[str, Any] = json.loads(view) if isinstance(view, str) else view
    return found


async def submit(fake: FakeSlack, user: str, view: dict[str, Any], note: str) -> dict[str, Any]:
    return await trio.to_thread.run_sync(fake.submit, user, view, note)


def votes(rig: ConsoleRig) -> list[HoldVoted | GrantVoted]:
    return [entry for entry in rig.recorded if isinstance(entry, HoldVoted | GrantVoted)]


async def test_a_hold_is_posted_approved_and_its_message_changed(tmp_path: Path, fake: FakeSlack) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):
        hold = await rig.hold()
        await until(lambda: fake.all("chat.postMessage"))
        (posted,) = fake.all("chat.postMessage")
        assert posted["channel"] == "#approvals"
        assert "ann asks for approval: delete pods/web-0 -n prod" in posted["text"]
        form = await form_of(fake, "U1BOB", f"hold:{hold.id}", approve=True)
        answer = await submit(fake, "U1BOB", form, "looks fine")
        assert "payload" not in answer  # closes the form
        (vote,) = votes(rig)
        assert (vote.by.user, vote.by.issuer, vote.approve, vote.note) == (
            "bob",
            "https://issuer",
            True,
            "looks fine",
        )
        await until(lambda: fake.all("chat.update"))
        (changed,) = fake.all("chat.update")
        assert changed["ts"] == "2.0"
        assert "approved: decided by bob" in json.dumps(changed["blocks"])
        assert "kubetape_approve" not in json.dumps(changed["blocks"])


async def test_a_denial_carries_its_note(tmp_path: Path, fake: FakeSlack) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):
        hold = await rig.hold()
        form = await form_of(fake, "U1SUE", f"hold:{hold.id}", approve=False)
        await submit(fake, "U1SUE", form, "wrong namespace")
        assert rig.state.view.hold(hold.id).note == "wrong namespace"  # type: ignore[union-attr]


async def test_a_grant_is_decided_the_same_way(tmp_path: Path, fake: FakeSlack) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):
        grant = await rig.grant()
        form = await form_of(fake, "U1BOB", f"grant:{grant.id}", approve=True)
        await submit(fake, "U1BOB", form, "")
        assert rig.state.view.grant(grant.id).state(rig.state.now_ns()) == "active"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("user", "approve", "note", "words"),
    [
        ("U1ANN", True, "", "somebody else has to decide"),
        ("U1EVE", True, "", "eve may not decide this"),
        ("U1BOB", False, "  ", "a denial needs a note"),
        ("U9STRANGER", True, "", "does not know who you are"),
    ],
)
async def test_the_rules_are_those_of_every_vote(
    tmp_path: Path, fake: FakeSlack, user: str, approve: bool, note: str, words: str
) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):
        hold = await rig.hold()
        form = await form_of(fake, "U1BOB", f"hold:{hold.id}", approve=approve)
        answer = await submit(fake, user, form, note)
        assert answer["payload"]["response_action"] == "errors"
        assert words in answer["payload"]["errors"]["note"]
        assert votes(rig) == []


async def test_a_stranger_gets_no_form_to_send(tmp_path: Path, fake: FakeSlack) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):
        hold = await rig.hold()
        form = await form_of(fake, "U9STRANGER", f"hold:{hold.id}", approve=True)
        assert "submit" not in form
        assert "does not know who you are" in json.dumps(form)


async def test_whose_access_is_revoked_decides_nothing(tmp_path: Path, fake: FakeSlack) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):
        hold = await rig.hold()
        form = await form_of(fake, "U1BOB", f"hold:{hold.id}", approve=True)
        entry = Revoked(rig.state.now_ns(), "01K00000000000000000000001", "user", "bob", "adm", "left")
        await rig.state.append(entry)
        answer = await submit(fake, "U1BOB", form, "")
        assert "revoked: left" in answer["payload"]["errors"]["note"]
        assert votes(rig) == []


async def test_a_second_vote_of_one_person_is_refused(tmp_path: Path, fake: FakeSlack) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):
        hold = await rig.hold(quorum=2)
        form = await form_of(fake, "U1BOB", f"hold:{hold.id}", approve=True)
        await submit(fake, "U1BOB", form, "")
        again = await submit(fake, "U1BOB", form, "")
        assert "has voted already" in again["payload"]["errors"]["note"]
        gone = {**form, "private_metadata": "approve hold:01K00000000000000000000009"}
        over = await submit(fake, "U1BOB", gone, "")
        assert "it is over" in over["payload"]["errors"]["note"]
        assert len(votes(rig)) == 1


async def test_what_slack_refuses_is_tried_again(tmp_path: Path, fake: FakeSlack) -> None:
    fake.errors["apps.connections.open"] = [{"ok": False, "error": "internal_error"}]
    fake.errors["chat.postMessage"] = [
        {"ok": False, "error": "ratelimited"},
        {"ok": False, "error": "channel_not_found"},
    ]
    async with open_console(tmp_path) as rig, listening(rig, fake):
        await rig.hold()
        await until(lambda: len(fake.all("chat.postMessage")) == 3)


async def test_tokens_and_messages_are_in_no_log(
    tmp_path: Path, fake: FakeSlack, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.errors["views.open"] = [{"ok": False, "error": "expired_trigger_id"}]
    fake.errors["chat.postMessage"] = [{"ok": False, "error": "invalid_auth"}]
    async with open_console(tmp_path) as rig, listening(rig, fake):
        hold = await rig.hold()
        await until(lambda: len(fake.all("chat.postMessage")) == 2)
        await form_of(fake, "U1BOB", f"hold:{hold.id}", approve=True)
    said = capfd.readouterr()
    log = said.out + said.err
    assert "Slack says invalid_auth" in log
    for kept in (APP_TOKEN, BOT_TOKEN, "ticket=", "web-0", NAME):
        assert kept not in log


async def test_what_is_not_ours_is_acknowledged_and_nothing_else(tmp_path: Path, fake: FakeSlack) -> None:
    async with open_console(tmp_path) as rig, listening(rig, fake):

        def send() -> dict[str, Any]:
            fake.send({"type": "event_callback", "event": {"text": "approve"}}, "e9", "events_api")
            return fake.acknowledgement("e9")

        assert "payload" not in await trio.to_thread.run_sync(send)
        assert votes(rig) == []


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slack_sdk", None)

    async def vote(*_: object) -> str:
        return ""

    with pytest.raises(SlackMissing, match=r"install kubetape\[slack\]"):
        SlackReceiver(settings(tmp_path), vote, lambda: 0, cluster="prod")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"users": {"bob": SlackPerson("bob")}}, "member id"),
        ({"channel": ""}, "appTokenFile, botTokenFile and channel"),
    ],
)
def test_settings_that_cannot_work_are_said(changes: dict[str, Any], words: str) -> None:
    fields: dict[str, Any] = {"app_token_file": "a", "bot_token_file": "b", "channel": "#c"} | changes
    with pytest.raises(ValueError, match=words):
        SlackSettings(**fields)
    with pytest.raises(ValueError, match="the name that policies know"):
        SlackPerson("")


async def test_the_configuration_alone_starts_it(
    tmp_path: Path, fake: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        running, "SlackReceiver", lambda *args, **options: SlackReceiver(*args, **options, base_url=fake.url)
    )
    async with open_console(tmp_path) as rig, trio.open_nursery() as nursery:
        wanted = Settings(
            clusters=[Cluster(name="prod")], approvals=ApprovalsSettings(slack=settings(tmp_path))
        )
        await nursery.start(running.notify_people, wanted, rig.state)
        await rig.hold()
        await until(lambda: fake.all("chat.postMessage"))
        nursery.cancel_scope.cancel()
