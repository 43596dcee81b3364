"""Which client programs are here: kubectls of several releases, the Python and the Node client.

Where kubectls are looked for: KUBETAPE_KUBECTLS (paths joined with colons), `kubectl` of PATH and its
siblings `kubectl.*` and `kubectl1.*` beside the resolved file, and what `install` unpacked into .cache.
"""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
NODE_CLIENT = CACHE / "node"
GENERATION = re.compile(r"v1\.([0-9]+)\.([0-9]+)")


class Kubectl(msgspec.Struct, frozen=True):
    """One binary. minor, patch: of its version 1.minor.patch. name: unique, for test ids."""

    path: Path
    minor: int
    patch: int
    name: str


@cache
def find_kubectls() -> tuple[Kubectl, ...]:
    """Every kubectl found, oldest first."""
    candidates = [Path(word) for word in os.environ.get("KUBETAPE_KUBECTLS", "").split(":") if word]
    if on_path := shutil.which("kubectl"):
        resolved = Path(on_path).resolve()
        candidates += [
            resolved,
            *sorted(resolved.parent.glob("kubectl.*")),
            *sorted(resolved.parent.glob("kubectl1.*")),
        ]
    candidates += sorted(CACHE.glob("kubectl.*"))
    found: dict[Path, Kubectl] = {}
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK) and (version := _version(path)):
            found.setdefault(
                path.resolve(), Kubectl(path, *version, f"1.{version[0]}.{version[1]}-{path.name}")
            )
    return tuple(sorted(found.values(), key=lambda one: (one.minor, one.patch, one.name)))


def in_full() -> tuple[Kubectl, ...]:
    """The oldest, a middle and the newest kubectl: the ones that run every step."""
    everyone = find_kubectls()
    return tuple(dict.fromkeys(everyone[at] for at in (0, len(everyone) // 2, -1))) if everyone else ()


def in_short() -> tuple[Kubectl, ...]:
    """The others."""
    return tuple(one for one in find_kubectls() if one not in in_full())


def find_node() -> str | None:
    """The path of node if the Node client is installed, else None."""
    node = shutil.which("node")
    return node if node and (NODE_CLIENT / "node_modules" / "@kubernetes" / "client-node").is_dir() else None


def _version(path: Path) -> tuple[int, int] | None:
    """What a binary says it is; remembered beside it in .cache, as asking eleven takes a second."""
    memory = CACHE / "versions.json"
    known = json.loads(memory.read_text()) if memory.is_file() else {}
    key = f"{path}@{path.stat().st_mtime_ns}"
    if key not in known:
        try:
            said = subprocess.run(
                [path, "version", "--client"], capture_output=True, text=True, timeout=30
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            said = ""
        match = GENERATION.search(said)
        known[key] = [int(match[1]), int(match[2])] if match else None
        if CACHE.is_dir():
            memory.write_text(json.dumps(known))
    version = known[key]
    return (version[0], version[1]) if version else None
