"""Which holds are on a segment: by time, session, user; and what counts when it cannot be told."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from storage.retention.holds import (
    Between,
    Everything,
    Hold,
    NoLookup,
    OfSession,
    OfUser,
    Scope,
    Span,
    describe_scope,
    from_ns,
    held_by,
    utc_ns,
)

DAY = datetime(2026, 1, 31, tzinfo=UTC)
FIRST_NS, LAST_NS = utc_ns(DAY), utc_ns(DAY + timedelta(hours=1))
SPAN = Span("0", "stem", FIRST_NS, LAST_NS, 10)


class Index:
    """Knows one answer."""

    def __init__(self, answer: bool | None) -> None:
        self.answer, self.asked = answer, 0

    def has_records(self, scope: OfSession | OfUser, span: Span) -> bool | None:
        self.asked += 1
        return self.answer


def holds(scope: Scope, span: Span = SPAN, answer: bool | None = False) -> bool:
    hold = Hold("h1", DAY, "root", "case 17", scope)
    found = held_by([hold], span, Index(answer))
    assert found in ([], ["h1"])
    return bool(found)


@pytest.mark.parametrize(
    ("since_h", "until_h", "held"),
    [
        (None, None, True),
        (None, 0, False),  # until is exclusive
        (None, 0.001, True),
        (1, None, True),  # the last commit is at one
        (1.001, None, False),
        (-5, -1, False),
        (0.4, 0.5, True),
        (-5, 5, True),
    ],
)
def test_a_hold_on_a_time_is_on_every_segment_with_a_commit_in_it(
    since_h: float | None, until_h: float | None, held: bool
) -> None:
    since = DAY + timedelta(hours=since_h) if since_h is not None else None
    until = DAY + timedelta(hours=until_h) if until_h is not None else None
    assert holds(Between(since, until)) is held


def test_a_hold_on_everything_asks_nobody() -> None:
    index = Index(False)
    assert held_by([Hold("h1", DAY, "root", "why", Everything())], SPAN, index) == ["h1"]
    assert index.asked == 0


@pytest.mark.parametrize("scope", [OfSession("S"), OfUser("ann")])
def test_of_a_session_or_user_the_index_knows_and_not_knowing_holds(scope: OfSession | OfUser) -> None:
    assert holds(scope, answer=True)
    assert not holds(scope, answer=False)
    assert holds(scope, answer=None)
    assert held_by([Hold("h1", DAY, "root", "why", scope)], SPAN, NoLookup()) == ["h1"]


def test_a_damaged_segment_is_under_every_hold_and_a_shredded_one_under_those_of_people() -> None:
    long_ago = Between(until=DAY - timedelta(days=99))
    damaged = msgspec.structs.replace(SPAN, undamaged=False)
    assert holds(long_ago, damaged)
    assert holds(OfUser("ann"), damaged)
    shredded = msgspec.structs.replace(SPAN, readable=False)
    assert not holds(long_ago, shredded)
    assert holds(OfUser("ann"), shredded)


def test_all_holds_on_a_segment_are_named() -> None:
    found = held_by(
        [
            Hold(id, DAY, "root", "why", scope)
            for id, scope in (("a", Everything()), ("b", OfUser("x")), ("c", Between()))
        ],
        SPAN,
        Index(False),
    )
    assert found == ["a", "c"]


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (Everything(), "all"),
        (OfSession("S1"), "session S1"),
        (OfUser("ann"), "user ann"),
        (Between(since=DAY), "2026-01-31T00:00:00+00:00 .. the end"),
        (Between(until=DAY), "the beginning .. 2026-01-31T00:00:00+00:00"),
    ],
)
def test_a_scope_in_words(scope: Scope, text: str) -> None:
    assert describe_scope(scope) == text


def test_times_keep_their_microseconds_and_their_zone() -> None:
    at = datetime(2026, 1, 31, 1, 2, 3, 456_789, tzinfo=timezone(timedelta(hours=2)))
    assert utc_ns(at) == 1_769_814_123_456_789_000
    assert from_ns(utc_ns(at) + 999) == at
