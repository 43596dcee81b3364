"""No attack here is one that cannot succeed: each does, against a build without the defence it is about."""

import importlib
import re
from pathlib import Path

import pytest

from tests.bypass import shells, test_s18_s19_floods
from tests.bypass.attack import Attack, OwnScene
from tests.bypass.weakened import PENDING, WEAKENINGS
from tests.bypass.weakening import Weakening


@pytest.mark.parametrize("weak", WEAKENINGS, ids=lambda weak: f"{weak.number} {weak.lost}")
async def test_the_attack_succeeds_against_a_weakened_build(tmp_path: Path, weak: Weakening) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Here the full patience is used up each time, so it is shorter: still several times what is needed.
        patch.setattr(test_s18_s19_floods, "SERVED_S", 0.6)
        patch.setattr(shells, "TALK_S", 0.6)
        weak.weaken(patch)
        with pytest.raises(AssertionError, match=re.escape(weak.breaks)):
            await weak.attack.against(tmp_path)


def attacks() -> dict[str, Attack | OwnScene]:
    """Every attack of the test files here, by its name."""
    found: dict[str, Attack | OwnScene] = {}
    for path in Path(__file__).parent.glob("test_[sd][0-9]*.py"):
        module = importlib.import_module(f"tests.bypass.{path.stem}")
        found.update((name, one) for name, one in vars(module).items() if isinstance(one, Attack | OwnScene))
    return found


def body_of(attack: Attack | OwnScene) -> object:
    return attack.body if isinstance(attack, Attack) else attack.run


def test_every_attack_has_a_build_against_which_it_succeeds() -> None:
    proven = {body_of(weak.attack) for weak in WEAKENINGS}
    assert [name for name, one in attacks().items() if body_of(one) not in proven] == []


def test_every_number_is_tested_or_said_to_be_pending() -> None:
    numbers = {f"S{number:02}" for number in range(1, 26)} | {"D1", "D2", "D3"}
    tested = {weak.number for weak in WEAKENINGS}
    assert tested | set(PENDING) == numbers
    assert tested.isdisjoint(PENDING)


def test_the_table_in_the_readme_names_every_number_and_every_attack() -> None:
    table = (Path(__file__).parent / "README.md").read_text()
    assert [
        number for number in (*(w.number for w in WEAKENINGS), *PENDING) if f"| {number} |" not in table
    ] == []
    assert [name for name in attacks() if f"`{name}`" not in table] == []
