"""Patches on JSON values: JSON patch, merge patch, and strategic merge approximated.

Strategic merge knows the merge keys of the common lists of pods and services and the directives
kubectl sends ($patch, $setElementOrder, $retainKeys, $deleteFromPrimitiveList); other lists are
replaced whole. Server-side apply is a strategic merge too: this stand-in finds no conflicts between
field managers. Source: RFC 6902, RFC 7386, apimachinery strategicpatch.
"""

import copy
from typing import Any, Final

from gateway.demo.standin.replies import Failure, JsonObject, bad_request

MERGE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "secrets": ("name",),
}
_PRIMITIVE_SETS: Final = frozenset({"finalizers"})


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply_merge_patch(merged.get(key), value)
    return merged


def apply_strategic_patch(target: JsonObject, patch: JsonObject) -> JsonObject:
    """Strategic merge with the merge keys above."""
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = copy.deepcopy(target)
    retained = patch.get("$retainKeys")
    if retained is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            current = merged.get(key)
            merged[key] = apply_strategic_patch(current if isinstance(current, dict) else {}, value)
        elif isinstance(value, list):
            merged[key] = _merge_lists(key, merged.get(key), value)
        else:
            merged[key] = value
    return merged


def _merge_lists(field: str, current: Any, patch: list[Any]) -> list[Any]:
    old: list[Any] = current if isinstance(current, list) else []
    if field in _PRIMITIVE_SETS:
        return [*old, *(item for item in patch if item not in old)]
    merge_key = next(
        (
            key
            for key in MERGE_KEYS.get(field, ())
            if any(isinstance(item, dict) and key in item for item in patch)
        ),
        None,
    )
    if merge_key is None or any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in copy.deepcopy(patch) if not (isinstance(item, dict) and "$patch" in item)]
    merged: list[Any] = copy.deepcopy(old)
    for item in patch:
        at = next(
            (index for index, one in enumerate(merged) if one.get(merge_key) == item.get(merge_key)), None
        )
        if item.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(apply_strategic_patch({}, item))
        else:
            merged[at] = apply_strategic_patch(merged[at], item)
    return merged


def apply_json_patch(target: JsonObject, operations: Any) -> JsonObject:
    """RFC 6902. Raises Failure 400 on a malformed patch, 422 where an operation does not apply."""
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    document: Any = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _apply_operation(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise Failure(
                422, "Invalid", "the server rejected our request due to an error in our request"
            ) from error
    if not isinstance(document, dict):
        raise Failure(422, "Invalid", "the patched document is no object")
    return document


def _apply_operation(document: Any, operation: JsonObject) -> Any:
    what, path = operation["op"], _pointer(operation["path"])
    if what in ("move", "copy"):
        source = _pointer(operation["from"])
        value = copy.deepcopy(_lookup(document, source))
        if what == "move":
            document = _remove(document, source)
        return _add(document, path, value)
    if what == "remove":
        return _remove(document, path)
    if what == "add":
        return _add(document, path, operation["value"])
    if what == "replace":
        _lookup(document, path)
        return _add(_remove(document, path), path, operation["value"]) if path else operation["value"]
    if what == "test":
        if _lookup(document, path) != operation["value"]:
            raise ValueError("test failed")
        return document
    raise ValueError("unknown operation")


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise ValueError("a JSON pointer starts with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _lookup(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _lookup(document, path[:-1])
    if isinstance(parent, list):
        index = len(parent) if path[-1] == "-" else int(path[-1])
        if not 0 <= index <= len(parent):
            raise IndexError("no such place in the list")
        parent.insert(index, value)
    else:
        parent[path[-1]] = value
    return document


def _remove(document: Any, path: list[str]) -> Any:
    parent = _lookup(document, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
    return document
