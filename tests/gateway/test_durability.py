"""What waits for the disk, for each setting and class."""

import pytest

from gateway.durability import Durability


@pytest.mark.parametrize(
    ("setting", "kind", "before_forward", "before_end"),
    [
        (Durability.STRICT, 1, True, True),
        (Durability.STRICT, 2, True, True),
        (Durability.BALANCED, 1, True, True),
        (Durability.BALANCED, 2, False, False),
        (Durability.RELAXED, 1, False, False),
        (Durability.RELAXED, 2, False, False),
    ],
)
def test_each_class_waits_for_what_it_promises(
    setting: Durability, kind: int, before_forward: bool, before_end: bool
) -> None:
    assert setting.intent_before_forward(kind) is before_forward
    assert setting.outcome_before_end(kind) is before_end


def test_only_relaxed_answers_a_read_before_its_intent_is_durable() -> None:
    assert [d.intent_before_answer() for d in Durability] == [True, True, False]
