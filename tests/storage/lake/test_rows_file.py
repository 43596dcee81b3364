"""Row files: the same bytes for the same rows, a name only when complete, and damage that is noticed."""

import errno
from pathlib import Path

import pytest
import zstandard

from storage.files import REAL_FILES, FileOps
from storage.lake.rows import ApiCall, Row
from storage.lake.rows_file import CHUNK_BYTES, MAX_LINE_BYTES, GarbledRows, RowsFile, read_rows
from tests.kit.faulty_files import FailingFiles
from tests.kit.lake_logs import all_rows, calls
from tests.kit.recorded import whole_story

ROWS = calls(all_rows(whole_story().records))


def write(path: Path, rows: list[ApiCall], files: FileOps = REAL_FILES) -> Path:
    file = RowsFile(files, path)
    for row in rows:
        file.add(row)
    file.finish()
    return path


def read(path: Path) -> list[Row]:
    return list(read_rows(path, "api_calls", files=REAL_FILES))


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    path = write(tmp_path / "0" / "api_calls" / "seg.ndjson.zst", ROWS)
    assert read(path) == ROWS
    assert [entry.name for entry in path.parent.iterdir()] == ["seg.ndjson.zst"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_same_rows_give_the_same_bytes_over_many_chunks(tmp_path: Path) -> None:
    many = ROWS * (3 * CHUNK_BYTES // 1000 // len(ROWS))
    one, two = write(tmp_path / "one", many), write(tmp_path / "two", many)
    assert one.read_bytes() == two.read_bytes()
    assert read(one) == many


def test_an_unfinished_file_has_no_name_of_its_own(tmp_path: Path) -> None:
    file = RowsFile(REAL_FILES, tmp_path / "seg.ndjson.zst")
    file.add(ROWS[0])
    assert [entry.name for entry in tmp_path.iterdir()] == ["seg.ndjson.zst.tmp"]
    file.abandon()
    assert read(write(tmp_path / "seg.ndjson.zst", ROWS)) == ROWS


@pytest.mark.parametrize("only", ["create", "write", "sync", "rename", "sync_directory"])
def test_what_the_disk_refuses_is_raised(tmp_path: Path, only: str) -> None:
    with pytest.raises(OSError, match="injected") as caught:
        write(tmp_path / "seg.ndjson.zst", ROWS, FailingFiles(1, only=only))
    assert caught.value.errno == errno.EIO


def test_a_short_write_is_a_full_disk(tmp_path: Path) -> None:
    file = RowsFile(FailingFiles(1, only="write", short=True), tmp_path / "seg.ndjson.zst")
    file.add(ROWS[0])
    with pytest.raises(OSError, match="short write"):
        file.finish()


def test_a_cut_file_is_noticed_at_every_byte(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", ROWS[:2]).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(GarbledRows):
            read(tmp_path / "cut")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", ROWS[:2]).read_bytes()
    for at in range(len(whole)):
        garbled = bytearray(whole)
        garbled[at] ^= 0x10
        (tmp_path / "garbled").write_bytes(garbled)
        try:
            assert read(tmp_path / "garbled") == ROWS[:2]  # a bit that means nothing
        except GarbledRows:
            continue


@pytest.mark.parametrize("more", [b"x", bytes(3000)])
def test_bytes_behind_the_frame_are_noticed(tmp_path: Path, more: bytes) -> None:
    path = write(tmp_path / "whole", ROWS)
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(GarbledRows):
        read(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"event_id":1}\n', "line 1: "),
        (b"{}\n", "line 1: "),
        (b'{"event_id":"no end', "has no end"),
        (b"[" * (MAX_LINE_BYTES + 1) + b"\n", "a line of more than"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "other").write_bytes(zstandard.compress(content))
    with pytest.raises(GarbledRows, match=why):
        read(tmp_path / "other")
