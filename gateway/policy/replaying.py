"""One recorded call, what was decided then, and a policy that may be used from now on -> does it flip?"""

import msgspec

from gateway.policy.assembly import ACTIONS
from gateway.policy.decide import Policy
from gateway.policy.hindsight import Doubt, Known, decide_in_hindsight, not_held
from gateway.policy.model import Facts


class Then(msgspec.Struct, frozen=True):
    """What was decided when the call was made, as recorded."""

    action: str  # "allow", "deny" or "hold"
    rules: tuple[str, ...] = ()
    policy_sha256: str = ""


class Word(msgspec.Struct, frozen=True):
    """What happens to a call. by: the rule that says so, "" where none does; rules: all that matched."""

    action: str
    by: str = ""
    rules: tuple[str, ...] = ()


class Replayed(msgspec.Struct, frozen=True):
    """old, new: None where it cannot be told; doubts: then why, of both policies."""

    old: Word | None
    new: Word | None
    doubts: tuple[Doubt, ...] = ()

    @property
    def flips(self) -> bool:
        """Whether something else happens to the call, for sure."""
        return self.old is not None and self.new is not None and self.old.action != self.new.action


def replay(policy: Policy, against: Policy | None, facts: Facts, known: Known, then: Then) -> Replayed:
    """against: the policy to compare with; None: what was decided then."""
    known = _with_grants(policy, against, facts, known, then)
    new, doubts = _word(policy, facts, known)
    if against is None:
        return Replayed(Word(then.action, next(iter(then.rules), ""), then.rules), new, doubts)
    old, old_doubts = _word(against, facts, known)
    return Replayed(old, new, (*doubts, *old_doubts))


def _word(policy: Policy, facts: Facts, known: Known) -> tuple[Word | None, tuple[Doubt, ...]]:
    found = decide_in_hindsight(policy, facts, known)
    verdict = found.verdict
    if verdict is None:
        return None, found.doubts
    kinds = {rule.id: rule.kind for rule in policy.candidates(facts)}
    deciding = (id for id in verdict.rules if ACTIONS.get(kinds[id]) is verdict.action)
    return Word(verdict.action.value, next(deciding, ""), verdict.rules), ()


def _with_grants(policy: Policy, against: Policy | None, facts: Facts, known: Known, then: Then) -> Known:
    """What the verdict of then says about grants, if one of these policies gave it."""
    absent = set(known.not_held)
    for one in (policy, against):
        if one is not None and one.sha256 == then.policy_sha256:
            absent |= not_held(one, facts, known, then.rules)
            absent |= policy.grants.keys() - one.grants.keys()  # nobody could ask for what was not there
    return msgspec.structs.replace(known, not_held=frozenset(absent))
