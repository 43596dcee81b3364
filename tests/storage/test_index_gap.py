"""The index and its readers over a log from which retention took segments."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.index import INDEX_DIRECTORY, Indexer
from storage.query import Query
from storage.retention.decide import NS_PER_DAY
from storage.retention.deleted import read_why_gone
from storage.search import Archive
from storage.sources import SegmentLogs
from storage.timeline import read_detail
from tests.kit.expiring import NOW_NS, Story
from tests.kit.recorded import AGENT, ANN


class Logs(SegmentLogs):
    """A data directory that can say why a segment is gone."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._data_dir = data_dir

    def why_gone(self, log: str, segment: str) -> str | None:
        return read_why_gone(REAL_FILES, self._data_dir / "log" / log, segment)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path)
    story.cover()
    yield story
    story.indexer.close()


def delete(story: Story, *kept: int) -> None:
    """Delete every segment but the newest and those kept."""
    for number in kept:
        story.path(number).rename(story.directory.parent.parent / str(number))
    story.expire(now_ns=NOW_NS + 99 * NS_PER_DAY)
    for number in kept:
        (story.directory.parent.parent / str(number)).rename(story.path(number))


def archive(story: Story) -> Archive:
    return Archive(story.data_dir / INDEX_DIRECTORY, SegmentLogs(story.data_dir))


def test_calls_of_deleted_segments_are_listed_and_say_where_their_records_went(story: Story) -> None:
    story.index()
    delete(story, 2)
    assert story.left() == [2, 4]
    calls = archive(story).calls(Query(), limit=100)
    by_user = {call.user: call for call in calls}
    assert set(by_user) == {ANN.user, AGENT.user}
    source = Logs(story.data_dir)
    assert read_detail(source, archive(story), by_user[AGENT.user]).outcome is not None
    with pytest.raises(StorageError, match=r"no longer in the log: segment \S+ was deleted on 2026-12-29T"):
        read_detail(source, archive(story), by_user[ANN.user])


def test_an_index_that_was_behind_goes_on_with_what_is_left(story: Story) -> None:
    story.indexer.run_once(budget=3)
    delete(story, 2)
    story.index()
    users = [call.user for call in archive(story).calls(Query(), limit=100)]
    assert users.count(AGENT.user) == 1
    indexed = story.indexer.indexed
    story.index()
    assert story.indexer.indexed == indexed


def test_an_index_made_anew_has_what_is_left(story: Story) -> None:
    delete(story, 2)
    story.index()
    assert [call.user for call in archive(story).calls(Query(), limit=100)] == [AGENT.user]


def test_an_index_is_not_thrown_away_because_a_segment_went(story: Story) -> None:
    story.index()
    story.indexer.close()
    delete(story)
    fresh = Indexer(story.data_dir)
    while fresh.run_once():
        pass
    assert fresh.indexed == 0
    assert len(archive(story).calls(Query(), limit=100)) > 1
    fresh.close()


def test_a_segment_that_was_taken_away_without_a_tombstone_stops_the_reader(story: Story) -> None:
    story.path(2).unlink()
    with pytest.raises(StorageError, match="a segment is missing or damaged"):
        story.index()
