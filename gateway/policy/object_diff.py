"""Two versions of an object -> what a person would call the difference, as a unified diff of indented JSON. Pure.

Left out is what the server writes by itself and nobody decides about: managedFields, resourceVersion, generation.
"""

import difflib
from typing import Final

import msgspec

from gateway.policy.model import JsonObject

MAX_LINES: Final = 400
MAX_OBJECT_LINES: Final = 20_000
"""Beyond this comparing lines takes seconds; the reader is told the sizes instead."""
_SERVERS_OWN: Final = frozenset(("managedFields", "resourceVersion", "generation"))


def object_diff(before: JsonObject | None, after: JsonObject | None) -> str:
    """Unified diff, "" when nothing differs. None: there is no such object (it is created, or deleted)."""
    old, new = _lines(before), _lines(after)
    if len(old) + len(new) > MAX_OBJECT_LINES:
        return f"(too large to compare: {len(old)} lines before, {len(new)} after)\n"
    found = list(difflib.unified_diff(old, new, "now", "after", lineterm=""))
    cut = [f"... {len(found) - MAX_LINES} more lines"] if len(found) > MAX_LINES else []
    return "".join(f"{line}\n" for line in found[:MAX_LINES] + cut)


def _lines(item: JsonObject | None) -> list[str]:
    if item is None:
        return []
    metadata = item.get("metadata")
    kept = dict(item)
    if isinstance(metadata, dict):
        kept["metadata"] = {key: value for key, value in metadata.items() if key not in _SERVERS_OWN}
    encoded = msgspec.json.encode(kept, order="sorted")
    return msgspec.json.format(encoded, indent=2).decode().splitlines()
