"""`kubetape grants`: against a running API, over HTTPS."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.grants import VERBS, grants
from tests.kit.console_thread import ConsoleThread, console_thread
from tests.kit.waiting import until

ASK = ("request", "debug-prod", "--reason", "ticket 7", "--duration", "30m")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleThread]:
    with console_thread(tmp_path / "gw") as here:
        yield here


def ask(console: ConsoleThread, who: str, *arguments: str) -> Result:
    return CliRunner().invoke(grants, [*arguments, *console.options(who)])


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_a_help_with_an_example(verb: str) -> None:
    shown = CliRunner().invoke(grants, [verb, "--help"])
    assert shown.exit_code == 0
    assert f"Example: kubetape grants {verb}" in shown.output


def test_bundles_are_listed_with_who_decides(console: ConsoleThread) -> None:
    _, first, second = ask(console, "ann", "bundles").stdout.splitlines()
    assert first.split("\t") == ["debug-prod", "1h0m", "bob, group sre", "to look at a pod"]
    assert second.split("\t")[:3] == ["two-people", "10m0s", "2 of bob, group sre"]


def test_from_the_request_to_the_end(console: ConsoleThread) -> None:
    asked = ask(console, "ann", *ASK)
    assert asked.exit_code == 0
    assert "debug-prod waits for bob, group sre" in asked.stderr
    short = asked.stdout.strip()
    assert len(short) == 8
    approved = ask(console, "sue", "approve", short, "--duration", "10m", "--note", "ok")
    assert approved.stdout.startswith(f"granted {short} ann: debug-prod, 9m5")
    row = ask(console, "ann", "ls", "--state", "active").stdout.splitlines()[1].split("\t")
    assert row[:2] == [short, "active"]
    assert row[2].startswith("9m5")
    assert row[3:] == ["ann", "debug-prod", "30m0s", "ticket 7"]
    assert ask(console, "eve", "revoke", short, "--reason", "x").exit_code == 1
    assert ask(console, "bob", "revoke", short, "--reason", "x").exit_code == 4
    assert (
        ask(console, "ann", "revoke", short, "--reason", "done").stdout
        == f"revoked {short} ann: debug-prod\n"
    )
    assert ask(console, "ann", "ls", "--state", "active").stdout.splitlines()[1:] == []


def test_a_request_can_wait_for_its_decision(console: ConsoleThread) -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(ask(console, "ann", *ASK, "--wait")))
    thread.start()
    until(lambda: console.rig.recorded)
    ask(console, "bob", "deny", console.rig.recorded[0].id, "--note", "use staging")
    thread.join(20)
    assert results[0].exit_code == 4
    assert "denied by bob: use staging" in results[0].stderr


def test_waiting_takes_no_longer_than_said(console: ConsoleThread) -> None:
    waited = ask(console, "ann", *ASK, "--wait", "--timeout", "1s")
    assert waited.exit_code == 8
    assert "nobody decided in time" in waited.stderr


def test_a_grant_that_came_is_said(console: ConsoleThread) -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(ask(console, "ann", *ASK, "--wait")))
    thread.start()
    until(lambda: console.rig.recorded)
    ask(console, "bob", "approve", console.rig.recorded[0].id)
    thread.join(20)
    assert results[0].exit_code == 0
    assert "granted by bob" in results[0].stderr


def test_a_quorum_says_how_many_are_missing(console: ConsoleThread) -> None:
    short = ask(console, "ann", "request", "two-people", "--reason", "r", "--duration", "5m").stdout.strip()
    assert ask(console, "bob", "approve", short).stdout.endswith("; 1 more must agree\n")


def test_a_denial_needs_words(console: ConsoleThread) -> None:
    short = ask(console, "ann", *ASK).stdout.strip()
    assert ask(console, "bob", "deny", short).exit_code == 2
    assert ask(console, "bob", "deny", short, "--note", "no").stdout == f"denied {short} ann: debug-prod\n"
    assert "no" in ask(console, "ann", "ls", "-o", "wide").stdout.splitlines()[1].split("\t")


def test_durations_are_checked_before_anybody_is_asked(console: ConsoleThread) -> None:
    assert ask(console, "ann", *ASK[:-1], "soon").exit_code == 2
    assert console.rig.recorded == []
