"""`kubetape approvals`: against a running API, over HTTPS."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.approvals import VERBS, approvals
from tests.kit.console_thread import ConsoleThread, console_thread
from tests.kit.running import environment, run_cli


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleThread]:
    with console_thread(tmp_path / "gw") as here:
        yield here


def ask(console: ConsoleThread, who: str, *arguments: str) -> Result:
    return CliRunner().invoke(approvals, [*arguments, *console.options(who)])


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_a_help_with_an_example(verb: str) -> None:
    shown = CliRunner().invoke(approvals, [verb, "--help"])
    assert shown.exit_code == 0
    assert f"Example: kubetape approvals {verb}" in shown.output


def test_ls_shows_what_waits(console: ConsoleThread) -> None:
    hold = console.run(console.rig.hold)
    shown = ask(console, "bob", "ls")
    header, row = shown.stdout.splitlines()
    assert header.split("\t") == ["ID", "STATE", "LEFT", "USER", "WANTS", "RULE"]
    short, state, left, user, wants, rule = row.split("\t")
    assert (short, state, user) == (hold.id[10:18], "pending", "ann")
    assert re.fullmatch(r"4m5\d(\.\d)?s", left)
    assert (wants, rule) == ("delete pods/web-0 -n prod", "prod/no-delete")
    assert "none is pending" in ask(console, "eve", "ls").stderr


def test_ls_has_all_formats(console: ConsoleThread) -> None:
    hold = console.run(console.rig.hold)
    assert json.loads(ask(console, "bob", "ls", "-o", "json").stdout)[0]["id"] == hold.id
    assert json.loads(ask(console, "bob", "ls", "--all", "-o", "jsonl").stdout)["id"] == hold.id
    assert ask(console, "bob", "ls", "-o", "name").stdout.strip() == hold.id
    assert f"id: {hold.id}" in ask(console, "bob", "ls", "-o", "yaml").stdout
    assert "DECIDED BY" in ask(console, "bob", "ls", "-o", "wide").stdout


def test_show_prints_the_exact_request_and_lets_nothing_out_of_its_lines(console: ConsoleThread) -> None:
    hold = console.run(
        console.rig.hold,
        argv=("sh", "-c", 'echo "hi"; \x1b]0;owned\x07'),
        body="line one\napproval: 99999999\x1b[2J",
        diff="- replicas: 3\n+ replicas: 0\u202e",
        kubectl_command="kubectl exec",
    )
    shown = ask(console, "bob", "show", hold.id[10:14].lower())
    assert shown.exit_code == 0
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout
    lines = shown.stdout.splitlines()
    assert lines[0] == f"approval:    {hold.id[10:18]} ({hold.id})"
    assert f"target:      {hold.target}" in lines
    assert r'command:     "sh" "-c" "echo \"hi\"; \x1b]0;owned\x07"' in lines
    assert r"    approval: 99999999\x1b[2J" in lines
    assert r"    + replicas: 0\u202e" in lines
    assert "kubectl:     kubectl exec (a hint of the client, not checked)" in lines
    assert f"you:         may decide: kubetape approvals approve|deny {hold.id[10:18]}" in lines
    assert "somebody else has to decide" in ask(console, "ann", "show", hold.id).stdout
    assert json.loads(ask(console, "bob", "show", hold.id, "-o", "json").stdout)["digest"] == hold.digest
    assert "digest:" in ask(console, "bob", "show", hold.id, "-o", "yaml").stdout
    assert ask(console, "bob", "show", hold.id, "-o", "name").stdout.strip() == hold.id


def test_approve_says_what_was_approved(console: ConsoleThread) -> None:
    hold = console.run(console.rig.hold)
    said = ask(console, "bob", "approve", hold.id, "--for", "15m", "--note", "ok")
    assert said.exit_code == 0
    assert said.stdout.startswith(
        f"approved {hold.id[10:18]} ann: delete pods/web-0 -n prod; the command until "
    )
    vote = console.rig.recorded[-1]
    assert (vote.for_s, vote.note, vote.by.user) == (900, "ok", "bob")
    shown = ask(console, "ann", "show", hold.id).stdout
    assert "approved by bob: ok" in shown
    assert "decided:     by bob" in shown


def test_a_quorum_says_how_many_are_missing(console: ConsoleThread) -> None:
    hold = console.run(console.rig.hold, quorum=2)
    said = ask(console, "bob", "approve", hold.id, "--scope", "request")
    assert said.stdout.endswith("; 1 more must agree\n")


def test_deny_needs_a_note_and_gives_it(console: ConsoleThread) -> None:
    hold = console.run(console.rig.hold)
    assert ask(console, "bob", "deny", hold.id).exit_code == 2
    assert ask(console, "bob", "deny", hold.id, "--note", "wrong namespace").exit_code == 0
    shown = ask(console, "ann", "show", hold.id, "--wait")
    assert shown.exit_code == 4
    assert "note:        wrong namespace" in shown.stdout


def test_waiting_ends_with_the_decision(console: ConsoleThread) -> None:
    hold = console.run(console.rig.hold)
    assert ask(console, "ann", "show", hold.id, "--wait", "--timeout", "1s").exit_code == 8
    ask(console, "bob", "approve", hold.id)
    assert ask(console, "ann", "show", hold.id, "--wait").exit_code == 0


def test_exit_codes_tell_denied_from_unknown_from_unauthenticated(console: ConsoleThread) -> None:
    hold = console.run(console.rig.hold)
    own = ask(console, "ann", "approve", hold.id)
    assert own.exit_code == 4
    assert "somebody else has to decide" in own.stderr
    assert ask(console, "eve", "show", hold.id).exit_code == 1
    assert ask(console, "nobody", "ls").exit_code == 5
    options = [*console.options("bob")]
    options[1] = "https://127.0.0.1:9"
    away = CliRunner().invoke(approvals, ["ls", *options])
    assert away.exit_code == 6
    assert "cannot reach the management API at 127.0.0.1:9: Connection refused" in away.stderr
    options = [*console.options("bob")]
    del options[2:4]
    stranger = CliRunner().invoke(approvals, ["ls", *options])
    assert stranger.exit_code == 6
    assert "name its CA with --ca FILE" in stranger.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "../x"), "4 to 26 letters and digits"),
        (("show", "abc"), "4 to 26 letters and digits"),
        (("approve", "8F3K", "--for", "soon"), "write a duration"),
        (("approve", "8F3K", "--scope", "all"), "is not one of"),
        (("ls", "--state", "open"), "is not one of"),
    ],
)
def test_wrong_usage_is_said_before_anybody_is_asked(arguments: tuple[str, ...], words: str) -> None:
    said = CliRunner().invoke(
        approvals, [*arguments, "--server", "https://127.0.0.1:9", "--token-file", "/none"]
    )
    assert said.exit_code == 2
    assert words in said.stderr


def test_watch_prints_a_new_one_at_once(console: ConsoleThread) -> None:
    arguments = [
        sys.executable,
        "-m",
        "gateway.cli",
        "approvals",
        "watch",
        "-o",
        "jsonl",
        *console.options("bob"),
    ]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, env=environment(PYTHONUNBUFFERED="1"), text=True
    ) as process:
        assert process.stdout is not None
        first = console.run(console.rig.hold)
        assert json.loads(process.stdout.readline())["id"] == first.id
        second = console.run(console.rig.hold)
        assert json.loads(process.stdout.readline())["id"] == second.id
        ask(console, "sue", "deny", second.id, "--note", "no")
        assert json.loads(process.stdout.readline())["state"] == "denied"
        process.terminate()


def test_a_gateway_that_is_no_management_api_is_said_in_one_line(tmp_path: Path) -> None:
    ran = run_cli("approvals", "ls", "--server", "http://127.0.0.1:1", "--token-file", "/none", cwd=tmp_path)
    assert ran.code == 5
    assert ran.err == "Error: --server: server is http://, and only https:// is used: verified TLS\n"
