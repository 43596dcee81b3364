"""The seam where a call is decided. Without policy files there is one verdict: allow, and say so.

Allow-all is a mode of its own (`Mode.OBSERVE`), not the absence of a decision: it stands in every record.
"""

from typing import Final

from gateway.policy.model import Action, Facts, Mode, Verdict

OBSERVED: Final = Verdict(action=Action.ALLOW, mode=Mode.OBSERVE)


def decide(facts: Facts) -> Verdict:
    """Decide one call of an identified principal.

    facts: the call exactly as it will be forwarded. Returns a Verdict; never raises: a rule that
    cannot be evaluated is a denial, not an error.
    """
    del facts  # observe mode looks at nothing
    return OBSERVED
