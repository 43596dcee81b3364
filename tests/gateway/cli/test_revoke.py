"""`kubetape revoke`: against a running API, over HTTPS."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.revoke import VERBS, revoke
from tests.kit.console_rig import ANN_SESSION, S
from tests.kit.console_thread import ConsoleThread, console_thread


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleThread]:
    with console_thread(tmp_path / "gw") as here:
        yield here


def ask(console: ConsoleThread, who: str, *arguments: str) -> Result:
    return CliRunner().invoke(revoke, [*arguments, *console.options(who)])


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_a_help_with_an_example(verb: str) -> None:
    shown = CliRunner().invoke(revoke, [verb, "--help"])
    assert shown.exit_code == 0
    assert f"Example: kubetape revoke {verb}" in shown.output


def test_a_user_is_revoked_listed_and_given_back(console: ConsoleThread) -> None:
    made = ask(console, "adm", "user", "eve", "--reason", "laptop stolen", "--for", "24h")
    assert made.exit_code == 0
    short = made.stdout.strip()
    entry = console.rig.recorded[-1]
    assert (entry.subject_kind, entry.subject, entry.reason) == ("user", "eve", "laptop stolen")
    assert entry.until_ns == pytest.approx(entry.at_ns + 24 * 3600 * S, abs=S)
    locked_out = ask(console, "eve", "ls")
    assert locked_out.exit_code == 4
    assert "access revoked by adm: laptop stolen" in locked_out.stderr
    row = ask(console, "adm", "ls").stdout.splitlines()[1].split("\t")
    assert row[:4] == [short, "user", "eve", "adm"]
    assert ask(console, "adm", "lift", short, "--reason", "found").stdout == "lifted: user eve\n"
    assert ask(console, "eve", "ls").exit_code == 0


def test_a_token_and_a_session_are_named_by_their_ids(console: ConsoleThread) -> None:
    assert ask(console, "adm", "token", "ab" * 16, "--reason", "found in a log").exit_code == 0
    assert ask(console, "adm", "session", ANN_SESSION.lower(), "--reason", "odd").exit_code == 0
    kinds = [(entry.subject_kind, entry.subject, entry.until_ns) for entry in console.rig.recorded]
    assert kinds == [("credential", "ab" * 16, 0), ("session", ANN_SESSION, 0)]
    assert "token\t" + "ab" * 16 in ask(console, "adm", "ls").stdout
    assert ask(console, "adm", "token", "not-an-id", "--reason", "x").exit_code == 1


def test_only_an_admin_revokes_others(console: ConsoleThread) -> None:
    refused = ask(console, "bob", "user", "eve", "--reason", "x")
    assert refused.exit_code == 4
    assert "only an admin" in refused.stderr
    assert ask(console, "bob", "user", "eve").exit_code == 2
