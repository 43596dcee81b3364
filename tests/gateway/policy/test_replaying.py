"""A recorded call under another policy."""

from gateway.policy.hindsight import CLAIMS, Doubt, Known
from gateway.policy.replaying import Replayed, Then, Word, replay
from tests.kit.policies import facts, policy, rules

POD = facts("GET /api/v1/namespaces/dev/pods/web")
ALLOW = rules("{name: a, action: allow}", "{name: m, action: {record: metadata}}")
DENY = rules("{name: d, action: deny}")
CLAIM = rules("{name: c, match: {claims: {a: [b]}}, action: allow}")
GRANT = policy(
    "grants: [{name: g, approvers: {users: [b]}, maxDuration: 1h, rules: [{name: r, action: allow}]}]"
)


def test_what_was_decided_then_is_compared_with_the_policy() -> None:
    found = replay(DENY, None, POD, Known(), Then("allow", ("x/y",)))
    assert found == Replayed(Word("allow", "x/y", ("x/y",)), Word("deny", "p/d", ("p/d",)))
    assert found.flips
    assert not replay(ALLOW, None, POD, Known(), Then("allow")).flips


def test_a_call_that_nothing_allows_any_more_has_no_rule_to_name() -> None:
    found = replay(policy(""), None, POD, Known(), Then("allow"))
    assert found == Replayed(Word("allow"), Word("deny"))


def test_two_policies_are_compared_by_themselves() -> None:
    found = replay(ALLOW, DENY, POD, Known(), Then("hold"))
    assert found == Replayed(Word("deny", "p/d", ("p/d",)), Word("allow", "p/a", ("p/a", "p/m")))
    assert found.flips


def test_what_cannot_be_told_of_either_is_no_flip() -> None:
    doubt = (Doubt("p/c", CLAIMS),)
    assert replay(CLAIM, ALLOW, POD, Known(), Then("allow")).doubts == doubt
    old = replay(ALLOW, CLAIM, POD, Known(), Then("allow"))
    assert (old.old, old.doubts, old.flips) == (None, doubt, False)


def test_the_policy_of_then_tells_who_held_no_grant() -> None:
    assert replay(GRANT, None, POD, Known(), Then("deny")).doubts
    assert replay(GRANT, None, POD, Known(), Then("deny", (), GRANT.sha256)).new == Word("deny")
    assert replay(GRANT, DENY, POD, Known(), Then("deny", (), DENY.sha256)).new == Word("deny")
