"""What a policy would have said to a call that is long over, from what was recorded of it; or why that cannot be told.

A record holds the call, who made it, what was sent, when and from where. It does not hold the claims of the token, the
object as it was in the cluster, or grants the verdict did not need. A rule that may depend on those, and that is not
ruled out by anything else, is unknown; where unknown rules could change what happens to the call, nothing is guessed.
The trap: in the data path a doubt counts against the call (`assembly`); here it must count as a doubt.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from gateway.policy.assembly import ACTIONS, Matched, assemble
from gateway.policy.decide import Policy
from gateway.policy.model import Action, Facts, Verdict
from gateway.policy.rule import Kind, Rule, Test, carries_object
from gateway.policy.self_review import review_kind
from protocol.apicall import Call

CLAIMS: Final = "the claims of the token"
OLD_OBJECT: Final = "the object as it was in the cluster"
SENT: Final = "what was sent"
GRANT: Final = "to know whether a grant was held"

_WITHOUT_OLD: Final = frozenset(("list", "watch", "proxy"))
_DELETING: Final = frozenset(("delete", "deletecollection"))


class Known(msgspec.Struct, frozen=True):
    """What the record says beside the facts. body: whether all that was sent is there (or nothing was sent).

    Bundles that were held are in the facts. all_grants: no others were; not_held: these were not. Of the rest it is not
    known.
    """

    body: bool = True
    not_held: frozenset[str] = frozenset()
    all_grants: bool = False


class Doubt(msgspec.Struct, frozen=True):
    """A rule of which it cannot be told whether it was about the call, and what is missing: CLAIMS, ..."""

    rule: str
    missing: str


class Hindsight(msgspec.Struct, frozen=True):
    """verdict: None where it cannot be told; doubts: then the rules that could change it."""

    verdict: Verdict | None
    doubts: tuple[Doubt, ...] = ()


def decide_in_hindsight(policy: Policy, facts: Facts, known: Known) -> Hindsight:
    """facts: without claims and old object; grants: those known to have been held.

    Only what happens to the call is sure in the verdict: its rules are those that matched for sure.
    """
    lifters = _lifters(policy)
    matched, unknown = [], []
    for rule in policy.candidates(facts):
        bundles = frozenset((rule.bundle,)) if rule.bundle else frozenset()
        if bundles and not bundles & _held(facts) and not _may_be_held(bundles, facts, known):
            continue
        if _surely_not(rule, facts, known):
            continue
        missing = _missing(rule, facts, known, lifters)
        if missing:
            unknown.append((rule, missing))
            continue
        answer = rule.matches(facts)
        if answer or (answer is None and rule.kind is not Kind.ALLOW):
            matched.append(Matched(rule, answer))
    ground = policy.ground(facts)
    verdict = _as_review(assemble(matched, ground), facts)
    standing = [one.rule for one in matched if not one.rule.is_shadow and one.rule.id not in ground.lifted]
    strongest = min((rule.kind for rule in standing), default=Kind.OTHER)
    doubts = tuple(
        Doubt(rule.id, missing)
        for rule, missing in unknown
        if not rule.is_shadow and rule.kind < strongest and ACTIONS[rule.kind] is not verdict.action
    )
    return Hindsight(None, doubts) if doubts else Hindsight(verdict)


def not_held(policy: Policy, facts: Facts, known: Known, rules: tuple[str, ...]) -> frozenset[str]:
    """Bundles of this policy, which decided the call when it was made, that the verdict of then shows were not held:
    one of their rules is about the call and does not stand in it, or a hold they lift does. rules: of that verdict."""
    found = {bundle for bundle, terms in policy.grants.items() if set(terms.lifts) & set(rules)}
    for rule in policy.candidates(facts):
        if rule.bundle and rule.id not in rules and not rule.is_shadow:
            if not _missing_facts(rule, facts, known) and rule.matches(facts):
                found.add(rule.bundle)
    return frozenset(found)


def _as_review(verdict: Verdict, facts: Facts) -> Verdict:
    """What somebody may do is told to anybody, as in the data path."""
    if verdict.action is Action.DENY and not verdict.rules and review_kind(facts.call):
        return msgspec.structs.replace(verdict, action=Action.ALLOW, reason="")
    return verdict


def _lifters(policy: Policy) -> Mapping[str, frozenset[str]]:
    """Of every hold rule that can be lifted: by which bundles."""
    found: dict[str, set[str]] = {}
    for bundle, terms in policy.grants.items():
        for rule in terms.lifts:
            found.setdefault(rule, set()).add(bundle)
    return {rule: frozenset(bundles) for rule, bundles in found.items()}


def _may_be_held(bundles: frozenset[str], facts: Facts, known: Known) -> bool:
    """Whether the person may have held one of these beside those that are known."""
    return not known.all_grants and bool(bundles - known.not_held - _held(facts))


def _held(facts: Facts) -> frozenset[str]:
    return frozenset(grant.bundle for grant in facts.grants)


def _missing(rule: Rule, facts: Facts, known: Known, lifters: Mapping[str, frozenset[str]]) -> str:
    """What would have to be known to tell whether a rule was about the call; "" for nothing."""
    bundles = frozenset((rule.bundle,)) if rule.bundle else lifters.get(rule.id, frozenset())
    if not bundles & _held(facts) and _may_be_held(bundles, facts, known):
        return GRANT
    return _missing_facts(rule, facts, known)


def _missing_facts(rule: Rule, facts: Facts, known: Known) -> str:
    if rule.uses_claims:
        return CLAIMS
    if rule.needs_old_object and _had_old_object(facts.call):
        return OLD_OBJECT
    return SENT if not known.body and _looks_at_body(rule, facts) else ""


def _had_old_object(call: Call) -> bool:
    return call.is_resource and bool(call.name) and call.verb not in _WITHOUT_OLD


def _looks_at_body(rule: Rule, facts: Facts) -> bool:
    if facts.call.verb in _DELETING:
        return rule.needs_options
    wants = rule.needs_object or (rule.needs_name and not facts.call.name)
    return wants and carries_object(facts)


def _surely_not(rule: Rule, facts: Facts, known: Known) -> bool:
    """Whether something that is known rules it out, whatever is not."""
    if any(test(facts) is False for test in _sure_tests(rule)):
        return True
    is_known = not _missing_facts(rule, facts, known)
    return is_known and rule.matches(facts) is False


def _sure_tests(rule: Rule) -> Iterator[Test]:
    for field, test in zip(rule.fields, (*rule.tests, *rule.object_tests), strict=True):
        if field not in ("claims", "labels"):
            yield test
