"""The rules that matched -> one Verdict: deny beats hold beats allow, masks add up, a doubt allows nothing.

All matching rules count. What nothing allows is denied, unless a file says `default: allow`. Rules in shadow mode are
named and do nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway.policy.model import (
    Action,
    ActiveGrant,
    BudgetTerms,
    HoldTerms,
    Mode,
    Scope,
    StreamRules,
    Verdict,
)
from gateway.policy.rule import Answer, Kind, Rule

NOTHING_ALLOWS: Final = "no rule allows this"
ACTIONS: Final = {Kind.DENY: Action.DENY, Kind.HOLD: Action.HOLD, Kind.ALLOW: Action.ALLOW}


class Matched(NamedTuple):
    """A rule, and whether it matched for sure (True) or may have (None)."""

    rule: Rule
    answer: Answer


class Ground(NamedTuple):
    """What a verdict rests on beside the rules. held: bundle -> the grant; lifted: hold rule -> the grant."""

    sha256: str
    default_allows: bool
    held: Mapping[str, ActiveGrant]
    lifted: Mapping[str, ActiveGrant]
    bundle_budgets: Mapping[str, tuple[BudgetTerms, ...]]


def assemble(matched: Sequence[Matched], ground: Ground) -> Verdict:
    """matched: in the order of the files; of rules that allow only those that match for sure."""
    shadow = tuple(found.rule.id for found in matched if found.rule.is_shadow)
    standing = [found for found in matched if not found.rule.is_shadow and found.rule.id not in ground.lifted]
    standing.sort(key=lambda found: found.rule.kind)  # stable: the order of the files within a kind
    rules = [found.rule for found in standing]
    strongest = rules[0].kind if rules else Kind.OTHER
    action = ACTIONS.get(strongest, Action.ALLOW if ground.default_allows else Action.DENY)
    grants = () if action is Action.DENY else _relied_on(rules, action, matched, ground)
    hold = strictest_hold(rules) if action is Action.HOLD else None
    return Verdict(
        action=action,
        mode=Mode.ENFORCE,
        rules=tuple(rule.id for rule in rules),
        policy_sha256=ground.sha256,
        reason=_reason(rules, action, hold),
        hold=hold,
        masks=tuple(rule.effects.mask for rule in rules if rule.effects.mask is not None),
        scope=_scope(standing, action),
        streams=_stream_rules(rules),
        budgets=_budgets(rules, grants, ground),
        shadow=shadow,
        grants=tuple(grant.id for grant in grants),
    )


def strictest_hold(rules: Sequence[Rule]) -> HoldTerms | None:
    """Of several: the highest quorum, then "request" before "command", then the first."""
    terms = [rule.effects.hold for rule in rules if rule.effects.hold is not None]
    return min(terms, key=lambda one: (-one.approvers.quorum, one.scope != "request"), default=None)


def _reason(rules: Sequence[Rule], action: Action, hold: HoldTerms | None) -> str:
    if action is Action.DENY:
        return rules[0].effects.reason if rules and rules[0].kind is Kind.DENY else NOTHING_ALLOWS
    return hold.reason if hold is not None else ""


def _relied_on(
    rules: Sequence[Rule], action: Action, matched: Sequence[Matched], ground: Ground
) -> tuple[ActiveGrant, ...]:
    """The grants without which this would not be the verdict."""
    lifting = [ground.lifted[found.rule.id] for found in matched if found.rule.id in ground.lifted]
    decisive = [rule for rule in rules if rule.kind in ACTIONS and ACTIONS[rule.kind] is action]
    if decisive and all(rule.bundle for rule in decisive) and not ground.default_allows:
        lifting.append(ground.held[decisive[0].bundle])
    return tuple({grant.id: grant for grant in lifting}.values())


def _scope(standing: Sequence[Matched], action: Action) -> Scope:
    narrows = any(found.rule.effects.metadata_only and found.answer for found in standing)
    return Scope.METADATA if narrows and action is Action.ALLOW else Scope.FULL


def _stream_rules(rules: Sequence[Rule]) -> StreamRules:
    """Ports: what any allowing rule opens, less what a rule of another kind does not."""
    opened: set[int] | None = set()
    allowing = [rule.effects.ports for rule in rules if rule.kind is Kind.ALLOW]
    for ports in allowing:
        opened = None if opened is None or ports is None else opened | set(ports)
    if not allowing:
        opened = None
    for rule in rules:
        if rule.kind is not Kind.ALLOW and rule.effects.ports is not None:
            limited = set(rule.effects.ports)
            opened = limited if opened is None else opened & limited
    return StreamRules(
        commands=tuple(command for rule in rules for command in rule.effects.commands),
        files=tuple(file for rule in rules for file in rule.effects.files),
        ports=None if opened is None else tuple(sorted(opened)),
    )


def _budgets(rules: Sequence[Rule], grants: Sequence[ActiveGrant], ground: Ground) -> tuple[BudgetTerms, ...]:
    own = tuple(terms for rule in rules for terms in rule.effects.budgets)
    return own + tuple(terms for grant in grants for terms in ground.bundle_budgets.get(grant.bundle, ()))
