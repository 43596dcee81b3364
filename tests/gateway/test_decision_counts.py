"""Counts of decisions: right, and bounded whatever policies come and go."""

from gateway.decision_counts import MAX_RULES, OTHER, DecisionCounts, WaitTimes
from gateway.policy.model import Action, Mode, Verdict


def denied(rule: str) -> Verdict:
    return Verdict(Action.DENY, Mode.ENFORCE, (rule, "p/second"))


def test_the_rule_that_decided_is_counted_and_no_other() -> None:
    counts = DecisionCounts()
    counts.decided(denied("p/a"))
    counts.decided(denied("p/a"))
    assert counts.decisions == {("deny", "p/a"): 2}


def test_the_number_of_labels_is_bounded() -> None:
    counts = DecisionCounts()
    for number in range(MAX_RULES + 50):
        counts.decided(denied(f"p/{number}"))
        counts.masked_values(f"p/{number}", 2)
    assert len(counts.decisions) == MAX_RULES + 1
    assert counts.decisions["deny", OTHER] == 50
    assert counts.masked[OTHER] == 100
    assert counts.masked["p/0"] == 2


def test_waiting_is_counted_by_how_it_ended() -> None:
    counts = DecisionCounts()
    counts.approval_ended("denied", 1.0)
    counts.approval_ended("made up", 2.0)
    assert set(counts.waits) == {"denied", OTHER}


def test_a_wait_belongs_to_every_bucket_that_is_long_enough() -> None:
    times = WaitTimes()
    for seconds in (1.0, 1.1, 10_000.0):
        times.add(seconds)
    found = dict(times.cumulative())
    assert (found["1.0"], found["5.0"], found["3600.0"], found["+Inf"]) == (1.0, 2.0, 2.0, 3.0)
