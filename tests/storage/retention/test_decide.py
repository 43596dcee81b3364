"""Which segments go, and why not the others."""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.format import SegmentName
from storage.retention.decide import NS_PER_DAY, Choice, Policy, SegmentFacts, State, decide

NOW_NS = 1_790_000_000_000_000_000
MONTH = Policy(max_age_ns=30 * NS_PER_DAY, require_export=False)


def facts(
    number: int,
    days_ago: float,
    *,
    state: State = State.SEALED,
    size: int = 100,
    exported: bool = True,
    covered: bool = True,
) -> SegmentFacts:
    ended_ns = NOW_NS - round(days_ago * NS_PER_DAY)
    name = SegmentName(number, 1, ended_ns // 1_000_000, "0" * 8)
    return SegmentFacts(name, state, size, ended_ns, exported, covered)


def nothing(_: SegmentFacts) -> Sequence[str]:
    return ()


def deleted(choices: list[Choice]) -> list[int]:
    return [choice.facts.name.number for choice in choices if choice.delete]


def test_without_a_limit_nothing_goes() -> None:
    choices = decide(Policy(), [facts(1, 10_000), facts(2, 1)], NOW_NS, nothing)
    assert deleted(choices) == []
    assert [choice.reason for choice in choices] == ["", ""]


def test_what_is_older_than_the_limit_goes_and_the_choice_says_why() -> None:
    choices = decide(MONTH, [facts(3, 0), facts(1, 31), facts(2, 29)], NOW_NS, nothing)
    assert [choice.facts.name.number for choice in choices] == [1, 2, 3]
    assert deleted(choices) == [1]
    assert choices[0].reason == "older than 30 days"


def test_exactly_as_old_as_the_limit_is_not_older() -> None:
    assert deleted(decide(MONTH, [facts(1, 30), facts(2, 0)], NOW_NS, nothing)) == []


def test_one_day_is_one_day() -> None:
    policy = Policy(max_age_ns=NS_PER_DAY, require_export=False)
    assert decide(policy, [facts(1, 2), facts(2, 0)], NOW_NS, nothing)[0].reason == "older than 1 day"


def test_the_oldest_go_until_the_log_fits() -> None:
    policy = Policy(max_bytes=250, require_export=False)
    choices = decide(policy, [facts(number, 1) for number in range(1, 6)], NOW_NS, nothing)
    assert deleted(choices) == [1, 2, 3]
    assert choices[0].reason == "its log is larger than 250 bytes"
    assert choices[3].reason == ""


def test_what_may_not_go_is_passed_over_and_younger_ones_make_the_room() -> None:
    policy = Policy(max_bytes=250, require_export=False)
    segments = [facts(1, 5, covered=False), *(facts(number, 1) for number in range(2, 6))]
    assert deleted(decide(policy, segments, NOW_NS, nothing)) == [2, 3, 4]


def test_everything_that_stands_against_it_is_said() -> None:
    choices = decide(
        Policy(max_age_ns=NS_PER_DAY),
        [facts(1, 9, exported=False, covered=False), facts(2, 9, state=State.OPEN), facts(3, 9)],
        NOW_NS,
        nothing,
    )
    assert [choice.against for choice in choices] == [
        ("no signed checkpoint covers it yet", "not verified in S3 yet"),
        ("still open",),
        ("the newest: the next start continues its numbers",),
    ]
    assert deleted(choices) == []


def test_what_is_costly_to_know_is_asked_only_where_it_matters() -> None:
    asked: list[int] = []

    def veto(segment: SegmentFacts) -> Sequence[str]:
        asked.append(segment.name.number)
        return ("legal hold 7",) if segment.name.number == 2 else ()

    segments = [facts(1, 90, covered=False), facts(2, 80), facts(3, 70), facts(4, 1), facts(5, 0)]
    choices = decide(MONTH, segments, NOW_NS, veto)
    assert asked == [2, 3]
    assert choices[1].against == ("legal hold 7",)
    assert deleted(choices) == [3]


def test_export_that_is_not_required_does_not_matter() -> None:
    segments = [facts(1, 40, exported=False), facts(2, 0)]
    assert deleted(decide(MONTH, segments, NOW_NS, nothing)) == [1]


def test_a_segment_written_while_the_clock_stood_in_1970_is_as_young_as_the_one_before_it() -> None:
    segments = [facts(1, 40), facts(2, 3), facts(3, 20_000), facts(4, 0)]
    assert deleted(decide(MONTH, segments, NOW_NS, nothing)) == [1]


def test_a_segment_dated_in_the_future_waits_for_its_date_and_does_not_keep_others() -> None:
    segments = [facts(1, -400), facts(2, 40), facts(3, 35), facts(4, 0)]
    assert deleted(decide(MONTH, segments, NOW_NS, nothing)) == [2, 3]


segment_facts = st.builds(
    facts,
    st.integers(1, 50),
    st.floats(-100, 100),
    state=st.sampled_from(State),
    size=st.integers(0, 1000),
    exported=st.booleans(),
    covered=st.booleans(),
)
limits = st.one_of(st.none(), st.integers(0, 5000))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(segment_facts, unique_by=lambda one: one.name.number),
    st.builds(Policy, st.one_of(st.none(), st.integers(0, 90 * NS_PER_DAY)), limits, st.booleans()),
    st.frozensets(st.integers(1, 50)),
)
def test_nothing_forbidden_is_ever_chosen(
    segments: list[SegmentFacts], policy: Policy, held: frozenset[int]
) -> None:
    choices = decide(policy, segments, NOW_NS, lambda one: ("legal hold",) if one.name.number in held else ())
    assert [choice.facts for choice in choices] == sorted(segments, key=lambda one: one.name)
    gone = [choice.facts for choice in choices if choice.delete]
    newest = max((one.name.number for one in segments), default=0)
    for one in gone:
        assert one.state is not State.OPEN
        assert one.covered
        assert one.exported or not policy.require_export
        assert one.name.number not in held | {newest}
    if policy.max_age_ns is None and policy.max_bytes is None:
        assert not gone
    if policy.max_age_ns is None and gone:
        assert policy.max_bytes is not None
        before_last = sum(one.size_bytes for one in segments) - sum(one.size_bytes for one in gone[:-1])
        assert before_last > policy.max_bytes  # none more than needed
    for choice in choices:
        assert choice.delete or choice.against or not choice.reason


@pytest.mark.parametrize("age", [0, 1])
def test_an_empty_log_has_nothing_to_choose(age: int) -> None:
    assert decide(Policy(max_age_ns=age), [], NOW_NS, nothing) == []
