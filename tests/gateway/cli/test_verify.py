"""`kubetape verify` as a person runs it: what it prints and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.verify import verify
from storage.tlog.note import generate_signer
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments
from tests.kit.recorded import Tape, write_log
from tests.kit.segments import flip


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return three_segments(tmp_path / "data")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(verify, [str(argument) for argument in arguments])


def vkey_file(log: NotarisedLog) -> Path:
    return log.data_dir / "keys" / "log.vkey"


def test_an_untouched_log(log: NotarisedLog) -> None:
    result = run(log.data_dir, "--vkey", vkey_file(log))
    assert result.exit_code == 0
    log_line, verdict = result.output.splitlines()
    assert log_line == (f"log 0 ({ORIGIN}): 3 segments, 8 frames, 13 records, 10 leaves under 2 checkpoints")
    assert verdict.startswith("untouched: ")


def test_without_a_key_it_says_what_that_is_worth(log: NotarisedLog) -> None:
    result = run(log.data_dir)
    assert result.exit_code == 0
    assert "note, trust: no key was given" in result.output


def test_damage_is_named_and_has_its_exit_code(log: NotarisedLog) -> None:
    path = next(log.directory.glob("*-00000001-*"))
    flip(path, 4150)
    result = run(log.data_dir, "--vkey", log.signer.verifier.vkey)
    assert result.exit_code == 10
    assert f"CORRUPT: 0/{path.stem} at byte 4096, record 1: the frame fails its CRC" in result.output
    assert "NOT untouched (exit code 10)" in result.output


def test_json_says_the_same_to_programs(log: NotarisedLog) -> None:
    path = next(log.directory.glob("*-00000001-*"))
    flip(path, 4150)
    result = run(log.data_dir, "--vkey", vkey_file(log), "-o", "json")
    data = json.loads(result.output)
    assert result.exit_code == data["exit_code"] == 10
    (finding,) = data["findings"]
    assert (finding["kind"], finding["segment"], finding["offset"], finding["record"]) == (
        "corrupt",
        path.stem,
        4096,
        1,
    )
    assert data["logs"][0]["size"] == 10


def test_many_findings_are_cut_on_a_screen(log: NotarisedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.verify.MAX_SHOWN", 1)
    for path in log.directory.glob("*.kseg"):
        path.unlink()
    result = run(log.data_dir, "--vkey", vkey_file(log))
    assert result.exit_code == 11
    assert "... and 1 more (-o json shows all)" in result.output


def test_a_checkpoint_and_a_policy_held_elsewhere(log: NotarisedLog, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes((log.directory / "tlog" / "checkpoint").read_bytes())
    policy = tmp_path / "policy.txt"
    policy.write_text(f"log {log.signer.verifier.vkey}\nquorum none\n")
    assert run(log.data_dir, "--policy", policy, "--checkpoint", kept, "--since", "1d").exit_code == 0
    other = NotarisedLog(tmp_path / "other")
    other.sealed(1)
    (other.data_dir / "keys" / "log.key").write_text((log.data_dir / "keys" / "log.key").read_text())
    other.signer = log.signer
    other.notarise()
    assert run(other.data_dir, "--policy", policy, "--checkpoint", kept).exit_code == 12


def test_wrong_usage_is_said(log: NotarisedLog, tmp_path: Path) -> None:
    empty = tmp_path / "empty.vkey"
    empty.write_text("# nothing\n")
    large = tmp_path / "large"
    large.write_bytes(b"x" * ((1 << 20) + 1))
    for arguments, why in (
        (["/no/such/place"], "is no directory"),
        ([log.data_dir, "--vkey", "nonsense"], "neither a file nor a key"),
        ([log.data_dir, "--vkey", empty], "holds no key"),
        ([log.data_dir, "-o", "table"], "write text or json"),
        ([log.data_dir, "--checkpoint", large], "larger than"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert why in result.output


def test_the_help_lists_the_exit_codes() -> None:
    text = run("--help").output
    for code in ("10  corrupt", "11  missing", "12  rollback", "13  rewrite", "14  forged", "15  cannot"):
        assert code in text


# --- proofs -----------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[NotarisedLog, str]:
    """A log with calls in it, under a checkpoint; and the id of one of them."""
    tape = Tape()
    tape.started()
    call = tape.get_pods()
    tape.delete()
    tape.stopped()
    write_log(tmp_path / "recorded", tape)
    log = NotarisedLog(tmp_path / "recorded")
    log.notarise()
    return log, call.hex()


def test_a_call_is_proven_by_one_file(recorded: tuple[NotarisedLog, str], tmp_path: Path) -> None:
    log, call = recorded
    to = tmp_path / "call.proof"
    made = run(log.data_dir, "--prove", call, "-o", to)
    assert made.exit_code == 0, made.output
    result = run("--proof", to, "--vkey", vkey_file(log))
    assert result.exit_code == 0, result.output
    assert f"frames of call {call[:8]}" in result.output
    assert f"are in the log {ORIGIN}" in result.output
    printed = run(log.data_dir, "--exchange", call)
    assert json.loads(printed.stdout)["kind"] == "call"
    policy = tmp_path / "policy.txt"
    policy.write_text(f"log {log.signer.verifier.vkey}\nquorum none\n")
    assert run("--proof", to, "--policy", policy).exit_code == 0


def test_a_proof_that_does_not_hold_has_its_exit_code(
    recorded: tuple[NotarisedLog, str], tmp_path: Path
) -> None:
    log, call = recorded
    to = tmp_path / "call.proof"
    run(log.data_dir, "--prove", call, "-o", to)
    stranger = generate_signer(ORIGIN)[1]
    assert run("--proof", to, "--vkey", stranger).exit_code == 14
    assert run("--proof", to, "--vkey", generate_signer("other")[1]).exit_code == 14
    assert run("--proof", to).exit_code == 2
    data = json.loads(to.read_text())
    data["blocks"][0]["records"] = [999]
    to.write_text(json.dumps(data))
    assert run("--proof", to, "--vkey", vkey_file(log)).exit_code == 10
