import errno
import threading
from pathlib import Path

import pytest

from storage.attendant import Attendant
from storage.errors import LogFailed
from storage.files import REAL_FILES, FileOps
from storage.pace import LogSettings
from storage.reader import read_segment
from tests.kit.faulty_files import FailingFiles
from tests.kit.segments import begin, header, write_blocks

PATIENCE_S = 20.0
SIZE = 64 << 10


class Watched:
    """An attendant whose spares and troubles can be waited for."""

    def __init__(
        self, directory: Path, files: FileOps = REAL_FILES, spares: int = 2, size: int = SIZE
    ) -> None:
        self.troubles: list[LogFailed] = []
        self.troubled = threading.Event()
        settings = LogSettings(segment_bytes=size, spares=spares)
        self.attendant = Attendant(files, directory, settings, self._note)

    def _note(self, failure: LogFailed) -> None:
        self.troubles.append(failure)
        self.troubled.set()


def spares_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spare"))


def wait_for_spares(directory: Path, count: int) -> None:
    """Polls: a spare announces itself by its name alone."""
    tick = threading.Event()
    for _ in range(2000):
        if len(spares_in(directory)) == count:
            return
        tick.wait(0.01)
    raise AssertionError("no spares")


def test_spares_are_made_of_zeros_and_replaced_when_taken(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.attendant.start()
    wait_for_spares(tmp_path, 2)
    assert all(path.read_bytes() == bytes(SIZE) for path in spares_in(tmp_path))
    watched.attendant.stop()
    taken = watched.attendant.take_spare()
    assert taken in spares_in(tmp_path)
    assert watched.troubles == []


def test_spares_of_an_earlier_run_are_adopted_and_others_removed(tmp_path: Path) -> None:
    (tmp_path / "a.spare").write_bytes(bytes(SIZE))
    (tmp_path / "b.spare").write_bytes(bytes(100))
    (tmp_path / "c.spare").write_bytes(bytes(SIZE))
    (tmp_path / "d.spare").write_bytes(bytes(SIZE))
    watched = Watched(tmp_path, spares=1)
    watched.attendant.start()
    watched.attendant.stop()
    assert len(spares_in(tmp_path)) == 1
    assert watched.attendant.take_spare() is not None
    assert watched.attendant.take_spare() is None


def test_segments_are_sealed_in_order_even_while_stopping(tmp_path: Path) -> None:
    watched = Watched(tmp_path, spares=0)
    watched.attendant.start()
    first = begin(tmp_path)
    written = write_blocks(first, 2)
    second = begin(tmp_path, header(2, first_record_seq=3, prev=first.header.segment_id))
    watched.attendant.seal(first)
    watched.attendant.seal(second)
    watched.attendant.stop()
    sealed = sorted(tmp_path.glob("*.kseg"))
    assert len(sealed) == 2
    assert [one for frame in read_segment(sealed[0]) for one in frame.records] == written


def test_a_spare_being_made_is_dropped_at_the_stop(tmp_path: Path) -> None:
    reached = threading.Event()

    class Slow(FailingFiles):
        def sync_data(self, fd: int) -> None:
            super().sync_data(fd)
            reached.set()

    watched = Watched(tmp_path, Slow(), size=64 << 20)
    watched.attendant.start()
    assert reached.wait(PATIENCE_S)
    watched.attendant.stop()
    assert spares_in(tmp_path) == []
    assert watched.troubles == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_for_a_spare_is_no_trouble(tmp_path: Path, code: int) -> None:
    files = FailingFiles(1, code, only="write")
    watched = Watched(tmp_path, files, spares=1)
    watched.attendant.start()
    segment = begin(tmp_path)
    watched.attendant.seal(segment)
    watched.attendant.stop()
    assert files.failed
    assert watched.troubles == []


def test_any_other_error_while_making_a_spare_is_trouble(tmp_path: Path) -> None:
    watched = Watched(tmp_path, FailingFiles(1, errno.EIO, only="sync_data"), spares=1)
    watched.attendant.start()
    assert watched.troubled.wait(PATIENCE_S)
    watched.attendant.stop()
    assert [failure.operation for failure in watched.troubles] == ["spare"]


def test_a_failed_seal_is_trouble(tmp_path: Path) -> None:
    watched = Watched(tmp_path, spares=0)
    watched.attendant.start()
    segment = begin(tmp_path)
    segment._files = FailingFiles(1, only="truncate")
    watched.attendant.seal(segment)
    assert watched.troubled.wait(PATIENCE_S)
    watched.attendant.stop()
    assert watched.troubles[0].operation == "seal"


def test_a_bug_in_the_thread_is_trouble_too(tmp_path: Path) -> None:
    watched = Watched(tmp_path, spares=0)
    watched.attendant.start()
    watched.attendant.seal("no segment")  # type: ignore[arg-type]
    assert watched.troubled.wait(PATIENCE_S)
    watched.attendant.stop()
    assert "AttributeError" in watched.troubles[0].why


def test_a_directory_that_cannot_be_listed_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(LogFailed, match="list"):
        Watched(tmp_path / "missing").attendant.start()
