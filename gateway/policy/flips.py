"""Two policies and one call: does it end differently? Also for all tests that stand in the files of both.

Looked at is what a person notices: whether the call is allowed, denied or held, by whom it is decided, what is hidden,
and how much is recorded; not which of two rules said so.
"""

from collections.abc import Iterator

import msgspec

from gateway.policy.cases import Case
from gateway.policy.decide import Policy
from gateway.policy.model import Verdict
from gateway.principal import Principal


class Outcome(msgspec.Struct, frozen=True):
    """What a verdict does. approvers: "2 of group sre", where it holds. by: the rules that matched, strongest first."""

    action: str
    approvers: str = ""
    masks: tuple[str, ...] = ()
    scope: str = "full"
    shadow: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


class CaseFlip(msgspec.Struct, frozen=True):
    """A test that ends differently."""

    case: Case
    old: Outcome
    new: Outcome


def outcome_of(verdict: Verdict) -> Outcome:
    approvers = ""
    if verdict.hold is not None:
        who = verdict.hold.approvers
        names = (*who.users, *(f"group {name}" for name in who.groups))
        approvers = f"{who.quorum} of {', '.join(names)}"
    return Outcome(
        action=verdict.action.value,
        approvers=approvers,
        masks=tuple(sorted(_hidden(verdict))),
        scope=verdict.scope.value,
        shadow=tuple(sorted(verdict.shadow)),
        by=verdict.rules,
    )


def differs(old: Outcome, new: Outcome) -> bool:
    """Whether anybody would notice."""
    return msgspec.structs.replace(old, by=()) != msgspec.structs.replace(new, by=())


def flipped_cases(old: Policy, new: Policy, person: Principal | None = None) -> Iterator[CaseFlip]:
    """The tests of both policies, each once, that end differently. person: asks in all of them, instead of whom they
    name."""
    seen = set()
    for case in (*old.tests, *new.tests):
        facts = case.facts if person is None else msgspec.structs.replace(case.facts, principal=person)
        key = msgspec.json.encode(facts, order="sorted")
        if key in seen:
            continue
        seen.add(key)
        before, after = outcome_of(old.decide(facts)), outcome_of(new.decide(facts))
        if differs(before, after):
            yield CaseFlip(case, before, after)


def _hidden(verdict: Verdict) -> set[str]:
    """What is masked, whichever rule says so."""
    return {
        text
        for mask in verdict.masks
        for text in (*mask.paths, *mask.detectors, *(f"column {column}" for column in mask.columns))
    }
