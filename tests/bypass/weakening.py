"""One way to weaken the product, and the attack that succeeds then."""

from dataclasses import dataclass

from tests.bypass.attack import Attack, OwnScene
from tests.bypass.editing import Weaken


@dataclass(frozen=True)
class Weakening:
    """number: of the attack ("S01"). lost: the defence that is gone, in words. breaks: words of the assertion that
    must fail, so that a build that merely does not work is not taken for one that is weak."""

    number: str
    lost: str
    attack: Attack | OwnScene
    breaks: str
    weaken: Weaken
