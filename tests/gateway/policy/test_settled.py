"""Verdicts that stand: never another person's, another policy's, nor one that anything else could change."""

import msgspec
import pytest

from gateway.policy.decide import Policy
from gateway.policy.model import Action, Facts, JsonObject, Needs
from gateway.policy.settled import MAX_SETTLED, can_settle
from protocol.known_calls import MAX_KNOWN_TARGET_BYTES, KnownCalls
from tests.kit.policies import NOON_NS, facts, grant, policy, rules

POD = "GET /api/v1/namespaces/dev/pods/web"
CREATE = "POST /api/v1/namespaces/dev/pods"
MINUTE_NS = 60 * 10**9
ALLOW = "{name: a, match: {namespaces: [dev]}, action: allow}"


def decided(made: Policy, asked: Facts) -> Action:
    return made.decide(asked).action


def test_the_same_call_of_the_same_person_is_decided_once() -> None:
    made, asked = rules(ALLOW), facts(POD)
    first = made.decide(asked)
    assert first.action is Action.ALLOW
    later = msgspec.structs.replace(asked, at_ns=NOON_NS + MINUTE_NS, source_address="10.9.9.9")
    assert made.decide(later) is first
    assert made.needs(later) == Needs()
    assert len(made._settled) == 1


@pytest.mark.parametrize(
    "match",
    [
        "users: [ann]",
        "groups: [sre]",
        "issuers: ['https://one']",
        "claims: {team: [web]}",
    ],
)
def test_nobody_is_allowed_what_somebody_else_was(match: str) -> None:
    made = rules(f"{{name: a, match: {{{match}}}, action: allow}}")
    ann = facts(POD, groups=("sre",), issuer="https://one", claims={"team": "web"})
    assert decided(made, ann) is Action.ALLOW
    for other in (
        facts(POD, user="eve"),
        facts(POD, groups=("dev",)),
        facts(POD, issuer="https://two"),
        facts(POD, claims={"team": "db"}),
    ):
        asked = msgspec.structs.replace(other, call=ann.call)
        expected = rules(f"{{name: a, match: {{{match}}}, action: allow}}").decide(asked).action
        assert decided(made, asked) is expected
    assert decided(made, msgspec.structs.replace(facts(POD, user="eve"), call=ann.call)) is Action.DENY


def test_a_call_too_long_to_be_known_again_is_not_held() -> None:
    made, calls = rules(ALLOW), KnownCalls()
    target = b"/api/v1/namespaces/dev/pods?labelSelector=" + b"a" * MAX_KNOWN_TARGET_BYTES
    asked = facts(POD)
    for _ in range(3):
        again = msgspec.structs.replace(asked, call=calls.read(b"GET", target))
        assert decided(made, again) is Action.ALLOW
    assert len(made._settled) == 0


def test_no_other_call_is_allowed_because_one_was() -> None:
    made, asked = rules(ALLOW), facts(POD)
    assert decided(made, asked) is Action.ALLOW
    for target in (
        "GET /api/v1/namespaces/prod/pods/web",
        "GET /api/v1/pods",
        "GET /api/v1/namespaces/prod/pods",
    ):
        other = msgspec.structs.replace(facts(target), principal=asked.principal)
        assert decided(made, other) is Action.DENY


def test_another_policy_decides_anew() -> None:
    asked = facts(POD)
    assert decided(rules(ALLOW), asked) is Action.ALLOW
    assert decided(rules("{name: d, action: {deny: closed}}"), asked) is Action.DENY


