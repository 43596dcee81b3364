"""A gateway with a policy of an attack's own."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.config import PolicySettings, Settings

HEAD = "apiVersion: kubetape/v1\nkind: Policy\nmetadata: {name: p}\nrules:\n"


def under_policy(*rules: str) -> Callable[[Settings], Settings]:
    """For `Attack.change`. rules: each in flow style, `{name: a, match: {...}, action: allow}`."""

    def change(settings: Settings) -> Settings:
        directory = Path(settings.record.dir).parent / "policy"
        directory.mkdir(exist_ok=True)
        (directory / "p.yaml").write_text(HEAD + "".join(f"- {rule}\n" for rule in rules))
        return msgspec.structs.replace(settings, policy=PolicySettings(dir=str(directory)))

    return change
