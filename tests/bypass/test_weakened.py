"""No attack here is one that cannot succeed: each does, against a build without the defence it is about."""

import re
from pathlib import Path

import pytest

from tests.bypass.weakened import WEAKENINGS
from tests.bypass.weakening import Weakening


@pytest.mark.parametrize("weak", WEAKENINGS, ids=lambda weak: f"{weak.number} {weak.lost}")
async def test_the_attack_succeeds_against_a_weakened_build(tmp_path: Path, weak: Weakening) -> None:
    with pytest.MonkeyPatch.context() as patch:
        weak.weaken(patch)
        with pytest.raises(AssertionError, match=re.escape(weak.breaks)):
            await weak.attack.against(tmp_path)
