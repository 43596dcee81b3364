"""Why each rule is, or is not, about a call."""

import pytest

from gateway.policy.explain import explain
from tests.kit.policies import facts, grant, policy, rules

POD = "GET /api/v1/namespaces/dev/pods/web"


@pytest.mark.parametrize(
    ("rest", "answer"),
    [
        ("", "matches"),
        ("match: {users: [bob]}", "another user, group or issuer"),
        ("match: {resources: [nodes]}", "another resource"),
        ("match: {verbs: [list]}", "another verb"),
        ("match: {namespaces: [prod]}", "another namespace"),
        ("match: {names: [db]}", "another name"),
        ("match: {labels: {a: [b]}}", "cannot be told"),
        ("when: call.tty", "its condition is false"),
    ],
)
def test_the_first_thing_that_says_no_is_named(rest: str, answer: str) -> None:
    made = rules(f"{{name: a, action: deny, mode: shadow, {rest}}}")
    (found,) = explain(made, facts(POD))
    assert (found.rule, found.kind, found.answer, found.shadow) == ("p/a", "deny", answer, True)


def test_rules_of_a_grant_need_it() -> None:
    made = policy(
        "grants:\n- {name: g, approvers: {users: [b]}, maxDuration: 1h, rules: [{name: a, action: allow}]}"
    )
    assert [one.answer for one in explain(made, facts(POD))] == ["needs the grant g"]
    assert [one.answer for one in explain(made, facts(POD, grants=(grant("g"),)))] == ["matches"]
