"""`kubetape policy replay`: a policy over a real log; what flips, what cannot be told, what was never judged."""

import json
from pathlib import Path

import msgspec
import pytest

from storage.records import CallRecord, Intent, Outcome, RequestBody, VerdictRecord
from tests.kit.policies import HEAD
from tests.kit.recorded import AGENT, Tape, whole_story, write_log
from tests.kit.running import Ran, run_cli

ALLOW = HEAD + "rules:\n- {name: all, action: allow}\n"


def replay(tmp_path: Path, text: str, *arguments: str) -> Ran:
    (tmp_path / "p.yaml").write_text(text)
    ran = run_cli(
        "policy",
        "replay",
        "--policy",
        str(tmp_path / "p.yaml"),
        "--data-dir",
        str(tmp_path / "data"),
        *arguments,
    )
    assert "Traceback" not in ran.err
    return ran


@pytest.fixture
def story(tmp_path: Path) -> Path:
    write_log(tmp_path / "data", whole_story())
    return tmp_path


def of_tape(tmp_path: Path, tape: Tape) -> Path:
    write_log(tmp_path / "data", tape)
    return tmp_path


def edited(tape: Tape, **changes: object) -> None:
    """The last Intent, changed."""
    at = max(at for at, record in enumerate(tape.records) if isinstance(record, Intent))
    tape.records[at] = msgspec.structs.replace(tape.records[at], **changes)


def summary(ran: Ran) -> dict[str, object]:
    found: dict[str, object] = json.loads(ran.lines[-1])
    return found


def test_what_flips_is_listed_with_who_when_and_by_which_rule(story: Path) -> None:
    ran = replay(
        story, ALLOW + "- {name: no-deletes, match: {verbs: [delete], resources: [pods]}, action: deny}\n"
    )
    assert ran.code == 0
    rows = [line.split("\t") for line in ran.lines]
    assert rows[0] == ["CALL", "TIME", "USER", "REQUEST", "OLD", "NEW"]
    assert [row[2:] for row in rows[1:3]] == [
        ["ann@example.com", "DELETE /api/v1/namespaces/prod/pods/web-1", "allow", "deny (p/no-deletes)"],
        ["agent-7", "DELETE /api/v1/namespaces/prod", "deny (no-delete-for-agents)", "allow (p/all)"],
    ]
    assert ran.lines[4:] == [
        "1 allow -> deny by p/no-deletes",
        "1 deny -> allow by p/all",
        "13 calls: 2 flip, 11 do not, 0 cannot be told",
    ]


def test_it_can_fail_a_pipeline(story: Path) -> None:
    assert replay(story, ALLOW, "--fail-on-change").code == 1
    assert replay(story, ALLOW, "--fail-on-change", "user:ann*").code == 0


def test_two_policies_are_compared(story: Path) -> None:
    other = story / "other.yaml"
    other.write_text(HEAD + "default: allow\n")
    ran = replay(story, ALLOW, "--against", str(other), "--fail-on-change")
    assert (ran.code, ran.lines[-1]) == (0, "13 calls: 0 flip, 13 do not, 0 cannot be told")


def test_the_body_that_was_recorded_is_looked_at(story: Path) -> None:
    rule = "- {name: big, match: {verbs: [patch]}, when: object.spec.replicas > 2, action: deny}\n"
    ran = replay(story, ALLOW + rule, "--verb", "patch", "-o", "jsonl")
    flip = json.loads(ran.lines[0])
    assert (flip["type"], flip["new"]) == (
        "flip",
        {"action": "deny", "by": "p/big", "rules": ["p/big", "p/all"]},
    )


def test_what_cannot_be_told_is_listed_apart(story: Path) -> None:
    rules = (
        "- {name: mfa, match: {verbs: [delete], claims: {mfa: [no]}}, action: deny}\n".replace(
            "[no]", "['0']"
        )
        + "- {name: big, match: {verbs: [patch]}, when: oldObject.spec.replicas > 2, action: deny}\n"
    )
    ran = replay(story, ALLOW + rules)
    assert ran.lines[0] == "4 cannot be told:"
    assert ran.lines[2].endswith("\tp/big needs the object as it was in the cluster")
    assert ran.lines[-3:] == [
        "3 need the claims of the token for p/mfa",
        "1 need the object as it was in the cluster for p/big",
        "13 calls: 0 flip, 9 do not, 4 cannot be told",
    ]
    as_json = json.loads(replay(story, ALLOW + rules, "-o", "json", "--limit", "1").out)
    assert as_json["summary"]["untold"] == 4
    assert as_json["untold"][0]["doubts"] == [
        {"rule": "p/big", "missing": "the object as it was in the cluster"}
    ]


