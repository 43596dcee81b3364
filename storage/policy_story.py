"""What policy did to one call after the verdict of its Intent, as the call's records tell it. Pure.

Index, lake, sinks and the command line all read holds, masks, typed commands, copied files and budgets from here,
so that they tell one story. Everything can be stored between two runs of a reader.
The trap: a stream of days may be held, masked and typed into without end, so everything kept is bounded, and what
has no room is counted as cut, never silently dropped.
"""

from typing import Final

import msgspec

from storage.records import (
    AnyRecord,
    BudgetCrossed,
    CommandSeen,
    FileCopied,
    Held,
    HoldEnded,
    Masked,
    SubRequest,
    UnknownRecord,
)

MAX_KEPT: Final = 256
"""Holds, rules and counters of one call; a person decides no more than a few."""
MAX_COMMANDS: Final = 10_000
"""Typed lines of one call that readers keep by themselves; the log has them all."""
MAX_FILES: Final = 10_000
MAX_NOTE_CHARS: Final = 1024
MAX_VALUES: Final = 2**31 - 1
"""Of one rule; what a column of 32 bits holds."""

WAITING: Final = "waiting"
"""The result of a hold that has not ended."""
LOST: Final = "unknown"
"""The result of a hold whose gateway ended first."""


class HoldStory(msgspec.Struct, array_like=True):
    """One hold of one call. Times: microseconds since the call began. by: who decided."""

    hold: str
    begun_us: int
    rules: tuple[str, ...] = ()
    joined: bool = False  # the hold was there already
    result: str = WAITING  # or that of HoldEnded, or LOST
    ended_us: int = 0
    by: tuple[str, ...] = ()
    note: str = ""


class PolicyStory(msgspec.Struct, array_like=True):
    """masked: values hidden by each rule. rules: those that acted after the verdict. budgets: counters used up."""

    holds: list[HoldStory] = msgspec.field(default_factory=list)
    masked: dict[str, int] = msgspec.field(default_factory=dict)
    rules: list[str] = msgspec.field(default_factory=list)
    budgets: list[str] = msgspec.field(default_factory=list)
    commands: int = 0
    files: int = 0
    sub_requests: int = 0
    is_cut: bool = False

    def take(self, record: AnyRecord | UnknownRecord) -> bool:
        """One more record of the call, in order. False if it tells nothing of policy."""
        if isinstance(record, Masked):
            self._mask(record)
        elif isinstance(record, Held):
            self._hold(record)
        elif isinstance(record, HoldEnded):
            self._end_hold(record)
        elif isinstance(record, CommandSeen):
            self.commands += 1
            self.is_cut |= self.commands > MAX_COMMANDS
            self._add(self.rules, record.rule)
        elif isinstance(record, FileCopied):
            self.files += 1
            self.is_cut |= self.files > MAX_FILES
        elif isinstance(record, SubRequest):
            self.sub_requests += bool(record.status)  # recorded before, too, with status 0
        elif isinstance(record, BudgetCrossed):
            self._add(self.budgets, record.counter)
            self._add(self.rules, record.rule)
        else:
            return False
        return True

    def abandon(self) -> None:
        """No more records will come: who waited was never answered."""
        for hold in self.holds:
            if hold.result == WAITING:
                hold.result = LOST

    @property
    def masked_values(self) -> int:
        return sum(self.masked.values())

    @property
    def hold_results(self) -> tuple[str, ...]:
        """Each once, in order."""
        return tuple(dict.fromkeys(hold.result for hold in self.holds))

    @property
    def deciders(self) -> tuple[str, ...]:
        """Who approved or denied, each once."""
        return tuple(dict.fromkeys(who for hold in self.holds for who in hold.by))

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who approved, each once."""
        approved = (hold for hold in self.holds if hold.result == "approved")
        return tuple(dict.fromkeys(who for hold in approved for who in hold.by))

    @property
    def held_us(self) -> int:
        """How long the call waited for people, all holds together."""
        return sum(max(0, hold.ended_us - hold.begun_us) for hold in self.holds if hold.ended_us)

    # --- one record each --------------------------------------------------------------------------

    def _mask(self, record: Masked) -> None:
        for rule, count in record.counts:
            if rule in self.masked or len(self.masked) < MAX_KEPT:
                self.masked[rule] = min(self.masked.get(rule, 0) + count, MAX_VALUES)
            else:
                self.is_cut = True

    def _hold(self, record: Held) -> None:
        for rule in record.rules:
            self._add(self.rules, rule)
        if len(self.holds) < MAX_KEPT:
            self.holds.append(HoldStory(record.hold, record.at_us, record.rules, record.joined))
        else:
            self.is_cut = True

    def _end_hold(self, record: HoldEnded) -> None:
        """The newest hold of this id that waits; a hold whose beginning is not here is told all the same."""
        for hold in reversed(self.holds):
            if hold.hold == record.hold and hold.result == WAITING:
                break
        else:
            if len(self.holds) >= MAX_KEPT:
                self.is_cut = True
                return
            hold = HoldStory(record.hold, record.at_us)
            self.holds.append(hold)
        hold.result, hold.ended_us, hold.by = record.result, record.at_us, record.by
        hold.note = record.note[:MAX_NOTE_CHARS]

    def _add(self, names: list[str], name: str) -> None:
        if not name or name in names:
            return
        if len(names) < MAX_KEPT:
            names.append(name)
        else:
            self.is_cut = True
