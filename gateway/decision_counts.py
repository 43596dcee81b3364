"""Counts of what policy did, for `gateway.metrics`: decisions, shadow hits, masked values, approvals.

Labels are ids of rules and a few fixed words: never a user, a name or a path. A policy that changes for months must not
grow the metrics for ever, so what is beyond the first 500 rules is counted together.
"""

from bisect import bisect_left
from collections import Counter
from typing import Final

from gateway.policy.model import Verdict

MAX_RULES: Final = 500
OTHER: Final = "other"
"""The label of everything beyond the bounds."""
WAIT_BUCKETS_S: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
"""From somebody who watches the console to a request that waits for the morning."""
WAIT_RESULTS: Final = frozenset({"approved", "denied", "expired", "withdrawn", "revoked"})


class WaitTimes:
    """A histogram in Prometheus' sense. counts: one per bucket, the last for what was longer; sum_s: seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(WAIT_BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(WAIT_BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, how many were at most that long)."""
        bounds = [*(str(bound) for bound in WAIT_BUCKETS_S), "+Inf"]
        total, found = 0, []
        for bound, count in zip(bounds, self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class DecisionCounts:
    """The counters of one worker. Reading and writing happen in its one thread."""

    def __init__(self) -> None:
        self.decisions: Counter[tuple[str, str]] = Counter()  # (action, rule)
        self.shadow: Counter[str] = Counter()
        self.masked: Counter[str] = Counter()
        self.waits: dict[str, WaitTimes] = {}
        self._rules: set[str] = {""}  # no rule: the default of the policy, or observe mode

    def decided(self, verdict: Verdict) -> None:
        """A call was decided. Counted under the rule that decided it."""
        rule = verdict.rules[0] if verdict.rules else ""
        rule = rule if rule in self._rules else self._bounded(rule)
        self.decisions[verdict.action._value_, rule] += 1  # `value` is a Python call
        for shadow in verdict.shadow:
            self.shadow[self._bounded(shadow)] += 1

    def masked_values(self, rule: str, count: int) -> None:
        """count values were hidden by this rule."""
        self.masked[self._bounded(rule)] += count

    def approval_ended(self, result: str, waited_s: float) -> None:
        """Somebody waited so long for an approval. result: one of WAIT_RESULTS."""
        result = result if result in WAIT_RESULTS else OTHER
        self.waits.setdefault(result, WaitTimes()).add(waited_s)

    def _bounded(self, rule: str) -> str:
        if rule in self._rules:
            return rule
        if len(self._rules) > MAX_RULES:
            return OTHER
        self._rules.add(rule)
        return rule
