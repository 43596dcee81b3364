"""A gateway whose policy allows everything but what the pack no-escape bars, and packs that lack a rule."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import pytest

from gateway import decision_parts
from gateway.config import PolicySettings, Settings
from gateway.policy_packs import read_packs
from tests.bypass.editing import Weaken

OPEN = "apiVersion: kubetape/v1\nkind: Policy\nmetadata: {name: open}\ndefault: allow\n"


def under_no_escape(settings: Settings) -> Settings:
    """For `Attack.change`."""
    directory = Path(settings.record.dir).parent / "policy"
    directory.mkdir(exist_ok=True)
    (directory / "open.yaml").write_text(OPEN)
    return msgspec.structs.replace(settings, policy=PolicySettings(str(directory), ["no-escape"]))


def without(*rules: str) -> Weaken:
    """Packs that lack these rules, each of which must be there."""

    def read(names: Iterable[str]) -> Mapping[str, bytes]:
        return {name: _cut(text.decode(), rules).encode() for name, text in read_packs(names).items()}

    def apply(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(decision_parts, "read_packs", read)

    return apply


def _cut(text: str, rules: tuple[str, ...]) -> str:
    """Without the tests, too, which name what is gone."""
    text = text.partition("\ntests:\n")[0] + "\n"
    for rule in rules:
        text, found = re.subn(rf"(?m)^- name: {rule}\n(?:  .*\n)+", "", text)
        assert found == 1, f"the pack no longer has the rule {rule}"
    return text
