import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.files import (
    REAL_FILES,
    Headroom,
    Space,
    Watermarks,
    filesystem_of,
    judge_space,
    log_failed,
    parse_mountinfo,
    replace_file,
    write_all,
)
from tests.kit.faulty_files import FailingFiles
from tests.kit.running import ROOT, environment

GIB = 1 << 30
MOUNTS = """\
21 1 252:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 21 0:25 / /data rw - btrfs /dev/vdb rw
31 30 0:26 / /data/my\\040log rw,nosuid master:1 - xfs /dev/vdc rw
32 21 0:27 / /data2 rw - tmpfs none rw
33 30 0:28 / /data rw - zfs pool rw
a line of nonsense
"""


def test_a_directory_is_made_with_its_parents_and_may_exist(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    REAL_FILES.make_directory(directory)
    REAL_FILES.make_directory(directory)
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_second_lock_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    first = REAL_FILES.lock(tmp_path / "LOCK")
    with pytest.raises(BlockingIOError):
        REAL_FILES.lock(tmp_path / "LOCK")
    REAL_FILES.close(first)
    REAL_FILES.close(REAL_FILES.lock(tmp_path / "LOCK"))


def test_bytes_come_back_and_reading_past_the_end_is_short(tmp_path: Path) -> None:
    fd = REAL_FILES.create(tmp_path / "f")
    assert write_all(REAL_FILES, fd, [b"ab", b"cd"], 2) == 4
    REAL_FILES.sync_data(fd)
    REAL_FILES.sync(fd)
    assert REAL_FILES.read(fd, 10, 0) == b"\0\0abcd"
    REAL_FILES.truncate(fd, 3)
    assert REAL_FILES.size(fd) == 3
    REAL_FILES.close(fd)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_a_read_that_comes_in_pieces_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"abcdef")
    fd = REAL_FILES.open_read(tmp_path / "f")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: real(fd, min(length, 2), offset))
    assert REAL_FILES.read(fd, 5, 0) == b"abcde"
    assert REAL_FILES.read(fd, 100, 3) == b"def"
    REAL_FILES.close(fd)


def test_names_can_be_changed_and_removed(tmp_path: Path) -> None:
    REAL_FILES.close(REAL_FILES.create(tmp_path / "a"))
    REAL_FILES.rename(tmp_path / "a", tmp_path / "b")
    REAL_FILES.sync_directory(tmp_path)
    assert REAL_FILES.names(tmp_path) == ["b"]
    REAL_FILES.close(REAL_FILES.open_write(tmp_path / "b"))
    REAL_FILES.remove(tmp_path / "b")
    assert REAL_FILES.names(tmp_path) == []


def test_a_short_write_is_an_error(tmp_path: Path) -> None:
    files = FailingFiles(2, short=True)
    fd = files.create(tmp_path / "f")
    with pytest.raises(OSError, match="short write: 2 of 4 bytes taken at 0"):
        write_all(files, fd, [b"abcd"], 0)
    files.close(fd)


def test_a_full_device_is_an_error() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space") as caught:
            write_all(REAL_FILES, fd, [b"x"], 0)
        failed = log_failed("write", Path("/dev/full"), caught.value)
    finally:
        os.close(fd)
    assert caught.value.errno == errno.ENOSPC
    assert (failed.operation, failed.path, failed.why) == ("write", "/dev/full", "No space left on device")


def test_an_error_without_a_number_keeps_its_text() -> None:
    assert log_failed("write", Path("f"), OSError("short write")).why == "short write"


@pytest.mark.parametrize(
    ("free", "total", "verdict"),
    [
        (50 * GIB, 100 * GIB, Headroom.OK),
        (9 * GIB, 2000 * GIB, Headroom.OK),  # half a percent, and still nine GiB
        (7 * GIB, 100 * GIB, Headroom.LOW),
        (GIB - 1, 100 * GIB, Headroom.CRITICAL),
        (GIB // 4, 10 * GIB, Headroom.CRITICAL),
        (GIB, 2 * GIB, Headroom.OK),  # half of a small disk is enough
        (0, 2 * GIB, Headroom.CRITICAL),
        (0, 0, Headroom.OK),  # a file system that does not count
    ],
)
def test_room_is_judged_by_share_and_by_size(free: int, total: int, verdict: Headroom) -> None:
    assert judge_space(Space(free, total), Watermarks()) == verdict


def test_space_is_that_of_the_file_system(tmp_path: Path) -> None:
    space = REAL_FILES.space(tmp_path)
    assert 0 < space.free_bytes <= space.total_bytes


@pytest.mark.parametrize(
    ("path", "kind", "reserve"),
    [
        ("/var/log", "ext4", True),
        ("/data", "zfs", False),  # mounted over btrfs
        ("/data/x", "zfs", False),
        ("/data/my log/0", "xfs", True),
        ("/data2/x", "tmpfs", True),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str, reserve: bool) -> None:
    found = parse_mountinfo(MOUNTS, path)
    assert (found.kind, found.spares_are_reserve) == (kind, reserve)


def test_the_file_system_of_a_real_directory_has_a_type(tmp_path: Path) -> None:
    assert filesystem_of(tmp_path).kind
    assert filesystem_of(tmp_path, tmp_path / "missing").kind == ""


@pytest.mark.parametrize("fail_at", range(1, 5))
def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, fail_at: int) -> None:
    path = tmp_path / "state"
    replace_file(REAL_FILES, path, b"old")
    files = FailingFiles(fail_at)
    with pytest.raises(OSError, match="injected"):
        replace_file(files, path, b"new")
    assert path.read_bytes() == b"old"


def test_the_name_of_a_replaced_file_is_synced_unless_the_caller_does_it(tmp_path: Path) -> None:
    files = FailingFiles()
    replace_file(files, tmp_path / "a", b"x")
    replace_file(files, tmp_path / "b", b"y", sync_name=False)
    assert files.calls == [
        "create",
        "write",
        "sync",
        "rename",
        "sync_directory",
        "create",
        "write",
        "sync",
        "rename",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


LOOKING = """
import sys
from pathlib import Path
from storage.sources import is_locked
print("looking", flush=True)
while True:
    is_locked(Path(sys.argv[1]))
"""


def test_who_looks_whether_a_lock_is_held_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "LOCK"
    REAL_FILES.close(REAL_FILES.lock(path))
    command = [sys.executable, "-c", LOOKING, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment()) as looking:
        assert looking.stdout is not None
        assert looking.stdout.readline() == b"looking\n"
        try:
            for _ in range(3000):
                REAL_FILES.close(REAL_FILES.lock(path))
            assert looking.poll() is None
        finally:
            looking.kill()


def test_a_lock_that_somebody_keeps_is_held_shared_or_not(tmp_path: Path) -> None:
    path = tmp_path / "LOCK"
    kept = REAL_FILES.lock(path)
    with pytest.raises(BlockingIOError):
        REAL_FILES.lock(path)
    fcntl.flock(kept, fcntl.LOCK_SH)
    with pytest.raises(BlockingIOError):
        REAL_FILES.lock(path)
    REAL_FILES.close(kept)
    REAL_FILES.close(REAL_FILES.lock(path))
