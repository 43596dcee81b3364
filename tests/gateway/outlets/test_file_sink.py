"""Files of events: whole lines, synced, rotated, also when the disk fails or a crash came between."""

import errno
import stat
from pathlib import Path

import pytest

from gateway.outlets.delivery import Delivery
from gateway.outlets.file_sink import MAX_PARTS, FileSink
from storage.files import REAL_FILES, FileOps
from tests.kit.faulty_files import FailingFiles


def sink(
    path: Path, *, rotate_bytes: int = 1 << 20, keep_files: int = 2, files: FileOps = REAL_FILES
) -> FileSink:
    return FileSink(path, rotate_bytes=rotate_bytes, keep_files=keep_files, files=files)


def test_events_become_lines_of_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "events.jsonl"
    one = sink(path)
    assert one.deliver([b'{"a":1}', b'{"a":2}']) == Delivery(2)
    assert one.deliver([b'{"a":3}']) == Delivery(1)
    one.close()
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n{"a":3}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_makes_no_file(tmp_path: Path) -> None:
    assert sink(tmp_path / "x").deliver([]) == Delivery(0)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_on_the_disk_when_it_is_taken(tmp_path: Path) -> None:
    files = FailingFiles()
    assert sink(tmp_path / "x", files=files).deliver([b"{}"] * (MAX_PARTS + 1)) == Delivery(MAX_PARTS + 1)
    assert files.calls == ["open_write", "create", *["write"] * 3, "sync_data", "sync_directory"]
    assert (tmp_path / "x").read_bytes() == b"{}\n" * (MAX_PARTS + 1)


def test_a_file_is_rotated_before_it_grows_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x"
    one = sink(path, rotate_bytes=10)
    for number in range(6):
        assert one.deliver([b"line-%d" % number]) == Delivery(1)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "x": b"line-5\n",
        "x.1": b"line-4\n",
        "x.2": b"line-3\n",
    }
    assert one.deliver([b"y" * 50]) == Delivery(1)
    assert path.read_bytes() == b"y" * 50 + b"\n", "one batch is in one file, however large"


def test_a_rotation_cut_half_way_goes_on(tmp_path: Path) -> None:
    (tmp_path / "x.1").write_bytes(b"older\n")
    (tmp_path / "x").write_bytes(b"old\n")
    assert sink(tmp_path / "x", rotate_bytes=5).deliver([b"new"]) == Delivery(1)
    assert [(tmp_path / name).read_bytes() for name in ("x", "x.1", "x.2")] == [
        b"new\n",
        b"old\n",
        b"older\n",
    ]


def test_a_line_cut_by_a_crash_is_ended_before_anything_is_added(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b'{"a":1}\n{"a":')
    assert sink(path).deliver([b'{"a":2}']) == Delivery(1)
    assert path.read_bytes() == b'{"a":1}\n{"a":\n{"a":2}\n'


def test_others_may_move_the_file_away(tmp_path: Path) -> None:
    path = tmp_path / "x"
    one = sink(path)
    one.deliver([b"1"])
    path.rename(tmp_path / "moved")
    one.deliver([b"2"])
    assert ((tmp_path / "moved").read_bytes(), path.read_bytes()) == (b"1\n", b"2\n")


@pytest.mark.parametrize("only", ["open_write", "write", "sync_data"])
def test_what_fails_is_a_problem_undone_and_works_again(tmp_path: Path, only: str) -> None:
    path = tmp_path / "x"
    sink(path).deliver([b"before"])
    files = FailingFiles(1, errno.ENOSPC, short=True, only=only)
    one = sink(path, files=files)
    delivery = one.deliver([b"lost", b"lost too"])
    assert delivery.taken == 0
    assert delivery.problem.startswith(f"{path}: ")
    assert path.read_bytes() == b"before\n"
    assert one.deliver([b"after"]) == Delivery(1)
    assert path.read_bytes() == b"before\nafter\n"


@pytest.mark.parametrize("only", ["create", "remove", "rename", "sync_directory"])
def test_a_rotation_that_fails_loses_no_line(tmp_path: Path, only: str) -> None:
    path = tmp_path / "x"
    plain = sink(path, rotate_bytes=5, keep_files=1)
    plain.deliver([b"first"])
    plain.deliver([b"second"])
    one = sink(path, rotate_bytes=5, keep_files=1, files=FailingFiles(1, only=only))
    assert one.deliver([b"third"]).problem
    assert one.deliver([b"third"]) == Delivery(1)
    kept = b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
    assert kept.count(b"third\n") == 1


def test_a_place_that_is_no_file_is_a_problem(tmp_path: Path) -> None:
    assert sink(tmp_path).deliver([b"{}"]).problem == f"{tmp_path}: Is a directory"
