"""Which segments retention deletes, and why not the others. Pure: facts in, one choice a segment out.

Two limits make a segment due: its age, and what the directory of its log may hold; the oldest goes first. What
stands against a deletion is never weighed against a limit: the newest segment (the next start continues its
numbers), one still being written, one under a legal hold, one that no signed checkpoint covers yet, and, when
export is required, one whose copy in S3 is not verified. So a full disk does not get room by deleting evidence:
the log fails closed, and an attacker who writes much does not erase what was there before.

The trap is the clock. A segment written while it stood in 1970 looks ancient: here it is as young as the youngest
segment written before it. One dated in the future waits for its date.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

import msgspec

from storage.format import SegmentName

NS_PER_DAY: Final = 24 * 3600 * 1_000_000_000


class State(Enum):
    """What a segment's suffix says of it."""

    OPEN = "open"
    SEALED = "sealed"
    RECOVERED = "recovered"


class Policy(msgspec.Struct, frozen=True):
    """None: no such limit. Both None: nothing is ever deleted."""

    max_age_ns: int | None = None
    max_bytes: int | None = None  # of the directory of one log, all its files that belong to segments
    require_export: bool = True


class SegmentFacts(msgspec.Struct, frozen=True):
    """One segment as retention sees it.

    size_bytes: with all that lies beside it. ended_ns: UTC nanoseconds, not before its last commit.
    """

    name: SegmentName
    state: State
    size_bytes: int
    ended_ns: int
    exported: bool  # its copy in S3 was verified
    covered: bool  # a signed checkpoint has its manifest; True where there is no tree at all


class Choice(msgspec.Struct, frozen=True):
    """What becomes of one segment. reason: the limit that makes it due, "" when none does.
    against: everything that stands against its deletion."""

    facts: SegmentFacts
    reason: str
    against: tuple[str, ...]

    @property
    def delete(self) -> bool:
        return bool(self.reason) and not self.against


def decide(
    policy: Policy,
    segments: Sequence[SegmentFacts],
    now_ns: int,
    vetoes: Callable[[SegmentFacts], Sequence[str]],
) -> list[Choice]:
    """One choice a segment, in order of number. segments: all of one log that are on the disk.

    vetoes: what else stands against a deletion, legal holds above all; asked only for what nothing else keeps,
    because to answer may take a look into the segment and the index.
    """
    ordered = sorted(segments, key=lambda facts: facts.name)
    excess_bytes = sum(facts.size_bytes for facts in ordered) - (policy.max_bytes or 0)
    choices = []
    for facts, ended_ns in zip(ordered, _credible_ends(ordered, now_ns), strict=True):
        reason = ""
        if policy.max_age_ns is not None and now_ns - ended_ns > policy.max_age_ns:
            reason = f"older than {_days(policy.max_age_ns)}"
        elif policy.max_bytes is not None and excess_bytes > 0:
            reason = f"its log is larger than {policy.max_bytes} bytes"
        against = _against(policy, facts, is_newest=facts is ordered[-1])
        if reason and not against:
            against = tuple(vetoes(facts))
        choice = Choice(facts, reason, against)
        if choice.delete:
            excess_bytes -= facts.size_bytes
        choices.append(choice)
    return choices


def _against(policy: Policy, facts: SegmentFacts, *, is_newest: bool) -> tuple[str, ...]:
    found = []
    if is_newest:
        found.append("the newest: the next start continues its numbers")
    if facts.state is State.OPEN:
        found.append("still open")
    if not facts.covered:
        found.append("no signed checkpoint covers it yet")
    if policy.require_export and not facts.exported:
        found.append("not verified in S3 yet")
    return tuple(found)


def _credible_ends(ordered: Sequence[SegmentFacts], now_ns: int) -> list[int]:
    """When each segment ended, corrected by what was written before it."""
    ends, latest_ns = [], 0
    for facts in ordered:
        ends.append(max(facts.ended_ns, latest_ns))
        if facts.ended_ns <= now_ns:
            latest_ns = max(latest_ns, facts.ended_ns)
    return ends


def _days(age_ns: int) -> str:
    days = age_ns / NS_PER_DAY
    return f"{days:g} day{'' if days == 1 else 's'}"
