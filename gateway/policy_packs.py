"""The policies that come with kubetape (`gateway/policy/packs/*.yaml`), by name. Conduct: reads package data.

A pack is an ordinary policy file under the name `packs/NAME.yaml`, which no file of a directory can have.
"""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Final

from gateway.errors import GatewayError
from gateway.strict_yaml import nearest

SUFFIX: Final = ".yaml"
_PACKS: Final = files("gateway.policy") / "packs"


class UnknownPack(GatewayError):
    """There is no pack of this name; the message says which there are."""


def pack_names() -> tuple[str, ...]:
    """In alphabetical order."""
    names = (entry.name for entry in _PACKS.iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def read_pack(name: str) -> bytes:
    """The text of one pack. Raises UnknownPack."""
    names = pack_names()
    if name not in names:
        raise UnknownPack(
            f"there is no policy pack {name!r}{nearest(name, names)}; there are {', '.join(names)}"
        )
    return (_PACKS / f"{name}{SUFFIX}").read_bytes()


def read_packs(names: Iterable[str]) -> Mapping[str, bytes]:
    """Packs as policy files, each once. Raises UnknownPack."""
    return {f"packs/{name}{SUFFIX}": read_pack(name) for name in names}