def test_only_some_are_shown_and_all_are_counted(story: Path) -> None:
    ran = replay(story, HEAD + "rules: []\n", "--limit", "2")
    assert ran.lines[3] == "... and 10 more; --limit shows them"
    assert ran.lines[-1] == "13 calls: 12 flip, 1 do not, 0 cannot be told"


def test_what_no_policy_was_asked_about_is_not_replayed(tmp_path: Path) -> None:
    tape = Tape()
    tape.get_pods()
    edited(tape, principal=None)
    tape.delete()
    edited(tape, verdict=VerdictRecord("deny", "enforce"))
    tape.apply()
    tape.records[-1] = msgspec.structs.replace(tape.records[-1], result="refused")
    tape.delete(name="other")
    edited(tape, target=b"/api/v1/namespaces/prod/pods/(masked)")
    ran = replay(of_tape(tmp_path, tape), ALLOW, "-o", "jsonl")
    assert summary(ran)["notReplayed"] == {
        "refused before any policy was asked": 3,
        "its target was masked, so the call cannot be read again": 1,
    }


def test_grants_of_then_are_held_again(tmp_path: Path) -> None:
    grants = (
        "grants:\n- {name: g, approvers: {users: [b]}, maxDuration: 1h, rules: ["
        "{name: d, match: {verbs: [delete]}, action: allow}]}\n"
    )
    tape = Tape()
    tape.delete()
    edited(tape, verdict=VerdictRecord("allow", "enforce", ("p/g/d",), "p" * 64, grants=("g-1",)))
    tape.delete(name="other", run="2")
    edited(tape, verdict=VerdictRecord("allow", "observe"))
    tape.delete(name="third", run="3")
    ran = replay(of_tape(tmp_path, tape), HEAD + grants, "-o", "jsonl")
    flip, untold, found = (json.loads(line) for line in ran.lines)
    assert (flip["request"], flip["new"]["action"]) == ("DELETE /api/v1/namespaces/prod/pods/other", "deny")
    assert untold["doubts"] == [{"rule": "p/g/d", "missing": "to know whether a grant was held"}]
    assert found["same"] == 1


def test_the_target_of_the_cluster_counts_unless_it_has_a_path_of_its_own(tmp_path: Path) -> None:
    tape = Tape()
    tape.delete()
    edited(tape, target=b"/x", upstream_target=b"/api/v1/namespaces/prod/pods/web-1")
    tape.delete(run="2")
    edited(tape, upstream_target=b"/k8s/clusters/c/api/v1/namespaces/prod/pods/web-1")
    ran = replay(of_tape(tmp_path, tape), ALLOW, "-o", "jsonl")
    assert summary(ran)["same"] == 2


@pytest.mark.parametrize(
    ("body", "changes"),
    [(b"", {}), (b"{", {}), (b"x", {"headers": ((b"content-type", b"text/plain"),)})],
)
def test_a_body_that_is_not_there_or_not_readable_is_in_doubt(
    tmp_path: Path, body: bytes, changes: dict[str, object]
) -> None:
    tape = Tape()
    exchange = tape.intent(
        CallRecord("create", "", "v1", "pods", "", "a", path="/api/v1/namespaces/a/pods"),
        method="POST",
        who=AGENT,
    )
    edited(tape, **changes)
    if body:
        tape.records.append(RequestBody(exchange, 0, body))
    tape.records.append(Outcome(exchange, 9, "completed", 201))
    rule = "- {name: d, match: {verbs: [create]}, when: object.spec.hostPID == true, action: deny}\n"
    ran = replay(of_tape(tmp_path, tape), ALLOW + rule, "-o", "jsonl")
    assert json.loads(ran.lines[0])["doubts"] == [{"rule": "p/d", "missing": "what was sent"}]


def test_every_page_of_a_long_record_is_read_once(tmp_path: Path) -> None:
    tape = Tape()
    for _ in range(1100):
        tape.intent(CallRecord("get", path="/version"))
    ran = replay(of_tape(tmp_path, tape), ALLOW, "-o", "jsonl")
    assert summary(ran)["calls"] == 1100
