"""What lies in a log's directory, by segment."""

from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.format import PAGE_BYTES
from storage.retention.decide import State
from storage.retention.inventory import list_entries, names_in, read_extent, size_of
from tests.kit.expiring import NOW_NS, ORIGIN, Scene
from tests.kit.segments import flip


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path, (3, 2))
    scene.add(1, state="recovered")
    scene.add(0, state="open")
    return scene


def test_files_are_grouped_by_segment_in_order(scene: Scene) -> None:
    for number, suffix in ((1, ".keys"), (2, ".shredded"), (3, ".torn"), (3, ".keys"), (3, ".shredded")):
        scene.path(number, suffix).touch()
    scene.path(2).rename(scene.path(2, ".tombstone"))
    for name in ("LOCK", "x.spare", "tlog", "1.kseg", scene.stems[0] + ".keys.tmp", "tlog.marks"):
        (scene.directory / name).touch()
    entries = list_entries(REAL_FILES, scene.directory)
    assert [entry.name.stem for entry in entries] == scene.stems
    assert [entry.state for entry in entries] == [State.SEALED, None, State.RECOVERED, State.OPEN]
    assert [sorted(entry.beside) for entry in entries] == [
        [".keys"],
        [".shredded", ".tombstone"],
        [".keys", ".shredded", ".torn"],
        [],
    ]
    assert [entry.has_tombstone for entry in entries] == [False, True, False, False]
    assert [entry.is_shredded for entry in entries] == [False, True, False, False]  # 3: not yet
    assert entries[0].path(scene.directory) == scene.path(1)
    assert entries[0].path_beside(scene.directory, ".keys") == scene.path(1, ".keys")


def test_a_segment_listed_twice_while_it_is_renamed_has_its_later_name(scene: Scene) -> None:
    scene.path(1, ".open").touch()
    assert list_entries(REAL_FILES, scene.directory)[0].suffix == ".kseg"


def test_sizes_and_names_of_what_is_not_there(scene: Scene) -> None:
    assert size_of(REAL_FILES, scene.path(1)) == scene.path(1).stat().st_size
    assert size_of(REAL_FILES, scene.directory / "gone") == 0
    assert names_in(REAL_FILES, scene.directory / "gone") == []
    assert names_in(REAL_FILES, scene.path(1)) == []
    assert names_in(REAL_FILES, scene.data_dir) == ["log"]


@pytest.mark.parametrize(("number", "suffix"), [(1, ".kseg"), (3, ".recovered"), (4, ".open")])
def test_a_segment_says_its_numbers_and_times_whatever_its_state(
    scene: Scene, number: int, suffix: str
) -> None:
    extent = read_extent(REAL_FILES, scene.path(number, suffix))
    begun_ns = NOW_NS - (4 - number) * 24 * 3600 * 1_000_000_000
    assert (extent.first_record_seq, extent.next_record_seq) == (2 * number - 1, 2 * number + 1)
    assert (extent.first_ns, extent.last_ns) == (begun_ns, begun_ns + 1)
    assert (extent.log_origin, extent.suite, extent.problem) == (ORIGIN, "none", "")
    assert extent.segment_id.endswith(scene.name(number).uuid8)


def test_a_segment_without_records_has_no_times(scene: Scene) -> None:
    path = scene.add(0, state="open", content=[])
    extent = read_extent(REAL_FILES, path)
    assert (extent.first_ns, extent.last_ns, extent.problem) == (0, 0, "")
    assert extent.first_record_seq == extent.next_record_seq == 9


def test_a_damaged_footer_leaves_what_the_frames_tell_and_says_so(scene: Scene) -> None:
    flip(scene.path(1), scene.path(1).stat().st_size - 1)
    extent = read_extent(REAL_FILES, scene.path(1))
    assert (extent.first_record_seq, extent.next_record_seq) == (1, 3)
    assert "trailer" in extent.problem


def test_a_damaged_frame_ends_what_is_known(scene: Scene) -> None:
    path = scene.path(1).rename(scene.path(1, ".recovered"))
    flip(path, PAGE_BYTES + 50)
    extent = read_extent(REAL_FILES, path)
    assert (extent.next_record_seq, extent.first_ns) == (1, 0)
    assert f"byte {PAGE_BYTES}" in extent.problem


def test_without_a_header_page_nothing_is_known_but_that(scene: Scene) -> None:
    flip(scene.path(1), 100)
    extent = read_extent(REAL_FILES, scene.path(1))
    assert extent.segment_id == ""
    assert "header page" in extent.problem


def test_a_segment_that_is_gone_is_no_damage(scene: Scene) -> None:
    with pytest.raises(FileNotFoundError):
        read_extent(REAL_FILES, scene.directory / "1.kseg")
