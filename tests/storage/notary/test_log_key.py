from pathlib import Path

import pytest

from storage.errors import BadKeyFile, LogFailed
from storage.files import REAL_FILES
from storage.notary.log_key import open_signer, read_vkeys, write_vkey
from storage.tlog.tree_reader import VKEY
from tests.kit.faulty_files import FailingFiles

ORIGIN = "kubetape/gw-1/0"


def test_the_first_start_makes_a_key_and_the_next_finds_it(tmp_path: Path) -> None:
    made = open_signer(tmp_path, ORIGIN)
    assert made.verifier.name == ORIGIN
    assert open_signer(tmp_path, ORIGIN).verifier == made.verifier
    assert (tmp_path / "keys" / "log.key").stat().st_mode & 0o777 == 0o600
    assert read_vkeys(tmp_path / "keys" / "log.vkey") == [made.verifier]
    assert "PRIVATE" not in (tmp_path / "keys" / "log.vkey").read_text()


def test_each_log_has_a_key_of_its_own(tmp_path: Path) -> None:
    first = open_signer(tmp_path, ORIGIN)
    second = open_signer(tmp_path, "kubetape/gw-1/1")
    assert first.verifier.public != second.verifier.public
    assert open_signer(tmp_path, ORIGIN).verifier == first.verifier
    assert read_vkeys(tmp_path / "keys" / "log.vkey") == [first.verifier, second.verifier]


def test_a_lost_key_is_not_replaced_silently(tmp_path: Path) -> None:
    open_signer(tmp_path, ORIGIN)
    (tmp_path / "keys" / "log.key").unlink()
    with pytest.raises(BadKeyFile, match="restore it"):
        open_signer(tmp_path, ORIGIN)


def test_a_lost_public_key_is_written_again(tmp_path: Path) -> None:
    made = open_signer(tmp_path, ORIGIN)
    (tmp_path / "keys" / "log.vkey").unlink()
    open_signer(tmp_path, ORIGIN)
    assert read_vkeys(tmp_path / "keys" / "log.vkey") == [made.verifier]


def test_a_garbled_key_file_is_named_with_its_line_and_shows_no_secret(tmp_path: Path) -> None:
    open_signer(tmp_path, ORIGIN)
    path = tmp_path / "keys" / "log.key"
    secret = path.read_text()
    path.write_text("# ours\n\n" + secret.replace("PRIVATE", "private"))
    with pytest.raises(BadKeyFile, match="line 1") as caught:
        open_signer(tmp_path, ORIGIN)
    assert secret.split("+")[-1].strip() not in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadKeyFile, match="not a text file"):
        open_signer(tmp_path, ORIGIN)
    (tmp_path / "keys" / "log.vkey").write_text("garbage\n")
    with pytest.raises(BadKeyFile, match="key 1"):
        read_vkeys(tmp_path / "keys" / "log.vkey")


def test_comments_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    made = open_signer(tmp_path, ORIGIN)
    path = tmp_path / "some.vkey"
    path.write_text(f"# the log of gw-1\n\n  {made.verifier.vkey}  \n")
    assert read_vkeys(path) == [made.verifier]
    assert read_vkeys(tmp_path / "none") == []


def test_a_crash_at_any_call_leaves_a_key_that_opens_or_none(tmp_path: Path) -> None:
    calls = FailingFiles()
    open_signer(tmp_path / "whole", ORIGIN, files=calls)
    for fail_at in range(1, len(calls.calls) + 1):
        data_dir = tmp_path / str(fail_at)
        with pytest.raises(LogFailed, match="log key"):
            open_signer(data_dir, ORIGIN, files=FailingFiles(fail_at))
        again = open_signer(data_dir, ORIGIN)
        assert open_signer(data_dir, ORIGIN, files=REAL_FILES).verifier == again.verifier


def test_the_public_key_lies_beside_the_tree_and_a_replaced_one_stays(tmp_path: Path) -> None:
    first = open_signer(tmp_path, ORIGIN).verifier
    second = open_signer(tmp_path, "kubetape/gw-1/1").verifier
    directory = tmp_path / "tlog"
    for key in (first, first, second):
        write_vkey(REAL_FILES, directory, key)
    assert read_vkeys(directory / VKEY) == [first, second]
    with pytest.raises(LogFailed, match="write"):
        write_vkey(FailingFiles(1, only="create"), tmp_path / "other", first)
