"""`kubetape policy`: check, test, schema; what is said and with which exit code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.policy import policy as group
from gateway.policy.schema import policy_schema
from tests.kit.policies import HEAD

GOOD = (
    HEAD
    + "rules: [{name: a, match: {verbs: [get]}, action: allow}]\n"
    + "tests:\n- {as: {user: u}, request: GET /api/v1/pods/x, expect: allow}\n"
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(GOOD)
    return tmp_path


def test_check_says_what_was_read(directory: Path) -> None:
    result = run("check", str(directory))
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "1 file, 1 rule, 0 grants, 1 test; what no rule allows is denied; sha256 "
    )


def test_check_names_every_mistake_and_exits_3(directory: Path) -> None:
    bad = directory / "bad.yaml"
    bad.write_text(HEAD.replace("name: p", "name: q") + "rulse: []\nxyzzy: 1\n")
    result = run("check", str(directory / "p.yaml"), str(bad))
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"{bad}:4:1: unknown key 'rulse'; did you mean 'rules'?" in result.stderr
    assert result.stderr.endswith("error: 1 mistake\n")


def test_check_reads_the_current_directory_by_itself(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "q.yaml").write_text(HEAD + "default: allow\n")
    monkeypatch.chdir(directory)
    result = run("check")
    assert result.exit_code == 3
    assert "q.yaml:3:18: there is another policy 'p'" in result.stderr


def test_mistakes_cannot_write_on_the_terminal(directory: Path) -> None:
    (directory / "p.yaml").write_text(HEAD + '"\\e[2J": 1\n')
    assert "\x1b" not in run("check", str(directory)).stderr


def test_tests_that_pass_exit_0(directory: Path) -> None:
    result = run("test", "-v", str(directory))
    assert result.exit_code == 0
    assert result.stdout == f"ok   {directory}/p.yaml:6 u: GET /api/v1/pods/x\n1 passed, 0 failed\n"
    assert run("test", str(directory)).stdout == "1 passed, 0 failed\n"


def test_a_test_that_fails_says_why_and_exits_1(directory: Path) -> None:
    (directory / "p.yaml").write_text(GOOD.replace("expect: allow", "expect: deny, name: nobody reads"))
    result = run("test", str(directory))
    assert result.exit_code == 1
    assert result.stdout == (
        f"FAIL {directory}/p.yaml:6 nobody reads\n"
        "     expected deny, the policy says allow (by p/a)\n"
        "0 passed, 1 failed\n"
    )


def test_a_policy_without_tests_is_not_a_tested_one(directory: Path) -> None:
    (directory / "p.yaml").write_text(HEAD)
    assert run("test", str(directory)).exit_code == 1


def test_schema_prints_the_published_schema() -> None:
    assert run("schema").stdout_bytes == policy_schema()


def test_explain_says_what_happens_and_why(directory: Path) -> None:
    pod = "GET /api/v1/namespaces/a/pods/b"
    result = run("explain", "--as", "u", pod, str(directory))
    assert (result.exit_code, result.stdout) == (0, "allow\n  allow p/a: matches\n")
    denied = run("explain", "--as", "u", "--all", "DELETE /api/v1/namespaces/a/pods/b", str(directory))
    assert denied.stdout.splitlines() == [
        "deny: no rule allows this",
        "you may get everything",
        "  allow p/a: another verb",
    ]
    as_json = json.loads(run("explain", "--as", "u", "-o", "json", pod, str(directory)).stdout)
    assert (as_json["verdict"]["action"], as_json["rules"][0]["rule"]) == ("allow", "p/a")


def test_explain_names_a_request_that_cannot_be(directory: Path) -> None:
    result = run("explain", "--as", "u", "GET /a//b", str(directory))
    assert result.exit_code == 2
    assert "the gateway refuses this request" in result.stderr
    assert run("explain", "--as", "u", "get", str(directory)).exit_code == 2
