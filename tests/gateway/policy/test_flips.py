"""Which tests of two policies end differently."""

from gateway.policy.flips import Outcome, differs, flipped_cases, outcome_of
from gateway.principal import Principal
from tests.kit.policies import facts, policy, rules

POD = facts("GET /api/v1/namespaces/dev/pods/web")
TEST = "tests:\n- {as: {user: ann}, request: GET /api/v1/pods/x, expect: allow}\n"
ANN_ONLY = policy("rules: [{name: a, match: {users: [ann]}, action: allow}]\n" + TEST)
NOBODY = policy(TEST + "- {as: {user: ann}, request: GET /api/v1/pods/y, expect: allow}\n")


def test_an_outcome_is_what_a_person_notices() -> None:
    made = rules(
        "{name: h, action: {hold: {approvers: {users: [b], groups: [sre], quorum: 2}}}}",
        "{name: m, action: {mask: {paths: [data.x], detectors: [jwt], columns: [C]}}}",
        "{name: s, action: deny, mode: shadow}",
    )
    assert outcome_of(made.decide(POD)) == Outcome(
        "hold", "2 of b, group sre", ("column C", "data.x", "jwt"), "full", ("p/s",), ("p/h", "p/m")
    )


def test_which_of_two_rules_says_so_is_no_difference() -> None:
    assert not differs(Outcome("allow", by=("p/a",)), Outcome("allow", by=("p/b",)))
    assert differs(Outcome("allow"), Outcome("allow", masks=("jwt",)))


def test_each_test_of_both_policies_is_run_once() -> None:
    found = list(flipped_cases(ANN_ONLY, NOBODY))
    assert [(one.case.name, one.old.action, one.new.action) for one in found] == [
        ("ann: GET /api/v1/pods/x", "allow", "deny"),
        ("ann: GET /api/v1/pods/y", "allow", "deny"),
    ]
    assert list(flipped_cases(NOBODY, NOBODY)) == []


def test_somebody_else_may_ask_in_all_of_them() -> None:
    assert list(flipped_cases(ANN_ONLY, NOBODY, Principal("bob", (), "token", "0" * 32))) == []
