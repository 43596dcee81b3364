"""`kubetape policy`: check, test, schema; what is said and with which exit code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.policy import policy as group
from gateway.policy.schema import policy_schema
from gateway.policy_packs import UnknownPack, read_pack
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
    near = run("explain", "--as", "u", "POST /api/v1/namespaces/a/pods/b/exec", str(directory))
    assert "p/a" not in near.stdout
    as_json = json.loads(run("explain", "--as", "u", "-o", "json", pod, str(directory)).stdout)
    assert (as_json["verdict"]["action"], as_json["rules"][0]["rule"]) == ("allow", "p/a")


def test_explain_names_a_request_that_cannot_be(directory: Path) -> None:
    result = run("explain", "--as", "u", "GET /a//b", str(directory))
    assert result.exit_code == 2
    assert "the gateway refuses this request" in result.stderr
    assert run("explain", "--as", "u", "get", str(directory)).exit_code == 2


def test_explain_names_what_almost_matched_and_what_else_comes(directory: Path) -> None:
    near = run(
        "explain", "--as", "bot", "--group", "agents", "--pack", "read-only-agents",
        "GET /api/v1/namespaces/a/pods/b/exec?command=ls&tty=true",
    )  # fmt: skip
    lines = near.stdout.splitlines()
    assert lines[0] == "deny: agents run single commands, without a terminal"
    assert "  allow read-only-agents/run: another tty" in lines
    assert "  deny  read-only-agents/no-terminals: matches" in lines
    assert "masked by read-only-agents/no-secrets-anywhere: private-key" in near.stdout
    assert "budget: execMinutes 30 per session, then hold (read-only-agents/not-everything)" in lines


def test_explain_shows_holds_streams_and_scope(directory: Path) -> None:
    (directory / "p.yaml").write_text(
        HEAD
        + "rules:\n"
        + "- {name: h, action: {hold: {approvers: {users: [b], groups: [sre], quorum: 2}, wait: 1m}}}\n"
        + "- {name: s, action: {commands: [{pattern: rm, do: alert}], files: {names: ['*.pem'], maxBytes: 5}}}\n"
        + "- {name: f, action: {files: {maxBytes: 7}}}\n"
        + "- {name: t, action: {ports: []}}\n- {name: r, action: {record: metadata}}\n"
        + "- {name: m, action: {mask: {columns: [Data]}}}\n"
    )
    lines = run("explain", "--as", "u", "GET /", str(directory)).stdout.splitlines()
    assert "held for 60 s: 2 of b, group sre; scope command" in lines
    assert "typed lines: alert what matches rm (p/s)" in lines
    assert "files both: not *.pem at most 5 bytes (p/s)" in lines
    assert "files both: not by name at most 7 bytes (p/f)" in lines
    assert "ports: none" in lines
    assert "masked by p/m: column Data" in lines


def test_explain_takes_claims_and_objects(directory: Path, tmp_path: Path) -> None:
    (directory / "p.yaml").write_text(
        HEAD
        + "rules:\n- {name: a, match: {claims: {mfa: ['true'], team: [b]}, verbs: [create]}, "
        + "when: object.spec.x == 1 && oldObject == null, action: allow}\n"
        + "- {name: r, action: {record: metadata}}\n"
    )
    body = tmp_path / "body.yml.txt"
    body.write_text("spec: {x: 1}")
    ask = ("explain", "--as", "u", "--claim", "mfa=true", "--claim", "team=a", "--claim", "team=b")
    pods = "POST /api/v1/namespaces/a/pods"
    allowed = run(*ask, "--body", str(body), pods, str(directory)).stdout.splitlines()
    assert (allowed[0], allowed[-1]) == ("allow", "recorded: metadata only")
    assert run(*ask[:-2], "--body", str(body), pods, str(directory)).stdout.startswith("deny")
    assert run("explain", "--as", "u", "--claim", "mfa", pods, str(directory)).exit_code == 2
    for bad, why in (("[1]", "holds no object"), ("a: [", "expected")):
        body.write_text(bad)
        result = run(*ask, "--body", str(body), pods, str(directory))
        assert (result.exit_code, why in result.stderr) == (2, True)


def test_packs_are_listed_shown_and_tested() -> None:
    assert run("packs", "ls").stdout.splitlines()[0].startswith("no-escape\t")
    shown = run("packs", "show", "protect-prod").stdout_bytes
    assert shown == read_pack("protect-prod")
    assert run("test", "--pack", "protect-prod").exit_code == 0
    assert isinstance(run("packs", "show", "x").exception, UnknownPack)


def test_check_lint_fails_what_leaves_a_way_out(directory: Path) -> None:
    (directory / "p.yaml").write_text(HEAD + "rules: [{name: a, action: allow}]\n")
    result = run("check", "--lint", str(directory))
    assert result.exit_code == 1
    assert "warning: aws-auth: allowed by p/a, and nothing denies or holds it" in result.stderr
    assert run("check", "--lint", "--pack", "no-escape", str(directory)).exit_code == 0
    assert run("check", str(directory)).exit_code == 0


# --- diff -----------------------------------------------------------------------------------------


def test_diff_says_what_changes_and_which_tests_end_differently(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(GOOD)
    new.write_text(GOOD.replace("verbs: [get]", "verbs: [list], users: [u]"))
    result = run("diff", str(old), str(new))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "~ rule p/a",
        '    match.users: (none) -> ["u"]',
        '    match.verbs: ["get"] -> ["list"]',
        "1 test ends differently:",
        f"  {old}:6 u: GET /api/v1/pods/x",
        "    allow (p/a) -> deny",
    ]
    assert run("diff", "--fail-on-change", str(old), str(new)).exit_code == 1
    as_json = json.loads(run("diff", "-o", "json", str(old), str(new)).stdout)
    assert as_json["changes"][0]["fields"][0] == {"field": "match.users", "old": None, "new": ["u"]}
    assert as_json["tests"][0]["new"]["action"] == "deny"
    same = run("diff", "--fail-on-change", str(old), str(old))
    assert (same.exit_code, same.stdout) == (0, "no rule, grant or detector changes\n")


def test_diff_asks_the_tests_as_somebody_else(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(GOOD)
    new.write_text(
        GOOD.replace("verbs: [get]", "users: [u]") + "- {as: {user: u}, request: GET /x, expect: deny}\n"
    )
    assert "allow (p/a) -> deny" in run("diff", "--as", "bob", str(old), str(new)).stdout
    assert "tests end" not in run("diff", "--as", "u", str(old), str(new)).stdout
    assert run("diff", "--group", "x", str(old), str(new)).exit_code == 2


def test_diff_says_all_that_a_person_would_notice(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(GOOD)
    new.write_text(
        GOOD.replace(
            "action: allow}]",
            "action: allow}, {name: h, action: {hold: {approvers: {users: [b]}}}}, "
            "{name: m, action: {mask: {detectors: [jwt]}}}, {name: s, action: deny, mode: shadow}]",
        )
    )
    assert "hold by 1 of b (p/h, p/a, p/m) masks jwt shadow p/s" in run("diff", str(old), str(new)).stdout
    new.write_text(GOOD.replace("action: allow}]", "action: allow}, {name: r, action: {record: metadata}}]"))
    assert "allow (p/a, p/r) records metadata" in run("diff", str(old), str(new)).stdout
