"""Which rule a denial comes from. Pure.

The trap: rules that mask or count match too, so the first rule of a denial is not always one that denies.
"""

from gateway.policy.assembly import NOTHING_ALLOWS
from gateway.policy.model import Action, Verdict


def denying_rule(verdict: Verdict) -> str:
    """The id of the rule that denies; "" when the call is not denied, or denied because nothing allows it."""
    if verdict.action is not Action.DENY or verdict.reason == NOTHING_ALLOWS or not verdict.rules:
        return ""
    return verdict.rules[0]
