"""`kubetape keys` and reading an encrypted log, as a user runs them."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gateway.cli.keys.retire
from gateway.cli import kubetape
from gateway.cli.keys import keys
from storage.encryption.envelopes import list_segment_keys
from storage.encryption.hpke_key import HpkeRecipient, generate_recipient
from storage.encryption.keys import KeyRing
from storage.encryption.local_key import LocalKey, default_path, ensure_local_key, read_local_keys
from storage.encryption.shredding import ShredRefused
from storage.errors import BadKeyFile, NoKey, StorageError
from storage.files import REAL_FILES
from storage.index import Indexer
from storage.index_rows import IndexSettings
from storage.reader import iter_records
from storage.retention.holds import Everything, Hold
from storage.retention.holds_file import add_hold
from storage.sources import SegmentLogs
from tests.kit.recorded import AGENT, ANN, SESSIONS, START_NS, Tape, whole_story, write_log
from tests.kit.running import Ran, run_cli
from tests.kit.sealing import write_encrypted_log


def run(data_dir: Path, *arguments: str, answer: str = "") -> Result:
    result = CliRunner().invoke(keys, [*arguments, "--data-dir", str(data_dir)], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit | StorageError):
        raise result.exception
    return result


def said(result: Result) -> str:
    return result.output + (str(result.exception) if result.exception else "")


def command(*arguments: str, **changes: str) -> Ran:
    """`kubetape ARGUMENTS` in this process: the same as a process of its own, a second faster."""
    result = CliRunner().invoke(kubetape, arguments, env=changes)
    error = result.exception
    if error is not None and not isinstance(error, SystemExit | StorageError):
        raise error
    said_last = f"error: {error}\n" if isinstance(error, StorageError) else ""
    return Ran(result.exit_code, result.stdout, result.stderr + said_last)


def sessions(directory: Path, *arguments: str, **changes: str) -> Ran:
    return command("sessions", *arguments, "--data-dir", str(directory), **changes)


def story(data_dir: Path, *wrappers: LocalKey | HpkeRecipient) -> None:
    """Two segments: the agent is denied and Ann is in a pod; Ann reads."""
    for number, scenes in enumerate((("denied", "exec"), ("get_pods",))):
        tape = Tape(start_ns=START_NS + number * 86_400 * 10**9, tag=str(number))
        tape.started()
        for scene in scenes:
            getattr(tape, scene)(run=f"{scene}-{number}")
        tape.stopped()
        write_encrypted_log(data_dir, tape, *wrappers)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    story(tmp_path, ensure_local_key(default_path(tmp_path)))
    return tmp_path


def records(data_dir: Path, ring: KeyRing) -> int:
    return len(list(iter_records(data_dir / "log" / "0", keys=ring)))


def rows(result: Result) -> list[list[str]]:
    return [line.split("\t") for line in result.output.splitlines()]


# --- ls -------------------------------------------------------------------------------------------


def test_ls_shows_each_key_with_its_segments_and_whether_it_opens(local: Path) -> None:
    (kek,) = read_local_keys(default_path(local))
    assert rows(run(local, "ls")) == [
        ["KEY", "SEGMENTS", "OPENS", "USE"],
        [kek.kek_id, "2", "yes", "current"],
    ]
    default_path(local).unlink()
    assert rows(run(local, "ls"))[1] == [kek.kek_id, "2", "no", "-"]
    assert rows(run(local, "ls", "--no-check"))[1] == [kek.kek_id, "2", "-", "-"]


def test_ls_tells_missing_damaged_destroyed_and_clear_apart(local: Path) -> None:
    write_log(local, Tape(), "1")
    first, second, _ = list_segment_keys(REAL_FILES, local)
    first.envelope_path.write_bytes(b"{")
    second.envelope_path.unlink()
    result = run(local, "ls", "-o", "json")
    found = json.loads(result.output[: result.output.index("]\n") + 1])
    assert [(row["key"], row["segments"]) for row in found[:3]] == [
        ("(envelope damaged)", 1),
        ("(envelope missing)", 1),
        ("(not encrypted)", 1),
    ]
    assert found[0]["newest"] == first.name.stem
    assert "not a key envelope" in result.stderr
    assert f"{second.name.stem}.keys is missing" in result.stderr


def test_ls_tries_each_key_of_an_envelope_by_itself(tmp_path: Path) -> None:
    line = generate_recipient(tmp_path / "audit.pem")
    story(tmp_path, ensure_local_key(default_path(tmp_path)), HpkeRecipient(line))
    assert [row[2] for row in rows(run(tmp_path, "ls"))[1:]] == ["yes", "no"]
    assert [row[2] for row in rows(run(tmp_path, "ls", "--key", str(tmp_path / "audit.pem")))[1:]] == [
        "yes"
    ] * 2


def test_ls_says_what_is_wrong_with_a_wrap_that_does_not_open(local: Path) -> None:
    path = default_path(local)
    kek_id = read_local_keys(path)[0].kek_id
    path.write_text(re.sub(r"\S+$", "A" * 43 + "=", path.read_text().strip()) + "\n")
    (row,) = rows(run(local, "ls"))[1:]
    assert (row[0], row[2].startswith("no: segment ")) == (kek_id, True)


def test_a_directory_without_a_log_is_named(tmp_path: Path) -> None:
    for verb in ("ls", "rotate", "rewrap"):
        assert "holds no log/ directory" in said(run(tmp_path, verb))


# --- new-recipient, rotate, rewrap, retire --------------------------------------------------------


def test_a_new_recipient_is_one_line_for_the_configuration(tmp_path: Path) -> None:
    for option, kind in (([], "x25519:"), (["--hybrid"], "mlkem768x25519:")):
        path = tmp_path / f"key{len(option)}"
        result = CliRunner().invoke(keys, ["new-recipient", str(path), *option])
        (line,) = result.stdout.splitlines()
        assert line.startswith(kind)
        assert HpkeRecipient(line).kek_id
        again = CliRunner().invoke(keys, ["new-recipient", str(path)])
        assert isinstance(again.exception, BadKeyFile)


def test_a_rotation_from_beginning_to_end(local: Path) -> None:
    path = default_path(local)
    (old,) = read_local_keys(path)
    assert run(local, "rotate").exit_code == 0
    new = read_local_keys(path)[0]
    tape = Tape(tag="later")
    tape.get_pods()
    write_encrypted_log(local, tape, LocalKey(path))
    assert [row[:2] for row in rows(run(local, "ls"))[1:]] == [[old.kek_id, "2"], [new.kek_id, "1"]]
    assert f"2 segments are encrypted for {old.kek_id}" in said(run(local, "retire", old.kek_id, "--yes"))
    result = run(local, "rewrap")
    assert (result.exit_code, result.stdout) == (0, "2 envelopes renewed\n")
    assert f"{old.kek_id} is no longer used here: kubetape keys retire {old.kek_id}" in result.stderr
    assert run(local, "rewrap").stdout == "0 envelopes renewed\n"
    assert f"{old.kek_id} is removed" in said(run(local, "retire", old.kek_id, answer="y\n"))
    assert read_local_keys(path) == (new,)
    assert records(local, KeyRing([LocalKey(path)])) > 30


def test_a_key_is_not_retired_without_a_yes_nor_while_it_may_be_needed(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = read_local_keys(default_path(local))
    run(local, "rotate")
    run(local, "rewrap")
    assert run(local, "retire", old.kek_id, answer="n\n").exit_code == 1
    running = write_encrypted_log(local, Tape(), LocalKey(default_path(local)), running=True)
    try:
        assert "the running gateway may hold data keys wrapped with" in said(
            run(local, "retire", old.kek_id, "--yes")
        )
        monkeypatch.setattr(gateway.cli.keys.retire, "MAX_AGE_S", 0.0)
        (segment, *_) = list_segment_keys(REAL_FILES, local)
        kept = segment.envelope_path.read_bytes()
        segment.envelope_path.unlink()
        assert f"1 segments may need it, the first is {segment.name.stem}" in said(
            run(local, "retire", old.kek_id, "--yes")
        )
        segment.envelope_path.write_bytes(kept)
        assert run(local, "retire", old.kek_id, "--yes").exit_code == 0
    finally:
        running.close(20)


def test_a_log_moves_from_the_local_key_to_a_recipient(local: Path, tmp_path: Path) -> None:
    pem = tmp_path / "audit.pem"
    line = generate_recipient(pem)
    assert run(local, "rewrap", "--to", line).stdout == "2 envelopes renewed\n"
    assert [row[2] for row in rows(run(local, "ls", "--key", str(pem)))[1:]] == ["yes", "yes"]
    assert run(local, "rewrap", "--to", line, "--only").stdout == "2 envelopes renewed\n"
    assert next(row[0] for row in rows(run(local, "ls"))[1:]) == line
    default_path(local).unlink()
    result = run(local, "rewrap", "--to", generate_recipient(tmp_path / "two.pem"))
    assert result.exit_code == 1
    assert "no key at hand opens it" in said(result)
    assert "2 segments keep the envelopes they had" in said(result)
    result = run(local, "rewrap", "--to", generate_recipient(tmp_path / "three.pem"), "--key", str(pem))
    assert result.stdout == "2 envelopes renewed\n"
    with pytest.raises(NoKey):
        records(local, KeyRing([]))


def test_a_rewrap_without_a_local_key_says_what_is_missing(local: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.key"
    default_path(local).rename(moved)
    for verb in ("rewrap", "rotate"):
        assert "name it with --local-key FILE" in said(run(local, verb))
    assert run(local, "rotate", "--local-key", str(moved)).exit_code == 0
    assert run(local, "rewrap", "--local-key", str(moved)).stdout == "2 envelopes renewed\n"


def test_two_runs_at_once_are_kept_apart(local: Path) -> None:
    from storage.encryption.local_key import key_lock

    with key_lock(local):
        for verb in (["rewrap"], ["rotate"], ["retire", "x"], ["shred", "--session", "x"]):
            assert "another process works on the keys" in said(run(local, *verb))


def test_root_leaves_envelopes_that_the_gateway_can_read(local: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in (local / "log" / "0", local / "keys"):
        os.chown(path, 12345, 12345)
    run(local, "rotate")
    run(local, "rewrap")
    changed = [*local.glob("log/0/*.keys"), default_path(local)]
    assert {path.stat().st_uid for path in changed} == {12345}
    assert {path.stat().st_mode & 0o777 for path in changed} == {0o600}


# --- shred ----------------------------------------------------------------------------------------


def test_a_session_is_destroyed_with_all_that_shares_its_segments(local: Path) -> None:
    session = SESSIONS[AGENT.user]
    (call,) = sessions(local, "ls", "--calls", "--user", AGENT.user, "-o", "name").lines
    result = run(local, "shred", "--session", session[:12], "--reason", "request 4711", answer="y\n")
    assert result.exit_code == 0, said(result)
    assert "2 calls of ann@example.com" in result.output
    assert "2 calls of 1 other sessions are lost with it" in result.output
    assert "destroyed the content of 1 segments" in result.output
    (note,) = local.glob("log/0/*.shredded")
    assert json.loads(note.read_bytes())["reason"] == "request 4711"
    assert next(row[0] for row in rows(run(local, "ls"))[1:]) == "(key destroyed)"
    assert "no session, command or call has an id that begins with" in sessions(local, "get", call).err
    left = sessions(local, "ls", "--calls", "-o", "jsonl")
    assert [json.loads(line)["user"] for line in left.lines] == [ANN.user] * 4
    assert sessions(local, "search", "4111").lines[1:] == []


def test_a_call_inside_says_that_its_key_was_destroyed(local: Path) -> None:
    """By an index that still knows it, of a copy say; others beside it are shown."""
    (exec_call,) = sessions(local, "ls", "--calls", "--kind", "exec", "-o", "name").lines
    indexer = Indexer(local, source=SegmentLogs(local, keys=KeyRing([LocalKey(default_path(local))])))
    while indexer.run_once():
        pass
    first = next(list_segment_keys(REAL_FILES, local))
    first.envelope_path.rename(first.envelope_path.with_suffix(".shredded"))
    try:
        for verb in (["get"], ["get", "-o", "json"]):
            ran = sessions(local, *verb, exec_call)
            assert (ran.code, "its key was destroyed" in ran.out) == (0, True)
        for verb in (["play"], ["export", "--format", "cast"]):
            ran = sessions(local, *verb, exec_call)
            assert (ran.code, "its key was destroyed" in ran.err) == (1, True)
        whole = sessions(local, "get", SESSIONS[ANN.user])
        assert whole.code == 0
        assert whole.out.count("its key was destroyed") == 2
        assert whole.out.count("response:") == 4
    finally:
        indexer.close()


def test_nothing_is_destroyed_without_a_yes(local: Path) -> None:
    result = run(local, "shred", "--session", SESSIONS[AGENT.user], answer="n\n")
    assert result.exit_code == 1
    assert not list(local.glob("log/0/*.shredded"))
    assert "name what to destroy" in said(run(local, "shred"))
    assert "is the id of a command" in said(
        run(local, "shred", "--session", sessions(local, "ls", "-o", "name").lines[0])
    )


def test_a_legal_hold_is_stronger(local: Path) -> None:
    from datetime import UTC, datetime

    add_hold(REAL_FILES, local, Hold("case-7", datetime.now(UTC), "ann", "court", Everything()))
    result = run(local, "shred", "--session", SESSIONS[AGENT.user], "--yes")
    assert isinstance(result.exception, ShredRefused)
    assert "is under legal hold: case-7" in said(result)
    (local / "holds.json").write_bytes(b"{")
    assert "cannot be understood" in said(run(local, "shred", "--session", SESSIONS[AGENT.user], "--yes"))
    assert not list(local.glob("log/0/*.shredded"))


def test_a_segment_is_destroyed_by_name_also_where_nothing_can_be_read(tmp_path: Path) -> None:
    line = generate_recipient(tmp_path / "audit.pem")
    story(tmp_path / "data", HpkeRecipient(line))
    first = next(list_segment_keys(REAL_FILES, tmp_path / "data"))
    result = run(tmp_path / "data", "shred", "--segment", first.name.stem, "--yes")
    assert result.exit_code == 0, said(result)
    assert "whose calls are in them cannot be told here" in result.output
    assert not first.envelope_path.exists()
    assert "there is no segment nonsense" in said(run(tmp_path / "data", "shred", "--segment", "nonsense"))


def test_an_interrupted_run_is_completed_by_the_next(local: Path) -> None:
    first, second = list_segment_keys(REAL_FILES, local)
    first.envelope_path.with_suffix(".shredded").write_bytes(b"{}")
    result = run(local, "shred", "--segment", second.name.stem, "--session", SESSIONS[ANN.user], "--yes")
    assert "completed the destruction of 1 segments" in result.stderr
    assert [one.state for one in list_segment_keys(REAL_FILES, local)] == ["shredded"] * 2


# --- reading with keys ----------------------------------------------------------------------------


def test_an_encrypted_data_directory_with_its_local_key_just_works(local: Path) -> None:
    assert len(sessions(local, "ls", "--no-headers").lines) == 3
    assert sessions(local, "search", "customers", "--no-headers").lines
    (exec_call,) = sessions(local, "ls", "--calls", "--kind", "exec", "-o", "name").lines
    assert "4111 1111 1111 1111" in sessions(local, "export", exec_call).out
    assert "4111 1111 1111 1111" in sessions(local, "play", exec_call).out


def test_an_encrypted_log_leaves_no_clear_text_index_behind_that_nobody_made(local: Path) -> None:
    assert sessions(local, "search", "customers", "--no-headers").lines
    assert not (local / "index").exists()
    made = command("store", "rebuild-index", str(local))
    assert (made.code, made.out.startswith("indexed ")) == (0, True)
    assert sessions(local, "search", "customers", "--no-headers").lines
    assert (local / "index" / "state.sqlite").exists()


def test_a_log_for_a_recipient_names_the_key_wanted_and_opens_with_it(tmp_path: Path) -> None:
    data_dir, pem = tmp_path / "data", tmp_path / "audit.pem"
    line = generate_recipient(pem)
    story(data_dir, HpkeRecipient(line))
    for verb in (["ls"], ["search", "customers"], ["get", "k123456"]):
        ran = sessions(data_dir, *verb)
        assert (ran.code, ran.out) == (1, "")
        assert f"is encrypted for {line}, and no key at hand opens it: give it with --key FILE" in ran.err
    assert len(sessions(data_dir, "ls", "--no-headers", "--key", str(pem)).lines) == 3
    assert len(sessions(data_dir, "ls", "--no-headers", KUBETAPE_KEY=str(pem)).lines) == 3
    other = generate_recipient(tmp_path / "other.pem")
    assert other != line
    assert sessions(data_dir, "ls", "--key", str(tmp_path / "other.pem")).code == 1
    ran = sessions(data_dir, "ls", "--key", str(tmp_path / "none.pem"))
    assert (ran.code, ran.err) == (
        1,
        f"error: cannot read key file {tmp_path}/none.pem: No such file or directory\n",
    )
    assert command("store", "rebuild-index", str(data_dir)).code == 1
    assert command("store", "rebuild-index", str(data_dir), "--key", str(pem)).code == 0


def test_a_part_that_cannot_be_opened_is_said_and_the_rest_is_shown(local: Path) -> None:
    tape = Tape(start_ns=START_NS + 2 * 86_400 * 10**9, tag="2")
    tape.delete()
    write_encrypted_log(local, tape, HpkeRecipient(generate_recipient(local / "audit.pem")))
    ran = sessions(local, "ls", "--no-headers")
    assert (ran.code, len(ran.lines)) == (0, 3)
    assert "warning: a part of the log is not shown: segment" in ran.err
    assert len(sessions(local, "ls", "--no-headers", "--key", str(local / "audit.pem")).lines) == 4


def test_an_index_that_holds_metadata_only_stays_one(local: Path) -> None:
    indexer = Indexer(
        local,
        source=SegmentLogs(local, keys=KeyRing([LocalKey(default_path(local))])),
        settings=IndexSettings(metadata_only=True),
    )
    while indexer.run_once():
        pass
    indexer.close()
    assert len(sessions(local, "ls", "--no-headers").lines) == 3
    ran = sessions(local, "search", "customers")
    assert (ran.code, "this index holds metadata only" in ran.err) == (1, True)
    assert command("store", "rebuild-index", str(local)).code == 0
    assert sessions(local, "search", "customers").code == 1
    copy = local.parent / f"{local.name}-copy"
    shutil.copytree(local / "log", copy / "log")
    assert sessions(copy, "search", "customers", "--no-headers", "--key", str(default_path(local))).lines


def test_where_no_index_is_wanted_none_is_made(local: Path) -> None:
    indexer = Indexer(local)
    assert indexer.take_lock()
    indexer.forbid()
    indexer.close()
    assert sessions(local, "search", "customers", "--no-headers").lines
    assert "keeps no index on this disk" in command("store", "rebuild-index", str(local)).err
    assert [path.name for path in (local / "index").glob("*.sqlite")] == ["state.sqlite"]


def test_a_log_that_is_not_encrypted_is_read_as_ever(tmp_path: Path) -> None:
    write_log(tmp_path, whole_story())
    assert len(sessions(tmp_path, "ls", "--no-headers").lines) == 8
    assert (tmp_path / "index" / "state.sqlite").exists()


def test_the_program_has_these_verbs(local: Path) -> None:
    ran = run_cli("keys", "ls", "--data-dir", str(local), "-o", "name")
    assert (ran.code, ran.lines, ran.err) == (0, [read_local_keys(default_path(local))[0].kek_id], "")
    ran = run_cli("keys", "retire", "local:none", "--yes", "--data-dir", str(local))
    assert (ran.code, ran.err) == (1, f"error: {default_path(local)} has no key local:none\n")