@pytest.mark.parametrize(
    ("rule", "now", "then"),
    [
        ("{name: d, match: {time: {from: '13:00', to: '14:00'}}, action: {deny: late}}",
         {}, {"at_ns": NOON_NS + 61 * MINUTE_NS}),
        ("{name: d, match: {sources: [10.9.0.0/16]}, action: {deny: elsewhere}}",
         {}, {"source_address": "10.9.9.9"}),
        ("{name: d, match: {labels: {tier: [db]}}, action: {deny: labelled}}",
         {"old_object": {"metadata": {"labels": {"tier": "web"}}}},
         {"old_object": {"metadata": {"labels": {"tier": "db"}}}}),
        ("{name: d, match: {verbs: [get]}, when: 'has(oldObject.kind)', action: {deny: conditioned}}",
         {"old_object": {}}, {"old_object": {"kind": "Pod"}}),
    ],
)  # fmt: skip
def test_what_a_rule_can_see_differently_is_decided_each_time(
    rule: str, now: dict[str, object], then: dict[str, object]
) -> None:
    made, asked = rules("{name: a, action: allow}", rule), facts(POD)
    assert decided(made, msgspec.structs.replace(asked, **now)) is Action.ALLOW
    assert decided(made, msgspec.structs.replace(asked, **then)) is Action.DENY
    assert len(made._settled) == 0


def test_the_name_in_a_body_is_looked_at_each_time() -> None:
    made = rules("{name: a, action: allow}", "{name: d, match: {names: [crown]}, action: {deny: closed}}")
    asked = facts(CREATE)
    harmless: JsonObject = {"metadata": {"name": "web"}}
    crown: JsonObject = {"metadata": {"name": "crown"}}
    assert decided(made, msgspec.structs.replace(asked, object=harmless)) is Action.ALLOW
    assert decided(made, msgspec.structs.replace(asked, object=crown)) is Action.DENY
    named = facts(POD)
    assert made.decide(named) is made.decide(named)  # by a path that has the name


def test_a_grant_counts_while_it_is_held_and_no_longer() -> None:
    made = policy(
        "grants:\n- {name: fix, approvers: {groups: [sre]}, maxDuration: 1h, "
        "rules: [{name: g, match: {verbs: [delete]}, action: allow}]}\nrules:\n" + f"- {ALLOW}\n"
    )
    plain = facts("DELETE /api/v1/namespaces/prod/pods/web")
    held = msgspec.structs.replace(plain, grants=(grant("fix"),))
    assert decided(made, plain) is Action.DENY
    assert decided(made, held) is Action.ALLOW
    assert decided(made, plain) is Action.DENY
    assert len(made._settled) == 0
    allowed = facts(POD)
    assert decided(made, allowed) is Action.ALLOW
    with_grant = msgspec.structs.replace(allowed, grants=(grant("fix"),))
    assert made.decide(with_grant) is not made.decide(allowed)


def test_denials_and_holds_are_made_anew() -> None:
    made = rules(
        "{name: h, match: {verbs: [get]}, action: {hold: {approvers: {groups: [sre]}}}}",
        "{name: d, match: {verbs: [list]}, action: {deny: closed}}",
    )
    assert decided(made, facts(POD)) is Action.HOLD
    assert decided(made, facts("GET /api/v1/pods")) is Action.DENY
    assert len(made._settled) == 0


@pytest.mark.parametrize(
    "target",
    ["GET /api/v1/namespaces/dev/pods/p/exec?command=-psecret", "GET /api/v1/namespaces/dev/services/s/proxy/?key=secret"],
)  # fmt: skip
def test_nothing_that_may_hold_a_secret_is_kept(target: str) -> None:
    made = rules("{name: a, match: {resources: [pods/exec, services/proxy]}, action: allow}")
    assert decided(made, facts(target)) is Action.ALLOW
    assert len(made._settled) == 0


def test_a_rule_that_does_not_say_what_a_test_looks_at_settles_nothing() -> None:
    (rule,) = rules(ALLOW).rules
    assert can_settle([rule])
    silent = type(rule)(
        rule.id, rule.kind, rule.effects, rule.who, rule.verb, rule.resource, tests=rule.tests
    )
    assert not can_settle([rule, silent])


def test_clients_that_ask_for_ever_new_things_fill_no_memory() -> None:
    made = rules("{name: a, action: allow}")
    kept = [facts(f"GET /api/v1/namespaces/n{number}") for number in range(MAX_SETTLED + 10)]
    for asked in kept:
        assert decided(made, asked) is Action.ALLOW
    assert len(made._settled) == MAX_SETTLED
