"""The notes of file operations, and what a power cut may leave of them: the tool, before anything is judged by it."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.files import REAL_FILES, RealFiles
from tests.kit.write_log import install, read_notes
from tests.kit.write_replay import Replay

PATCHED = (
    "create open_write open_read write truncate sync_data sync rename remove sync_directory close".split()
)


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Path]:
    """A directory of notes, with this process noting; undone afterwards."""
    real = {name: getattr(RealFiles, name) for name in PATCHED}
    directory = tmp_path / "notes"
    directory.mkdir()
    install(directory)
    yield directory
    for name, function in real.items():
        setattr(RealFiles, name, function)


def last_images(notes: Path) -> list[dict[str, bytes]]:
    """Every image after the last note: each unsynced write there or not, each number of changed names."""
    replay = Replay(read_notes(notes))
    for _ in replay.steps():
        pass
    found = []
    for kept, names in itertools.product(itertools.product((False, True), repeat=3), range(4)):

        def choose(number: int, data: bytes, kept: tuple[bool, ...] = kept) -> bytes | None:
            return data if kept[number % 3] else None

        def keeps(number: int, names: int = names) -> bool:
            return number < names

        image = {path.name: content for path, content in replay.image(choose, keeps).items()}
        if image not in found:
            found.append(image)
    return found


def test_what_was_synced_is_in_every_image_and_what_was_not_in_some(notes: Path, tmp_path: Path) -> None:
    fd = REAL_FILES.create(tmp_path / "file")
    REAL_FILES.write(fd, [b"one", b"two"], 0)
    REAL_FILES.sync_data(fd)
    REAL_FILES.sync_directory(tmp_path)
    REAL_FILES.write(fd, [b"three"], 6)
    assert sorted(image["file"] for image in last_images(notes)) == [b"onetwo", b"onetwothree"]
    REAL_FILES.sync(fd)
    assert last_images(notes) == [{"file": b"onetwothree"}]
    REAL_FILES.truncate(fd, 3)
    assert sorted(image["file"] for image in last_images(notes)) == [b"one", b"onetwothree"]


def test_a_new_name_is_certain_only_once_its_directory_is_synced(notes: Path, tmp_path: Path) -> None:
    fd = REAL_FILES.create(tmp_path / "new")
    REAL_FILES.write(fd, [b"x"], 0)
    REAL_FILES.sync(fd)
    assert sorted(map(list, last_images(notes))) == [[], ["new"]]
    REAL_FILES.sync_directory(tmp_path)
    REAL_FILES.rename(tmp_path / "new", tmp_path / "renamed")
    assert sorted(map(list, last_images(notes))) == [["new"], ["renamed"]]
    REAL_FILES.sync_directory(tmp_path)
    REAL_FILES.remove(tmp_path / "renamed")
    assert sorted(map(list, last_images(notes))) == [[], ["renamed"]]


def test_a_sync_through_a_read_only_descriptor_counts(notes: Path, tmp_path: Path) -> None:
    """The keeper makes durable what the gateway wrote, before it signs it."""
    fd = REAL_FILES.create(tmp_path / "file")
    REAL_FILES.sync_directory(tmp_path)
    REAL_FILES.write(fd, [b"frame"], 0)
    assert sorted(image["file"] for image in last_images(notes)) == [b"", b"frame"]
    reading = REAL_FILES.open_read(tmp_path / "file")
    REAL_FILES.sync_data(reading)
    assert last_images(notes) == [{"file": b"frame"}]


def test_zeros_and_the_half_note_of_a_killed_process_are_read_back(notes: Path, tmp_path: Path) -> None:
    fd = REAL_FILES.create(tmp_path / "file")
    REAL_FILES.sync_directory(tmp_path)
    REAL_FILES.write(fd, [bytes(4096)], 0)
    REAL_FILES.sync(fd)
    (book,) = notes.iterdir()
    assert book.stat().st_size < 1000, "zeros are counted, not kept"
    with book.open("ab") as file:
        file.write(b"\x40\0\0\0torn")
    assert last_images(notes) == [{"file": bytes(4096)}]


def test_a_file_of_somebody_else_counts_as_durable_when_it_is_opened(notes: Path, tmp_path: Path) -> None:
    (tmp_path / "spare").write_bytes(b"old")
    fd = REAL_FILES.open_write(tmp_path / "spare")
    REAL_FILES.write(fd, [b"new"], 0)
    os.close(fd)
    assert sorted(image["spare"] for image in last_images(notes)) == [b"new", b"old"]
