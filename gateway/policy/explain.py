"""Why a verdict is what it is: for every rule whether it is about a call, and if not, the first thing that says no."""

from typing import Final

import msgspec

from gateway.policy.decide import Policy
from gateway.policy.model import Facts
from gateway.policy.rule import Rule

MATCHES: Final = "matches"
IN_DOUBT: Final = "cannot be told"


_IN_WORDS: Final = {
    "namespaces": "namespace",
    "claims": "claim",
    "paths": "path",
    "argv": "argv",
    "ports": "ports",
    "tty": "tty",
    "stdin": "stdin",
    "sources": "source",
    "time": "time",
    "names": "name",
    "labels": "labels",
}


class Explained(msgspec.Struct, frozen=True):
    """kind: "deny", "hold", "allow" or "other". answer: MATCHES, IN_DOUBT, or what the rule is not about.

    is_near: it is about this person, verb and resource, and the answer is all that keeps it from this call.
    """

    rule: str
    kind: str
    answer: str
    shadow: bool = False
    is_near: bool = False


def explain(policy: Policy, facts: Facts) -> tuple[Explained, ...]:
    """All rules, in the order of the files. Looks at each by itself: what beats what is the verdict's."""
    held = {grant.bundle for grant in facts.grants if grant.expires_ns > facts.at_ns}
    return tuple(_explain_one(rule, facts, held) for rule in policy.rules)


def _explain_one(rule: Rule, facts: Facts, held: set[str]) -> Explained:
    far = _far(rule, facts)
    answer = far or _close(rule, facts, held)
    is_near = not far and answer not in (MATCHES, IN_DOUBT)
    return Explained(rule.id, rule.kind.name.lower(), answer, rule.is_shadow, is_near)


def _far(rule: Rule, facts: Facts) -> str:
    """What says no before anything of the call itself is looked at, "" for nothing."""
    if not rule.who(facts):
        return "another user, group or issuer"
    if not rule.resource(facts):
        return "another resource"
    return "" if rule.verb(facts) else "another verb"


def _close(rule: Rule, facts: Facts, held: set[str]) -> str:
    for field, test in zip(rule.fields, (*rule.tests, *rule.object_tests), strict=True):
        if test(facts) is False:
            return f"another {_IN_WORDS[field]}"
    answer = rule.matches(facts)
    if answer is False:
        return "its condition is false"
    if rule.bundle and rule.bundle not in held:
        return f"needs the grant {rule.bundle}"
    return MATCHES if answer else IN_DOUBT
