"""Day files go when nothing they speak of is left, and the indexer does not take it for damage."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.index import INDEX_DIRECTORY, Indexer
from storage.index_schema import STATE_FILE, GarbledIndex, day_files
from storage.query import Query
from storage.retention import index_expiry
from storage.retention.decide import NS_PER_DAY
from storage.retention.index_expiry import DayExpiry, expired_days, remove_days
from storage.search import Archive
from storage.sources import SegmentLogs
from tests.kit.expiring import NOW_NS, Story


def day(days_ago: float) -> str:
    return datetime.fromtimestamp((NOW_NS - days_ago * NS_PER_DAY) / 1e9, UTC).strftime("%Y-%m-%d")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path)
    story.index()
    yield story
    story.indexer.close()


def days(story: Story) -> list[str]:
    return sorted(day_files(story.data_dir / INDEX_DIRECTORY))


def expired(story: Story) -> list[str]:
    return expired_days(story.data_dir, story.data_dir / INDEX_DIRECTORY)


def test_a_day_stays_while_any_segment_with_its_calls_does(story: Story) -> None:
    assert days(story) == [day(3), day(2), day(0)]
    assert expired(story) == []
    story.path(1).unlink()
    story.path(2).unlink()
    assert expired(story) == [day(2)]  # of day 3 a call goes on in segment 3
    story.path(3).unlink()
    assert expired(story) == [day(3), day(2)]


def test_a_day_stays_while_a_segment_of_it_does_even_in_another_log(story: Story, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        story.path(number).unlink()
    (tmp_path / "log" / "1").mkdir()
    (tmp_path / "log" / "1" / story.path(2).name).touch()
    assert expired(story) == [day(3)]


def test_without_any_segment_nothing_is_expired(story: Story) -> None:
    for number in (1, 2, 3, 4):
        story.path(number).unlink()
    assert expired(story) == []


def test_the_indexer_goes_on_as_if_nothing_had_been(story: Story) -> None:
    for number in (1, 2, 3):
        story.path(number).unlink()
        story.path(number, ".tombstone").touch()
    indexed = story.indexer.indexed
    clock = Clock()
    expiry = DayExpiry(story.indexer, story.data_dir, clock=clock)
    assert expiry.run_once() == [day(3), day(2)]
    assert days(story) == [day(0)]
    assert not list((story.data_dir / INDEX_DIRECTORY).glob(f"{day(2)}*"))
    story.index()
    assert story.indexer.indexed == indexed  # nothing was read again
    assert Archive(story.indexer.directory, SegmentLogs(story.data_dir)).calls(Query(), limit=10) == []


def test_it_looks_once_a_minute(story: Story) -> None:
    clock = Clock()
    expiry = DayExpiry(story.indexer, story.data_dir, clock=clock)
    assert expiry.run_once() == []
    for number in (1, 2, 3):
        story.path(number).unlink()
    assert expiry.run_once() == []
    clock.now_s += 60
    assert expiry.run_once() == [day(3), day(2)]


def test_while_another_process_indexes_nothing_is_removed(story: Story) -> None:
    for number in (1, 2, 3):
        story.path(number).unlink()
    other = Indexer(story.data_dir)
    assert DayExpiry(other, story.data_dir).run_once() == []
    assert len(days(story)) == 3


def test_a_crash_between_state_and_file_is_completed(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        story.path(number).unlink()

    def crash(_: Path) -> None:
        raise OSError(5, "crash")

    monkeypatch.setattr(index_expiry, "remove_index_file", crash)
    with pytest.raises(OSError, match="crash"):
        DayExpiry(story.indexer, story.data_dir).run_once()
    monkeypatch.undo()
    indexed = story.indexer.indexed
    story.index()
    assert story.indexer.indexed == indexed
    assert DayExpiry(story.indexer, story.data_dir).run_once() == [day(3), day(2)]


def test_files_with_an_impossible_date_are_left_alone(story: Story) -> None:
    for number in (1, 2, 3):
        story.path(number).unlink()
    odd = story.data_dir / INDEX_DIRECTORY / "2026-99-99.sqlite"
    odd.touch()
    assert expired(story) == [day(3), day(2)]


def test_a_garbled_index_is_an_error_and_nothing_goes(story: Story) -> None:
    story.indexer.close()
    for number in (1, 2, 3):
        story.path(number).unlink()
    path = story.data_dir / INDEX_DIRECTORY / f"{day(2)}.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    content[100:4096] = b"x" * 3996
    path.write_bytes(content)
    with pytest.raises(GarbledIndex):
        expired(story)
    with sqlite3.connect(story.data_dir / INDEX_DIRECTORY / STATE_FILE) as connection:
        connection.execute("DROP TABLE days")
    connection.close()
    with pytest.raises(GarbledIndex):
        remove_days(story.data_dir / INDEX_DIRECTORY, [day(2)])
    assert path.exists()
