"""The files of legal holds: strict, durable, and rather too much held than too little."""

import contextlib
import errno
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.retention import holds_file
from storage.retention.holds import Between, Everything, Hold, OfUser
from storage.retention.holds_file import (
    CHANGES_FILE,
    HOLDS_FILE,
    BadHolds,
    HoldsBusy,
    add_hold,
    holding_still,
    read_changes,
    read_holds,
    remove_hold,
)
from tests.kit.faulty_files import FailingFiles

AT = datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)
LATER = datetime(2026, 2, 1, tzinfo=UTC)


def hold(id: str = "h1") -> Hold:
    return Hold(id, AT, "root", "case 17", Between(since=AT))


def remove(data_dir: Path, id: str = "h1") -> Hold:
    return remove_hold(REAL_FILES, data_dir, id, at=LATER, by="ann", reason="closed")


def test_without_a_file_there_are_no_holds(tmp_path: Path) -> None:
    assert read_holds(REAL_FILES, tmp_path) == ()
    assert read_changes(REAL_FILES, tmp_path, 0) == ([], 0)


def test_what_was_added_is_in_force_until_it_is_lifted_and_every_change_is_logged(tmp_path: Path) -> None:
    second = Hold("h2", AT, "root", "case 18", OfUser("ann"))
    add_hold(REAL_FILES, tmp_path, hold())
    add_hold(REAL_FILES, tmp_path, second)
    assert read_holds(REAL_FILES, tmp_path) == (hold(), second)
    assert stat.S_IMODE((tmp_path / HOLDS_FILE).stat().st_mode) == 0o600
    assert remove(tmp_path) == hold()
    assert read_holds(REAL_FILES, tmp_path) == (second,)
    changes, offset = read_changes(REAL_FILES, tmp_path, 0)
    assert [(change.what, change.by, change.reason, change.hold.id) for change in changes] == [
        ("add", "root", "case 17", "h1"),
        ("add", "root", "case 18", "h2"),
        ("remove", "ann", "closed", "h1"),
    ]
    assert read_changes(REAL_FILES, tmp_path, offset) == ([], offset)


def test_an_id_is_taken_once_and_only_what_is_in_force_can_be_lifted(tmp_path: Path) -> None:
    add_hold(REAL_FILES, tmp_path, hold())
    with pytest.raises(BadHolds, match="there is a hold h1 already"):
        add_hold(REAL_FILES, tmp_path, hold())
    with pytest.raises(BadHolds, match=r"there is no hold h9 \(in force: h1\)"):
        remove(tmp_path, "h9")
    remove(tmp_path)
    with pytest.raises(BadHolds, match=r"\(in force: none\)"):
        remove(tmp_path)


def test_their_number_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds_file, "MAX_HOLDS", 1)
    add_hold(REAL_FILES, tmp_path, hold())
    with pytest.raises(BadHolds, match="there are 1 holds"):
        add_hold(REAL_FILES, tmp_path, hold("h2"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be understood"),
        (b"{}", "cannot be understood"),
        (b'{"version": 1, "holds": [], "more": 1}', "unknown field"),
        (b'{"version": 2, "holds": []}', "a newer version of kubetape is needed"),
        (
            b'{"version":1,"holds":[{"id":"h","created_at":"2026-01-31T00:00:00","by":"x","reason":"y",'
            b'"scope":{"kind":"all"}}]}',
            "created_at",
        ),
        (
            b'{"version":1,"holds":[{"id":"h","created_at":"2026-01-31T00:00:00Z","by":"x","reason":"y",'
            b'"scope":{"kind":"planet"}}]}',
            "planet",
        ),
    ],
)
def test_what_cannot_be_understood_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / HOLDS_FILE).write_bytes(content)
    with pytest.raises(BadHolds, match=message):
        read_holds(REAL_FILES, tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds_file, "MAX_FILE_BYTES", 10)
    (tmp_path / HOLDS_FILE).write_bytes(b'{"version": 1, "holds": []}')
    with pytest.raises(BadHolds, match="larger than 10 bytes"):
        read_holds(REAL_FILES, tmp_path)


def test_a_file_that_was_taken_away_is_missed(tmp_path: Path) -> None:
    add_hold(REAL_FILES, tmp_path, hold())
    (tmp_path / HOLDS_FILE).unlink()
    with pytest.raises(BadHolds, match="is missing, but"):
        read_holds(REAL_FILES, tmp_path)
    (tmp_path / HOLDS_FILE).write_text('{"version": 1, "holds": []}')  # as the message says
    assert read_holds(REAL_FILES, tmp_path) == ()


def test_while_somebody_deletes_no_hold_changes(tmp_path: Path) -> None:
    with holding_still(REAL_FILES, tmp_path):
        with pytest.raises(HoldsBusy, match="retention is deleting"):
            add_hold(REAL_FILES, tmp_path, hold(), wait_s=0.1)
    add_hold(REAL_FILES, tmp_path, hold())
    assert len(read_holds(REAL_FILES, tmp_path)) == 1


def test_a_change_waits_for_its_turn(tmp_path: Path) -> None:
    waiter = threading.Thread(target=add_hold, args=(REAL_FILES, tmp_path, hold()))
    with holding_still(REAL_FILES, tmp_path):
        waiter.start()
        assert read_holds(REAL_FILES, tmp_path) == ()
    waiter.join(10)
    assert len(read_holds(REAL_FILES, tmp_path)) == 1


def test_half_a_line_in_the_log_swallows_no_other(tmp_path: Path) -> None:
    add_hold(REAL_FILES, tmp_path, hold())
    _, offset = read_changes(REAL_FILES, tmp_path, 0)
    with (tmp_path / CHANGES_FILE).open("ab") as file:
        file.write(b'{"at": "2026')
    assert read_changes(REAL_FILES, tmp_path, offset) == ([], offset)
    remove(tmp_path)
    changes, _ = read_changes(REAL_FILES, tmp_path, offset)
    assert [change.what for change in changes] == ["remove"]


def test_after_a_failure_at_any_call_everything_that_was_held_is_held(tmp_path: Path) -> None:
    fail_at, failed = 1, True
    while failed:
        data_dir = tmp_path / str(fail_at)
        data_dir.mkdir()
        add_hold(REAL_FILES, data_dir, Hold("h0", AT, "root", "case", Everything()))
        failing = FailingFiles(fail_at, errno.ENOSPC, short=True)
        done = set()
        with contextlib.suppress(OSError, StorageError):
            add_hold(failing, data_dir, hold())
            done.add("add")
            remove_hold(failing, data_dir, "h0", at=LATER, by="ann", reason="closed")
            done.add("remove")
        failed = failing.failed
        held = {one.id for one in read_holds(REAL_FILES, data_dir)}
        assert ("h1" in held) or "add" not in done
        changes, _ = read_changes(REAL_FILES, data_dir, 0)
        if "h0" not in held:
            assert ("remove", "h0") in [(change.what, change.hold.id) for change in changes]
        with contextlib.suppress(BadHolds):
            add_hold(REAL_FILES, data_dir, hold())
        with contextlib.suppress(BadHolds):
            remove(data_dir, "h0")
        assert {one.id for one in read_holds(REAL_FILES, data_dir)} == {"h1"}
        fail_at += 1
    assert fail_at > 15
