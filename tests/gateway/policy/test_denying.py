"""A denial is pinned on a rule only if a rule denies."""

import pytest

from gateway.policy.assembly import NOTHING_ALLOWS
from gateway.policy.denying import denying_rule
from gateway.policy.model import Action, Mode, Verdict


@pytest.mark.parametrize(
    ("action", "rules", "reason", "rule"),
    [
        (Action.DENY, ("p/deny", "p/mask"), "why", "p/deny"),
        (Action.DENY, ("p/mask",), NOTHING_ALLOWS, ""),
        (Action.DENY, (), NOTHING_ALLOWS, ""),
        (Action.DENY, (), "the policy could not be evaluated (ValueError)", ""),
        (Action.HOLD, ("p/hold",), "", ""),
    ],
)
def test_only_a_rule_that_denies_is_named(
    action: Action, rules: tuple[str, ...], reason: str, rule: str
) -> None:
    assert denying_rule(Verdict(action, Mode.ENFORCE, rules, reason=reason)) == rule
