"""The demo as a newcomer runs it: from the command line, with and without kubectl, with and without a terminal."""

import base64
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from gateway.demo.standin.seed import CARD_NUMBERS
from gateway.keys.opening import open_key_ring
from storage.sources import SegmentLogs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
DEADLINE_S = 120
PASSWORD = "correct horse battery staple"
CANARIES = (*CARD_NUMBERS, PASSWORD, base64.b64encode(PASSWORD.encode()).decode())


class Step(NamedTuple):
    who: str
    command: str
    output: str


class Run(NamedTuple):
    """One run with --json. directory: the data that was kept."""

    directory: Path
    steps: tuple[Step, ...]
    figures: dict[str, object]
    text: str
    stderr: str

    def outputs(self, command: str) -> list[str]:
        found = [step.output for step in self.steps if step.command.startswith(command)]
        assert found, f"{command} was not shown"
        return found


def demo(*words: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--pace", "0", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        timeout=DEADLINE_S,
    )


def kubetape(*words: str) -> str:
    """What it prints, when all went well."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=DEADLINE_S,
    ).stdout


@pytest.fixture(scope="module", params=["kubectl", "http"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    if request.param == "kubectl" and shutil.which("kubectl") is None:
        pytest.skip("no kubectl on PATH")
    directory = tmp_path_factory.mktemp("demo")
    environment = {} if request.param == "kubectl" else {"PATH": "/nonexistent"}
    done = demo("--json", "--keep", str(directory), environment=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    steps = tuple(Step(**step) for step in found["steps"])
    assert found["verified"] is True
    return Run(directory, steps, found["figures"], done.stdout, done.stderr)


# --- what is shown ---------------------------------------------------------------------------------------


def test_a_secret_and_card_numbers_are_masked_before_they_arrive(run: Run) -> None:
    assert "[masked by payments/secret-values]" in run.outputs("kubectl get secret")[0]
    (customers,) = run.outputs("kubectl exec -n payments api -- cat")
    assert customers.count("[masked by payments/card-numbers]") == len(CARD_NUMBERS)
    assert "Ada Lovelace" in customers


def test_nothing_that_is_masked_is_in_the_output(run: Run) -> None:
    assert [canary for canary in CANARIES if canary in run.text + run.stderr] == []


def test_nothing_that_is_masked_is_in_the_record_its_index_or_the_state(run: Run) -> None:
    logs = SegmentLogs(run.directory, keys=open_key_ring(run.directory, (), use_kms=False))
    records = [record for log in logs.logs() for _, record in logs.records(log, None)]
    assert len(records) > 50
    kept = b"".join(msgspec.msgpack.encode(record) for record in records)
    for path in run.directory.rglob("*"):
        if path.is_file() and path.relative_to(run.directory).parts[0] != "standin":
            kept += path.read_bytes()
    assert b"[masked by payments/card-numbers]" in kept
    assert [canary for canary in CANARIES if canary.encode() in kept] == []


def test_a_forbidden_command_is_denied_with_rule_and_reason(run: Run) -> None:
    (denied,) = run.outputs("kubectl exec -n payments api -- rm")
    assert (
        'Error from server (Forbidden): pods "api" is forbidden: kubetape policy payments/no-wipe:' in denied
    )
    assert "data is not deleted from inside a pod" in denied


def test_the_same_typed_into_a_terminal_is_denied_before_its_newline(run: Run) -> None:
    (terminal,) = run.outputs("kubectl exec -it")
    assert "[kubetape] denied by kubetape policy payments/typed-wipe" in terminal


def test_one_deletion_is_denied_with_a_note_and_one_approved(run: Run) -> None:
    (denied,) = run.outputs("kubectl delete pod shop")
    assert 'denied by oncall: "wrong namespace: payments is slow, not prod"' in denied
    (approved,) = run.outputs("kubectl delete pod worker")
    assert "Error" not in approved
    assert approved.strip()
    assert "agent-7: delete pods/shop -n prod" in run.outputs("kubetape approvals deny")[0]
    assert "agent-7: delete pods/worker -n payments" in run.outputs("kubetape approvals approve")[0]


def test_a_grant_opens_a_log_and_its_end_says_why(run: Run) -> None:
    before, under_grant = run.outputs("kubectl logs -f")
    assert "You may ask for the grant follow-payments" in before
    assert "msg=served" in under_grant
    assert "error: " in under_grant
    assert "revoked by oncall: the incident is over" in run.outputs("kubectl get pods -n payments --watch")[0]


def test_the_record_of_the_log_says_why_it_broke_off(run: Run) -> None:
    rows = kubetape(
        "sessions", "ls", "--calls", "kind:log", "-o", "jsonl", "--data-dir", str(run.directory)
    ).splitlines()
    ends = {(row["result"], row["why"].partition(" revoked ")[2]) for row in map(json.loads, rows)}
    assert ("cut", "by oncall: the incident is over") in ends


def test_a_stricter_policy_would_flip_the_two_readings(run: Run) -> None:
    (replayed,) = run.outputs("kubetape policy replay")
    assert "allow -> deny by stricter/no-secrets" in replayed
    assert "allow -> deny by stricter/no-customers" in replayed


def test_the_terminal_can_be_replayed_masked_and_the_log_is_untouched(run: Run) -> None:
    (played,) = run.outputs("kubetape sessions play")
    assert "Grace Hopper,grace@example.com,[masked by payments/card-numbers]" in played
    assert "untouched" in run.outputs("kubetape verify")[0]


def test_the_figures_agree_with_what_was_shown(run: Run) -> None:
    figures = run.figures
    assert len(figures["heldS"]) == 2  # type: ignore[arg-type]
    assert figures["blocked"] == 3  # rm, the log without the grant, the typed line
    assert figures["streams"] == 6
    assert figures["maskedValues"] >= 7  # type: ignore[operator]
    assert figures["requests"] >= 10  # type: ignore[operator]


def test_the_gateway_complained_about_nothing(run: Run) -> None:
    assert run.stderr == ""


def test_the_policy_that_was_kept_passes_its_own_tests(run: Run) -> None:
    assert ", 0 failed" in kubetape("policy", "test", str(run.directory / "policy"))


# --- at a terminal ----------------------------------------------------------------------------------------


def test_at_a_terminal_a_person_decides_by_one_key_and_nothing_is_left_behind(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": "/nonexistent", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--pace", "0"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        seen = _read_until(ours, b"approves, n denies")
        os.write(ours, b"x?y")  # what is no answer is passed over
        seen += _read_until(ours, b"approves, n denies")
        os.write(ours, b"N")
        seen += _read_to_end(ours)
        assert process.wait(DEADLINE_S) == 0, seen.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert re.search(rb"approved \w{8} agent-7: delete pods/shop -n prod", seen), seen.decode()
    assert b'denied by oncall: "not now"' in seen
    assert list(tmp_path.iterdir()) == []


def test_json_and_serving_on_do_not_go_together() -> None:
    done = demo("--json", "--stay", environment={})
    assert done.returncode == 2
    assert "--json is about the tour" in done.stderr


def _read_until(terminal: int, mark: bytes) -> bytes:
    seen, ends_s = b"", time.monotonic() + DEADLINE_S
    while mark not in seen:
        assert time.monotonic() < ends_s, seen
        seen += _read(terminal)
    return seen


def _read_to_end(terminal: int) -> bytes:
    seen = b""
    while data := _read(terminal):
        seen += data
    return seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: the other end is closed
        return b""
