"""What policy did to a call: told from its records, bounded, and the same over a restart."""

import msgspec
import pytest

from storage.policy_story import MAX_COMMANDS, MAX_FILES, MAX_KEPT, HoldStory, PolicyStory
from storage.records import (
    AnyRecord,
    BudgetCrossed,
    CommandSeen,
    FileCopied,
    Held,
    HoldEnded,
    Masked,
    Outcome,
    SubRequest,
)
from tests.kit.governed import APPROVED_HOLD, TYPED_HOLD, guarded_exec, held_delete, masked_list, records_of
from tests.kit.recorded import Tape

X = bytes(16)


def story_of(records: list[AnyRecord]) -> PolicyStory:
    story = PolicyStory()
    for record in records:
        story.take(record)
        story = msgspec.msgpack.decode(msgspec.msgpack.encode(story), type=PolicyStory)
    return story


def test_an_approved_hold_says_who_approved_and_how_long_it_took() -> None:
    tape = Tape()
    story = story_of(records_of(tape, held_delete(tape, APPROVED_HOLD, "approved")))
    (hold,) = story.holds
    assert (hold.hold, hold.result, hold.by) == (APPROVED_HOLD, "approved", ("bob",))
    assert hold.note == "approved, ticket 4711"
    assert story.held_us == 20_000
    assert story.approvers == story.deciders == ("bob",)
    assert story.sub_requests == 1, "it is recorded twice, and is one"


def test_who_denies_decides_and_does_not_approve() -> None:
    tape = Tape()
    story = story_of(records_of(tape, held_delete(tape, APPROVED_HOLD, "denied")))
    assert (story.hold_results, story.deciders, story.approvers) == (("denied",), ("bob",), ())


def test_who_waits_waits_until_the_gateway_is_gone() -> None:
    tape = Tape()
    story = story_of(records_of(tape, held_delete(tape, APPROVED_HOLD, None)))
    assert (story.hold_results, story.held_us) == (("waiting",), 0)
    story.take(HoldEnded(X, 9, "another", "approved", ("bob",)))
    story.abandon()
    assert story.hold_results == ("unknown", "approved")


def test_values_are_counted_a_rule_over_all_records() -> None:
    tape = Tape()
    records = records_of(tape, masked_list(tape))
    story = story_of([*records, Masked(X, 9, "request", (("pii/mail", 4),))])
    assert story.masked == {"secrets/mask": 3, "pii/mail": 5}
    assert story.masked_values == 8


def test_a_guarded_exec_says_what_was_typed_copied_and_used_up() -> None:
    tape = Tape()
    story = story_of(records_of(tape, guarded_exec(tape)))
    assert (story.commands, story.files, story.budgets) == (2, 2, ["execMinutes"])
    assert story.rules == ["prod/no-wipe", "agents/minutes"]
    assert [(hold.hold, hold.result) for hold in story.holds] == [(TYPED_HOLD, "denied")]
    assert not story.is_cut


def test_other_records_tell_nothing_of_policy() -> None:
    assert not PolicyStory().take(Outcome(X, 1, "completed", 200))
    assert PolicyStory().take(SubRequest(X, 1, "old-object", "GET", b"/", 0))


def test_a_hold_that_is_held_again_ends_twice() -> None:
    story = story_of(
        [
            Held(X, 1, "h", (), b""),
            HoldEnded(X, 3, "h", "retry"),
            Held(X, 5, "h", (), b"", True),
            HoldEnded(X, 9, "h", "approved", ("bob",)),
        ]
    )
    assert [(hold.result, hold.joined) for hold in story.holds] == [("retry", False), ("approved", True)]
    assert story.held_us == 6


def test_a_hold_whose_beginning_is_gone_is_told() -> None:
    assert story_of([HoldEnded(X, 9, "h", "expired")]).holds == [
        HoldStory("h", 9, result="expired", ended_us=9)
    ]


@pytest.mark.parametrize(
    ("records", "kept"),
    [
        ([Held(X, at, str(at), (), b"") for at in range(MAX_KEPT + 1)], "holds"),
        ([HoldEnded(X, at, str(at), "left") for at in range(MAX_KEPT + 1)], "holds"),
        ([Masked(X, 1, "answer", ((f"r{at}", 1),)) for at in range(MAX_KEPT + 1)], "masked"),
        ([BudgetCrossed(X, 1, "r", f"c{at}", 1, 1, "hold") for at in range(MAX_KEPT + 1)], "budgets"),
    ],
)
def test_what_has_no_room_is_counted_as_cut(records: list[AnyRecord], kept: str) -> None:
    story = PolicyStory()
    for record in records[:-1]:
        story.take(record)
    assert not story.is_cut
    story.take(records[-1])
    assert story.is_cut
    assert len(getattr(story, kept)) == MAX_KEPT


@pytest.mark.parametrize(
    ("record", "limit"),
    [(CommandSeen(X, 1, "ls"), MAX_COMMANDS), (FileCopied(X, 1, "up", "f", 1), MAX_FILES)],
)
def test_more_lines_and_files_than_readers_keep_are_said_to_be_cut(record: AnyRecord, limit: int) -> None:
    story = PolicyStory()
    for _ in range(limit):
        story.take(record)
    assert not story.is_cut
    story.take(record)
    assert story.is_cut
