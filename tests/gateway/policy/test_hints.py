"""What a denial says would be allowed."""

import pytest

from gateway.policy.decide import Policy
from gateway.policy.hints import MAX_HINT_CHARACTERS
from tests.kit.policies import facts, grant, policy, rules

POD = "GET /api/v1/namespaces/dev/pods/web"
DELETE = "DELETE /api/v1/namespaces/dev/pods/web"
EXEC = "GET /api/v1/namespaces/dev/pods/web/exec?command=ls"
SRE = "{approvers: {groups: [sre]}}"


@pytest.fixture
def granting() -> Policy:
    return policy(
        "rules:\n"
        "- {name: read, match: {verbs: [get], resources: [pods]}, action: allow}\n"
        f"- {{name: held, match: {{verbs: [delete], groups: [dev]}}, action: {{hold: {SRE}}}}}\n"
        "grants:\n"
        "- name: debug\n"
        "  approvers: {groups: [sre]}\n"
        "  requesters: {groups: [dev], users: [bob]}\n"
        "  maxDuration: 1h\n"
        "  lifts: [held]\n"
        "  rules:\n"
        "  - {name: exec, match: {resources: [pods/exec]}, action: allow}\n"
        "  - {name: rm, match: {verbs: [delete], resources: [pods]}, action: allow}\n"
        "  budgets:\n"
        "  - {deletes: 2, action: freeze}\n"
    )


def test_a_denial_says_what_would_be_allowed() -> None:
    made = rules(
        "{name: a, match: {groups: [dev], verbs: [get, list], resources: [pods], namespaces: ['dev-*', '!dev-x']}, action: allow}",
        "{name: b, match: {groups: [ops], verbs: [delete], resources: [pods]}, action: allow}",
        "{name: c, match: {groups: [dev], resources: [services], names: [web], time: {days: [mon]}}, action: allow}",
        "{name: d, match: {groups: [dev], paths: [/version]}, action: allow}",
        "{name: e, match: {groups: [dev], apiGroups: [batch], verbs: [list]}, when: 'call.follow', action: allow}".replace(
            "call.follow", "call.follow"
        ),
    )
    dev = ("dev",)
    assert (
        made.decide(facts(DELETE, groups=dev)).hint == "you may get, list pods in namespaces dev-*, not dev-x"
    )
    about_nodes = made.decide(facts("GET /api/v1/nodes", groups=dev)).hint
    assert "do anything to services named web (under conditions)" in about_nodes
    assert about_nodes.endswith("do anything to paths /version; and more")
    assert made.decide(facts(DELETE, groups=("nobody",))).hint == ""
    jobs = made.decide(facts("DELETE /apis/batch/v1/namespaces/a/jobs/b", groups=dev)).hint
    assert jobs == "you may list API groups batch (under conditions)"
    everything = rules("{name: a, match: {verbs: [get]}, action: allow}").decide(facts(DELETE)).hint
    assert everything == "you may get everything"


def test_a_hint_is_bounded() -> None:
    names = ", ".join(f"service-{number}-{'x' * 50}" for number in range(9))
    made = rules(f"{{name: a, match: {{verbs: [get], names: [{names}]}}, action: allow}}")
    hint = made.decide(facts(DELETE)).hint
    assert len(hint) <= MAX_HINT_CHARACTERS
    assert hint.endswith("...")


def test_a_denial_names_the_grants_that_would_help_those_who_may_ask(granting: Policy) -> None:
    asked = granting.decide(facts(EXEC, groups=("dev",))).hint
    assert asked == "you may ask for the grant debug; you may get pods"
    assert "ask" in granting.decide(facts(EXEC, user="bob")).hint
    assert "ask" not in granting.decide(facts(EXEC)).hint
    no_use = facts("GET /api/v1/nodes", groups=("dev",))
    assert "ask" not in granting.decide(no_use).hint


def test_anybody_may_ask_where_nobody_is_named() -> None:
    made = policy(
        "grants:\n- {name: g, approvers: {users: [bob]}, maxDuration: 1h, rules: [{name: a, action: allow}]}"
    )
    assert made.decide(facts(POD)).hint == "you may ask for the grant g"
    assert made.decide(facts(POD, grants=(grant("other"),))).hint == "you may ask for the grant g"


def test_no_grant_helps_against_a_rule_that_denies() -> None:
    made = policy(
        "rules: [{name: d, action: deny}]\n"
        "grants:\n- {name: g, approvers: {users: [bob]}, maxDuration: 1h, rules: [{name: a, action: allow}]}"
    )
    verdict = made.decide(facts(POD))
    assert (verdict.reason, verdict.hint) == ("a rule denies this", "")
