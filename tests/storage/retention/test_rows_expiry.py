"""Rows files go after their segment, and never before."""

from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.retention.decide import NS_PER_DAY
from storage.retention.inventory import list_entries
from storage.retention.rows_expiry import expire_rows
from tests.kit.expiring import NOW_NS, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    for table in ("api_calls", "control_events"):
        directory = tmp_path / "rows" / "0" / table
        directory.mkdir(parents=True)
        for stem in scene.stems:
            (directory / f"{stem}.ndjson.zst").touch()
        (directory / "notes.txt").touch()
    (tmp_path / "rows" / "0" / "state").touch()
    return scene


def rows(scene: Scene) -> list[int]:
    left = (scene.data_dir / "rows" / "0" / "api_calls").glob("*.zst")
    return sorted(scene.stems.index(path.name.partition(".")[0]) + 1 for path in left)


def expire(scene: Scene, days_ago: float) -> int:
    entries = list_entries(REAL_FILES, scene.directory)
    before_ns = NOW_NS - round(days_ago * NS_PER_DAY)
    return expire_rows(REAL_FILES, scene.data_dir, "0", entries, begun_before_ns=before_ns)


def test_rows_stay_with_their_segment_however_old(scene: Scene) -> None:
    assert expire(scene, 0) == 0
    assert rows(scene) == [1, 2, 3, 4, 5]


def test_rows_of_deleted_segments_go_when_they_are_old_enough(scene: Scene) -> None:
    for number in (1, 2, 3):
        scene.path(number).rename(scene.path(number, ".tombstone"))
    assert expire(scene, 7.5) == 4
    assert rows(scene) == [3, 4, 5]
    assert expire(scene, 0) == 2
    assert rows(scene) == [4, 5]


def test_rows_of_a_segment_that_was_taken_away_stay(scene: Scene) -> None:
    scene.path(1).unlink()
    scene.path(2).rename(scene.path(2, ".tombstone"))
    assert expire(scene, 0) == 2
    assert rows(scene) == [1, 3, 4, 5]


def test_without_rows_there_is_nothing_to_do(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.path(1).rename(scene.path(1, ".tombstone"))
    assert expire(scene, 0) == 0
