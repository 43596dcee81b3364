"""The index, asked which segments hold a session's or a user's records; and when it must not say no."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.index import INDEX_DIRECTORY
from storage.index_schema import STATE_FILE, day_files
from storage.retention import holds_index
from storage.retention.decide import NS_PER_DAY
from storage.retention.holds import OfSession, OfUser, Span
from storage.retention.holds_index import IndexLookup
from tests.kit.expiring import NOW_NS, Story
from tests.kit.recorded import AGENT, ANN, SESSIONS

ANN_S, AGENT_S = OfSession(SESSIONS[ANN.user]), OfSession(SESSIONS[AGENT.user])


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path)
    yield story
    story.indexer.close()


@pytest.fixture
def lookup(story: Story) -> IndexLookup:
    story.index()
    return IndexLookup(story.data_dir / INDEX_DIRECTORY)


def answers(story: Story, lookup: IndexLookup, scope: OfSession | OfUser) -> list[bool | None]:
    return [lookup.has_records(scope, story.span(number)) for number in (1, 2, 3, 4)]


def test_segments_are_found_by_session_and_by_user_also_where_a_call_ends_days_later(
    story: Story, lookup: IndexLookup
) -> None:
    assert answers(story, lookup, ANN_S) == [True, False, True, False]
    assert answers(story, lookup, OfUser(ANN.user)) == [True, False, True, False]
    assert answers(story, lookup, AGENT_S) == [False, True, False, False]
    assert answers(story, lookup, OfUser("nobody")) == [False, False, False, False]


def test_another_log_of_the_same_name_is_another(story: Story, lookup: IndexLookup) -> None:
    span = Span("1", story.stems[0], 0, 0, 1)
    assert lookup.has_records(ANN_S, span) is None  # never indexed


def test_what_is_not_indexed_yet_cannot_be_told(story: Story) -> None:
    lookup = IndexLookup(story.data_dir / INDEX_DIRECTORY)
    assert answers(story, lookup, ANN_S) == [None] * 4
    story.indexer.run_once(budget=story.span(1).next_record_seq)
    found = answers(story, lookup, AGENT_S)
    assert found[0] is False
    assert found[2:] == [None, None]


def test_the_moment_a_session_was_opened_counts_as_holding_it(story: Story, lookup: IndexLookup) -> None:
    begun_ns = NOW_NS - 3 * NS_PER_DAY
    near = Span("0", "another-segment", begun_ns + 30_000_000_000, begun_ns + NS_PER_DAY, 1)
    far = Span("0", "another-segment", begun_ns + 7_000_000_000_000, begun_ns + NS_PER_DAY, 1)
    assert lookup.has_records(ANN_S, near) is True
    assert lookup.has_records(ANN_S, far) is False


def test_answers_about_days_that_did_not_change_are_remembered_within_bounds(
    story: Story, lookup: IndexLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = holds_index._ask_day, []

    def counting(path: Path, scope: OfSession | OfUser) -> object:
        asked.append(path)
        return real(path, scope)

    monkeypatch.setattr(holds_index, "_ask_day", counting)
    monkeypatch.setattr(holds_index, "_REMEMBERED", len(day_files(story.data_dir / INDEX_DIRECTORY)))
    lookup.has_records(OfUser("nobody"), story.span(1))
    assert asked
    before = len(asked)
    lookup.has_records(OfUser("nobody"), story.span(2))
    assert len(asked) == before
    lookup.has_records(OfUser("other"), story.span(2))
    lookup.has_records(OfUser("nobody"), story.span(2))
    assert len(asked) == 3 * before


def oldest_day(story: Story) -> Path:
    return list(day_files(story.data_dir / INDEX_DIRECTORY).values())[-1]


def test_a_day_file_that_is_missing_exchanged_or_older_than_it_must_be_cannot_tell(
    story: Story, lookup: IndexLookup
) -> None:
    story.indexer.close()
    day = oldest_day(story)
    content = day.read_bytes()
    for change in ("UPDATE meta SET token = 'x'", "UPDATE meta SET generation = 0", "DELETE FROM meta"):
        with sqlite3.connect(day) as connection:
            connection.execute(change)
        connection.close()
        assert answers(story, lookup, AGENT_S) == [None] * 4
        day.write_bytes(content)
    assert answers(story, lookup, AGENT_S) == [False, True, False, False]
    day.unlink()
    assert answers(story, lookup, AGENT_S) == [None] * 4


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM segments",
        "UPDATE positions SET packed = x'c1'",
        "DROP TABLE sessions",
        "UPDATE sessions SET user = 'ann@example.com', at_ns = 'x'",
    ],
)
def test_a_garbled_day_file_cannot_tell(story: Story, lookup: IndexLookup, change: str) -> None:
    story.indexer.close()
    with sqlite3.connect(oldest_day(story)) as connection:
        connection.execute(change)
    connection.close()
    assert lookup.has_records(OfUser(ANN.user), story.span(4)) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE logs SET position = x'c1'",
        "UPDATE logs SET position = 'text'",
        "UPDATE days SET generation = 'x'",
        "DROP TABLE days",
        "PRAGMA user_version = 9",
    ],
)
def test_a_garbled_state_cannot_tell(story: Story, lookup: IndexLookup, change: str) -> None:
    story.indexer.close()
    with sqlite3.connect(story.data_dir / INDEX_DIRECTORY / STATE_FILE) as connection:
        connection.execute(change)
    connection.close()
    assert answers(story, lookup, ANN_S) == [None] * 4
