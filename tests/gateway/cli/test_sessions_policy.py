"""What policy did, as a person and a program read it: processes over a real log."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from storage.records import CommandSeen, HoldEnded, Outcome
from tests.gateway.cli.test_sessions import Following, Gateway
from tests.kit.governed import APPROVED_HOLD, DRY_RUN_ID, EXEC, governed_story, held_delete
from tests.kit.recorded import Tape, write_log
from tests.kit.running import Ran, run_cli


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("governed")
    write_log(directory, governed_story())
    return directory


def sessions(directory: Path, *arguments: str) -> Ran:
    ran = run_cli("sessions", *arguments, "--data-dir", str(directory))
    assert "Traceback" not in ran.err
    return ran


def only_id(directory: Path, *filters: str) -> str:
    (line,) = sessions(directory, "ls", "--calls", *filters, "-o", "name").lines
    return line


def got(directory: Path, *filters: str) -> list[str]:
    return [line.strip() for line in sessions(directory, "get", only_id(directory, *filters)).lines]


def test_ls_has_a_chip_for_what_was_decided(story: Path) -> None:
    rows = [line.split("\t") for line in sessions(story, "ls", "--calls", "--no-headers").lines]
    assert [row[4] for row in rows] == [
        "hold:unknown",
        "allow,hold:denied,masked,budget",
        "hold:denied",
        "hold:approved",
        "allow,masked,grant,shadow",
        "deny",
        *["allow"] * 4,
    ]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--hold", "approved"], 1),
        (["approver:bob"], 2),
        (["masked:yes", "-file:*"], 1),
        (["--decision", "hold"], 3),
    ],
)
def test_flags_and_fields_of_policy_narrow_the_list(story: Path, arguments: list[str], count: int) -> None:
    assert len(sessions(story, "ls", "--calls", "--no-headers", *arguments).lines) == count


def test_get_says_who_approved_and_what_the_gateway_asked(story: Path) -> None:
    lines = got(story, "hold:approved")
    assert "decision hold (enforce) by prod/hold-deletes: deletes in prod need a second person" in lines
    assert 'hold HELDAPPR approved by bob after 20ms: "approved, ticket 4711" (prod/hold-deletes)' in lines
    assert "the gateway asked (dry-run): DELETE /api/v1/namespaces/prod?dryRun=All  200" in lines


def test_get_says_what_was_hidden_and_on_which_grant(story: Path) -> None:
    lines = got(story, "grant:yes")
    assert "3 values hidden by secrets/mask" in lines
    assert "1 value hidden by pii/mail" in lines
    assert "on grant 01KG9ZK7M0GRANT00000000000" in lines
    assert "shadow mode would have stopped it: secrets/strict" in lines


def test_get_says_what_was_typed_copied_and_used_up(story: Path) -> None:
    lines = got(story, "kind:exec")
    assert "typed at 1.0s: ls /srv" in lines
    assert "typed at 2.0s: rm -rf /srv/data  [hold by prod/no-wipe]" in lines
    assert "copied down: /etc/passwd  1.0KiB" in lines
    assert "budget used up: execMinutes 61 of 60, freeze by agents/minutes" in lines


def test_get_for_programs_has_it_all(story: Path) -> None:
    (call,) = json.loads(sessions(story, "get", only_id(story, "hold:approved"), "-o", "json").out)["calls"]
    policy: dict[str, Any] = call["policy"]
    assert policy["holds"][0]["hold"] == APPROVED_HOLD
    assert policy["sub_requests"][0]["audit_id"].replace("-", "") == DRY_RUN_ID.hex()
    assert (call["hold_results"], call["deciders"]) == (["approved"], ["bob"])
    (shell,) = json.loads(sessions(story, "get", only_id(story, "kind:exec"), "-o", "json").out)["calls"]
    assert shell["policy"]["files"][0]["sha256"] == (b"s" * 32).hex()
    assert shell["policy"]["masked"] == {"secrets/mask": 2}
    assert [one["line"] for one in shell["policy"]["typed"]] == ["ls /srv", "rm -rf /srv/data"]


def test_search_shows_the_typed_line_and_the_copied_file(story: Path) -> None:
    (typed,) = sessions(story, "search", 'typed:"rm -rf"', "--no-headers").lines
    assert typed.split("\t")[3:] == ["typed", "2.0s", "rm -rf /srv/data"]
    (file,) = sessions(story, "search", "file:*passwd", "--no-headers").lines
    assert file.split("\t")[3:] == ["file", "5.0s", "down /etc/passwd"]


def test_exports_have_markers_and_every_record(story: Path) -> None:
    shell = only_id(story, "kind:exec")
    cast = [json.loads(line) for line in sessions(story, "export", shell, "--format", "cast").lines[1:]]
    assert next(data for _, code, data in cast if code == "m") == "typed: ls /srv"
    records = [json.loads(line) for line in sessions(story, "export", shell, "--format", "jsonl").lines]
    kinds = {record["type"] for record in records}
    assert {"Masked", "Held", "HoldEnded", "CommandSeen", "FileCopied", "BudgetCrossed"} <= kinds
    held = next(record for record in records if record["type"] == "Held")
    assert held["digest"] == (b"e" * 32).hex()


def test_a_thousand_typed_lines_are_not_a_wall_of_text(tmp_path: Path) -> None:
    tape = Tape()
    exchange = tape.intent(EXEC)
    tape.records += [CommandSeen(exchange, at, f"line {at}\x1b[2J") for at in range(60)]
    tape.records.append(Outcome(exchange, 99, "completed", 101))
    write_log(tmp_path, tape)
    lines = got(tmp_path, "kind:exec")
    assert len([line for line in lines if line.startswith("typed at")]) == 50
    assert "... 10 more typed lines; -o json shows more" in lines
    assert "\x1b" not in "".join(lines)


def test_tail_shows_a_held_call_while_it_waits_and_when_somebody_decides(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    try:
        tape = Tape(start_ns=time.time_ns() + 60_000_000_000)
        tail = Following(tmp_path, "--limit", "2", "--decision", "hold")
        assert tail.first().startswith(b"ID\tTIME")
        exchange = held_delete(tape, APPROVED_HOLD, None)
        gateway.write(*tape.records)
        waits = tail.first().decode().split("\t")
        gateway.write(HoldEnded(exchange, 9000, APPROVED_HOLD, "approved", ("bob",)))
        gateway.write(Outcome(exchange, 9900, "completed", 200))
        decided = tail.finish().lines[-1].split("\t")
    finally:
        gateway.close()
    assert (waits[4], waits[5]) == ("hold:waiting", "live")
    assert decided[4] == "hold:approved"
