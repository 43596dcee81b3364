"""`kubetape holds`: add, list, lift; what is said, what is refused, what the files hold afterwards."""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.holds import holds as group
from gateway.cli.holds import opening
from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.retention.holds import Between, Everything, OfSession, OfUser
from storage.retention.holds_file import CHANGES_FILE, HOLDS_FILE, LOCK_FILE, read_changes, read_holds
from tests.kit.expiring import Story
from tests.kit.recorded import AGENT, ANN, SESSIONS

REASON = ("--reason", "case 17")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path


def holds(data_dir: Path, *arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(group, [*arguments, "--data-dir", str(data_dir)], input=answer)


def test_a_hold_is_in_force_when_its_id_is_printed(data_dir: Path) -> None:
    ran = holds(data_dir, "add", "--session", SESSIONS[ANN.user].ljust(26, "0"), *REASON)
    assert ran.exit_code == 0
    assert re.fullmatch(r"h-[0-9a-f]{8}\n", ran.stdout)
    (hold,) = read_holds(REAL_FILES, data_dir)
    assert (hold.id, hold.reason) == (ran.stdout.strip(), "case 17")
    assert hold.scope == OfSession(SESSIONS[ANN.user].ljust(26, "0"))
    assert hold.by == opening.os_user()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("--user", "ann"), OfUser),
        (("--all",), Everything),
        (("--since", "1d"), Between),
        (("--until", "2026-01-31"), Between),
        (("--since", "2026-01-01", "--until", "2026-01-31"), Between),
    ],
)
def test_what_can_be_held(data_dir: Path, arguments: tuple[str, ...], kind: type) -> None:
    assert holds(data_dir, "add", *arguments, *REASON).exit_code == 0
    assert isinstance(read_holds(REAL_FILES, data_dir)[0].scope, kind)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to hold"),
        (("--all", "--user", "ann"), "say what to hold"),
        (("--session", "01KG"), "the whole id"),
        (("--user", ""), "takes a name"),
        (("--since", "2026-02-01", "--until", "2026-01-31"), "would hold nothing"),
        (("--all", "--reason", " "), "--reason takes one line"),
        (("--all", "--reason", "a\nb"), "--reason takes one line"),
    ],
)
def test_what_would_hold_nothing_or_all_by_mistake_is_refused(
    data_dir: Path, arguments: tuple[str, ...], message: str
) -> None:
    ran = holds(data_dir, "add", *REASON, *arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr
    assert not (data_dir / HOLDS_FILE).exists()


def test_a_time_that_is_none_is_said_to_be(data_dir: Path) -> None:
    ran = holds(data_dir, "add", "--since", "soon", *REASON)
    assert isinstance(ran.exception, StorageError)
    assert "is no time" in str(ran.exception)


def test_a_name_the_index_does_not_know_is_pointed_out(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.index()
    story.indexer.close()
    assert "note" not in holds(tmp_path, "add", "--user", AGENT.user, *REASON).stderr
    assert "knows no call of this user" in holds(tmp_path, "add", "--user", "agent-*", *REASON).stderr
    assert "knows no call of this session" in holds(tmp_path, "add", "--session", "A" * 26, *REASON).stderr
    (day, *_) = (tmp_path / "index").glob("2*.sqlite")
    day.write_bytes(b"garbled")
    assert "the index cannot be asked" in holds(tmp_path, "add", "--user", "zoe", *REASON).stderr
    assert len(read_holds(REAL_FILES, tmp_path)) == 4


def test_holds_are_listed_for_people_and_programs(data_dir: Path) -> None:
    holds(data_dir, "add", "--user", "ann\x1b[31m", *REASON)
    holds(data_dir, "add", "--all", "--reason", "case 18")
    rows = [line.split("\t") for line in holds(data_dir, "ls").stdout.splitlines()]
    assert rows[0] == ["ID", "CREATED", "BY", "HOLDS", "REASON"]
    assert rows[1][3].startswith("user ann")
    assert "\x1b" not in rows[1][3]
    assert rows[2][2:] == [opening.os_user(), "all", "case 18"]
    data = json.loads(holds(data_dir, "ls", "-o", "json").stdout)
    assert [one["scope"]["kind"] for one in data] == ["user", "all"]
    assert holds(data_dir, "ls", "-o", "name").stdout.split() == [one["id"] for one in data]


def test_a_hold_is_lifted_with_a_reason_after_a_question(data_dir: Path) -> None:
    hold_id = holds(data_dir, "add", "--all", *REASON).stdout.strip()
    assert holds(data_dir, "rm", hold_id, "--reason", "closed", answer="n\n").exit_code == 1
    assert holds(data_dir, "rm", hold_id, "--reason", "closed").exit_code == 1  # nobody there to answer
    assert holds(data_dir, "rm", hold_id, "--reason", "", "--yes").exit_code == 2
    assert len(read_holds(REAL_FILES, data_dir)) == 1
    ran = holds(data_dir, "rm", hold_id, "--reason", "closed", answer="y\n")
    assert ran.exit_code == 0
    assert "lifted: " + hold_id in ran.stderr
    assert read_holds(REAL_FILES, data_dir) == ()
    changes, _ = read_changes(REAL_FILES, data_dir, 0)
    assert [(change.what, change.reason) for change in changes] == [("add", "case 17"), ("remove", "closed")]
    ran = holds(data_dir, "rm", hold_id, "--reason", "closed", "--yes")
    assert "there is no hold" in str(ran.exception)


def test_a_hold_is_lifted_without_a_question_by_a_script(data_dir: Path) -> None:
    hold_id = holds(data_dir, "add", "--all", *REASON).stdout.strip()
    ran = holds(data_dir, "rm", hold_id, "--reason", "closed", "--yes")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert "lift " not in ran.stderr
    assert read_holds(REAL_FILES, data_dir) == ()


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    for arguments in (("add", "--all", *REASON), ("ls",), ("rm", "x", *REASON)):
        assert "holds no log/ directory" in holds(tmp_path, *arguments).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_owner_of_the_data_directory(data_dir: Path) -> None:
    os.chown(data_dir, 4711, 4712)
    holds(data_dir, "add", "--all", *REASON)
    for name in (HOLDS_FILE, CHANGES_FILE, LOCK_FILE):
        assert (data_dir / name).stat().st_uid == 4711
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600


def test_who_did_it_is_the_account_not_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert opening.os_user() == "root"
    monkeypatch.setenv("SUDO_UID", "4242424")
    assert opening.os_user() == "root (sudo from uid 4242424)"
    monkeypatch.setattr(os, "getuid", lambda: 4242424)
    assert opening.os_user() == "uid 4242424"
