"""Why a verdict is what it is: for every rule whether it is about a call, and if not, the first thing that says no."""

from typing import Final

import msgspec

from gateway.policy.decide import Policy
from gateway.policy.model import Facts
from gateway.policy.rule import Answer, Rule

MATCHES: Final = "matches"
IN_DOUBT: Final = "cannot be told"


class Explained(msgspec.Struct, frozen=True):
    """kind: "deny", "hold", "allow" or "other". answer: MATCHES, IN_DOUBT, or what the rule is not about."""

    rule: str
    kind: str
    answer: str
    shadow: bool = False


def explain(policy: Policy, facts: Facts) -> tuple[Explained, ...]:
    """All rules, in the order of the files. Looks at each by itself: what beats what is the verdict's."""
    held = {grant.bundle for grant in facts.grants if grant.expires_ns > facts.at_ns}
    return tuple(
        Explained(rule.id, rule.kind.name.lower(), _answer(rule, facts, held), rule.is_shadow)
        for rule in policy.rules
    )


def _answer(rule: Rule, facts: Facts, held: set[str]) -> str:
    if rule.bundle and rule.bundle not in held:
        return f"needs the grant {rule.bundle}"
    if not rule.who(facts):
        return "another user, group or issuer"
    if not rule.resource(facts):
        return "another resource"
    if not rule.verb(facts):
        return "another verb"
    if any(test(facts) is False for test in rule.tests):
        return "another namespace, claim, path, argv, port, time or source"
    if any(test(facts) is False for test in rule.object_tests):
        return "another name or other labels"
    return _in_words(rule.matches(facts))


def _in_words(answer: Answer) -> str:
    if answer is None:
        return IN_DOUBT
    return MATCHES if answer else "its condition is false"
