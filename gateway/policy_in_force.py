"""The policy that decides now: that of the files, or observe mode where there are none.

Observe mode is a state of its own and says so in every record; files that cannot be read never lead to it.
"""

from gateway.policy.decide import OBSERVED, Policy
from gateway.policy.masking.masker import Masker, masker_for
from gateway.policy.model import Action, Mask, Mode, Verdict
from gateway.policy_source import PolicySource


class PolicyInForce:
    """source: None is observe mode."""

    def __init__(self, source: PolicySource | None = None) -> None:
        self.source = source
        self._cautious_of: Policy | None = None
        self._cautious = masker_for(())

    @property
    def current(self) -> Policy | None:
        """None: observe mode. Of files, the last that were good (there is one since the start)."""
        return self.source.current if self.source is not None else None

    @property
    def mode(self) -> Mode:
        return Mode.OBSERVE if self.source is None else Mode.ENFORCE

    @property
    def sha256(self) -> str:
        policy = self.current
        return policy.sha256 if policy is not None else ""

    @property
    def unjudged(self) -> Verdict:
        """What stands in the record of a call that was refused before any rule was looked at."""
        if self.source is None:
            return OBSERVED
        return Verdict(Action.DENY, Mode.ENFORCE, policy_sha256=self.sha256)

    @property
    def cautious_masker(self) -> Masker:
        """For the record of a call that was refused before any rule was looked at: every detector any rule names."""
        policy = self.current
        if policy is not self._cautious_of:
            masks = _all_detectors(policy) if policy is not None else ()
            detectors = policy.detectors if policy is not None else ()
            self._cautious_of, self._cautious = policy, masker_for(masks, detectors)
        return self._cautious

    def problem(self) -> str:
        """One line for readyz."""
        return self.source.problem() if self.source is not None else ""


def _all_detectors(policy: Policy) -> tuple[Mask, ...]:
    masks = (rule.effects.mask for rule in policy.rules)
    return tuple(Mask(mask.rule, detectors=mask.detectors) for mask in masks if mask and mask.detectors)
