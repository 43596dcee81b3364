"""What is said of a segment that is not there."""

from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.retention.deleted import NO_TOMBSTONE, read_why_gone, why_gone
from tests.kit.expiring import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.cover()
    scene.expire()
    return scene


class Source:
    """Knows the tombstones of a scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def why_gone(self, log: str, segment: str) -> str | None:
        assert log == "0"
        return read_why_gone(REAL_FILES, self._scene.directory, segment)


def test_the_tombstone_says_when_and_why(scene: Scene) -> None:
    assert read_why_gone(REAL_FILES, scene.directory, scene.stems[0]) == (
        f"segment {scene.stems[0]} was deleted on 2026-09-21T14:13:20Z (retention: older than 5 days); "
        "if it was exported, read it with --store s3://BUCKET/PREFIX"
    )
    assert read_why_gone(REAL_FILES, scene.directory, scene.stems[4]) is None


def test_a_tombstone_that_cannot_be_read_is_said_to_be_one(scene: Scene) -> None:
    scene.path(1, ".tombstone").write_bytes(b"garbled")
    assert "its tombstone cannot be read" in str(read_why_gone(REAL_FILES, scene.directory, scene.stems[0]))


def test_the_first_segment_with_a_tombstone_is_named(scene: Scene) -> None:
    segments = [scene.stems[4], scene.stems[4], scene.stems[1], scene.stems[0]]
    assert why_gone(Source(scene), "0", segments).startswith(f"segment {scene.stems[1]} was deleted")


def test_without_a_tombstone_nothing_is_excused(scene: Scene) -> None:
    assert why_gone(Source(scene), "0", [scene.stems[4]]) == NO_TOMBSTONE
    assert why_gone(object(), "0", [scene.stems[0]]) == NO_TOMBSTONE
