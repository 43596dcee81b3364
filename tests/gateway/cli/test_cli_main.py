"""What every verb shares: help, exit codes, one-line errors, a start that imports little."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.cli import VERBS, kubetape
from gateway.cli.lazy import Entry, LazyGroup
from gateway.cli.sessions import VERBS as SESSION_VERBS
from tests.kit.running import environment, run_cli


def test_help_lists_the_verbs_that_are_there() -> None:
    ran = run_cli("--help")
    assert ran.code == 0
    assert re.search("sessions +Read, search, follow and replay", ran.out)
    assert "Example:" in ran.out


@pytest.mark.parametrize("verb", sorted(SESSION_VERBS))
def test_every_sessions_verb_has_a_help_with_an_example(verb: str) -> None:
    ran = run_cli("sessions", verb, "--help")
    assert ran.code == 0
    assert f"Example: kubetape sessions {verb}" in ran.out


def test_help_imports_neither_trio_nor_storage() -> None:
    code = (
        "import sys\n"
        "from gateway.cli import main\n"
        "try: main(['sessions', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'trio', 'sqlite3', 'yaml', 'msgspec', 'zstandard', 'cryptography', 'h2', 'storage.index'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_verb_whose_module_is_missing_is_not_offered() -> None:
    group = LazyGroup(
        name="x", table={"gone": Entry("gateway.cli.not_there:gone", ""), "version": VERBS["version"]}
    )
    context = click.Context(group)
    assert group.list_commands(context) == ["version"]
    assert group.get_command(context, "gone") is None
    assert group.get_command(context, "other") is None
    assert group.get_command(context, "version") is not None


def test_a_table_that_points_at_no_command_is_a_bug() -> None:
    group = LazyGroup(name="x", table={"bad": Entry("gateway.cli:EXIT_FAILED", "")})
    with pytest.raises(AssertionError):
        group.get_command(click.Context(group), "bad")


@pytest.mark.parametrize("verb", [*VERBS])
def test_every_verb_that_is_there_loads(verb: str) -> None:
    context = click.Context(kubetape)
    if verb in kubetape.list_commands(context):
        assert isinstance(kubetape.get_command(context, verb), click.Command)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nonsense"], 2, "No such command"),
        (["sessions", "ls", "--limit", "0"], 2, "--limit"),
        (["sessions", "ls", "-o", "xml"], 2, "'xml' is not one of"),
        (["sessions", "ls", "--usr", "x"], 2, "--usr"),
        (["sessions", "get"], 2, "Missing argument"),
        (["sessions", "search"], 2, "Missing argument"),
        (["sessions", "play", "k1234", "--speed", "0"], 2, "--speed"),
        (["sessions", "play", "k1234", "--seek", "soon"], 2, "is no duration"),
        (["sessions", "ls", "--data-dir", "/nonexistent"], 1, "holds no log/ directory"),
        (["store", "rebuild-index", "/nonexistent"], 2, "does not exist"),
        (["store", "rebuild-index", "/"], 1, "it is no data directory"),
    ],
)
def test_wrong_use_is_said_in_words_with_its_exit_code(arguments: list[str], code: int, says: str) -> None:
    ran = run_cli(*arguments)
    assert ran.code == code
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_version_says_a_number() -> None:
    assert run_cli("version").out.startswith("kubetape ")


def test_python_m_gateway_is_the_same_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "version"],
        capture_output=True,
        env=environment(),
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.startswith(b"kubetape ")


def test_a_store_that_does_not_answer_is_told_apart(tmp_path: Path) -> None:
    nowhere = {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "t",
        "AWS_SECRET_ACCESS_KEY": "t",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    ran = run_cli("sessions", "ls", "--store", "s3://audit/prod", **nowhere)
    assert ran.code == 6
    assert "Errno" not in ran.err
    assert "no answer" in ran.err
