"""What is next, what an answer means, what may go: every pair of the table, every reason to keep a file."""

import itertools
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.export import (
    BULK_BACKOFF,
    FAILED,
    LOCKED,
    MUTABLE,
    TRANSITIONS,
    URGENT,
    URGENT_BACKOFF,
    Answer,
    Evidence,
    Item,
    Job,
    Kind,
    Lane,
    NotInTable,
    Outcome,
    State,
    advance,
    batch,
    begin,
    make_item,
    may_free,
    next_state,
)


def item(name: str = "a", kind: Kind = Kind.SEGMENT, born_ns: int = 0) -> Item:
    return make_item(kind, name, Path(name), born_ns=born_ns, size=1)


def job(state: State = State.PENDING, **changes: object) -> Job:
    return msgspec.structs.replace(Job(item(), state), **changes)


def follow(start: Job, *outcomes: Outcome, now_s: float = 0.0, jitter: float = 0.0) -> Job:
    for outcome in outcomes:
        start = advance(start, Answer(outcome, outcome.name.lower()), now_s, jitter)
    return start


# --- one object's way ------------------------------------------------------------------------------------


def test_an_upload_that_compares_equal_is_verified() -> None:
    assert follow(begin(job()), Outcome.CREATED, Outcome.SAME).state is State.VERIFIED


def test_a_taken_key_is_a_question_and_not_an_error() -> None:
    taken = follow(begin(job()), Outcome.EXISTS)
    assert (taken.state, taken.failures) == (State.UPLOADED, 0)
    assert follow(taken, Outcome.SAME).state is State.VERIFIED
    assert follow(taken, Outcome.DIFFERENT).state is State.ALARMED
    assert follow(taken, Outcome.MISSING).state is State.PENDING


def test_a_head_that_is_denied_leads_back_to_the_put() -> None:
    assert follow(begin(job()), Outcome.CREATED, Outcome.DENIED).state is State.PENDING


def test_an_uploaded_object_is_only_compared_again_when_the_store_stumbles() -> None:
    for trouble in (Outcome.TRANSIENT, Outcome.SKEWED):
        stuck = follow(begin(job()), Outcome.CREATED, trouble, jitter=1.0)
        assert (stuck.state, stuck.failures, stuck.problem) == (State.UPLOADED, 1, trouble.name.lower())
        assert stuck.not_before_s == 1.0


def test_an_old_object_of_a_kind_that_changes_is_replaced_and_not_an_alarm() -> None:
    old = Job(item("k", Kind.KEYS), State.UPLOADED)
    replaced = follow(old, Outcome.DIFFERENT, now_s=5.0, jitter=1.0)
    assert (replaced.state, replaced.not_before_s) == (State.PENDING, 6.0)


@pytest.mark.parametrize("pair", list(itertools.product(State, Outcome)), ids=str)
def test_a_pair_that_is_not_in_the_table_is_a_mistake(pair: tuple[State, Outcome]) -> None:
    if pair in TRANSITIONS:
        assert next_state(*pair) is TRANSITIONS[pair]
    else:
        with pytest.raises(NotInTable):
            next_state(*pair)


def test_nothing_leaves_the_end_states_and_every_failure_can_end_well() -> None:
    ends = {State.VERIFIED, State.ALARMED}
    assert not [pair for pair in TRANSITIONS if pair[0] in ends]
    for (_, outcome), state in TRANSITIONS.items():
        if outcome in FAILED:
            assert state in (State.PENDING, State.UPLOADED)


# --- when --------------------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_to_their_cap_and_no_further(failures: int, jitter: float) -> None:
    for backoff in (BULK_BACKOFF, URGENT_BACKOFF):
        assert 0 <= backoff.delay_s(failures, jitter) <= backoff.cap_s
        assert backoff.delay_s(failures, jitter) <= jitter * (backoff.base_s * 2.0 ** min(failures - 1, 900))


def test_checkpoints_are_tried_again_within_seconds() -> None:
    assert URGENT_BACKOFF.delay_s(100, 1.0) <= 5.0


def test_a_success_in_between_does_not_hurry_the_next_attempt() -> None:
    failed = follow(begin(job()), Outcome.TRANSIENT, now_s=100.0, jitter=1.0)
    assert (failed.failures, failed.not_before_s) == (1, 101.0)
    again = follow(begin(failed), Outcome.TRANSIENT, now_s=101.0, jitter=1.0)
    assert (again.failures, again.not_before_s) == (2, 103.0)


def test_urgent_kinds_go_first_then_the_oldest_then_by_key() -> None:
    jobs = [
        Job(item("young", born_ns=9)),
        Job(item("b", born_ns=1)),
        Job(item("a", born_ns=1)),
        Job(item("checkpoint", Kind.CHECKPOINT, born_ns=99)),
    ]
    assert [job.item.key for job in batch(jobs, 0.0, 10)] == ["checkpoint", "a", "b", "young"]
    assert [job.item.key for job in batch(jobs, 0.0, 2)] == ["checkpoint", "a"]


def test_what_waits_stands_aside_unless_there_is_a_hurry() -> None:
    waiting, done, alarmed = job(not_before_s=10.0), job(State.UPLOADING), job(State.ALARMED)
    doubtful = job(State.UPLOADED)
    jobs = [waiting, done, alarmed, doubtful]
    assert batch(jobs, 9.9, 10) == [doubtful]
    assert batch(jobs, 10.0, 10) == [waiting, doubtful]
    assert batch(jobs, math.inf, 10) == [waiting, doubtful]


def test_a_lane_rests_after_the_third_failure_in_a_row() -> None:
    lane = Lane()
    for _ in range(2):
        lane = lane.after(Outcome.TRANSIENT, 100.0, 1.0)
        assert lane.not_before_s == 0.0
    lane = lane.after(Outcome.DENIED, 100.0, 1.0)
    assert lane.not_before_s == 101.0
    assert lane.after(Outcome.SKEWED, 101.0, 1.0).not_before_s == 103.0
    assert lane.after(Outcome.SAME, 101.0, 1.0) == Lane()


def test_an_alarm_about_one_object_does_not_slow_the_lane() -> None:
    lane = Lane()
    for _ in range(10):
        lane = lane.after(Outcome.DIFFERENT, 0.0, 1.0)
    assert lane == Lane()


# --- kinds ---------------------------------------------------------------------------------------------------


def test_evidence_is_locked_keys_only_on_request_and_what_changes_never() -> None:
    assert {kind for kind in Kind if item("x", kind).locked} == LOCKED
    assert make_item(Kind.KEYS, "k", Path("k"), born_ns=0, size=1, lock_keys=True).locked
    assert not MUTABLE & LOCKED
    assert Kind.CHECKPOINT_COPY in LOCKED & URGENT


# --- what may go ----------------------------------------------------------------------------------------------


SAFE = Evidence(State.VERIFIED, companions_settled=True, covered=True, retention_over=True)


def test_a_copy_may_go_when_everything_speaks_for_it() -> None:
    assert may_free(SAFE)


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.UPLOADED},
        {"state": State.ALARMED},
        {"state": State.PENDING},
        {"companions_settled": False},
        {"covered": False},
        {"retention_over": False},
    ],
    ids=str,
)
def test_one_doubt_is_enough_to_keep_a_copy(change: dict[str, object]) -> None:
    assert not may_free(msgspec.structs.replace(SAFE, **change))
