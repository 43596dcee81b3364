"""Applies a tree of steps to a decoded value, in place. Knows JSON, not Kubernetes."""

from collections import Counter
from collections.abc import Iterator

from gateway.policy.masking.hiding import hide
from gateway.policy.masking.paths import Node


def step_into(
    container: dict[str, object] | list[object],
    key: str | int,
    child: Node,
    counts: Counter[str],
    *,
    encoded: bool,
) -> None:
    """Hide one member of a map or list, or walk on into it."""
    value = container[key]  # type: ignore[call-overload]  # a str for a dict, an int for a list
    if child.rule:
        container[key] = hide(value, child.rule, counts, encoded=encoded)  # type: ignore[call-overload]
    else:
        walk(value, child, counts, encoded=encoded)


def walk(value: object, node: Node, counts: Counter[str], *, encoded: bool = False) -> None:
    """Hide everything below `value` that the node names.

    encoded: strings are base64. counts: one per value hidden. Raises RecursionError for absurd depth.
    """
    if isinstance(value, dict):
        for key, child in node.keys.items():
            if key in value:
                step_into(value, key, child, counts, encoded=encoded)
        if node.any_key is not None:
            for key in value:
                step_into(value, key, node.any_key, counts, encoded=encoded)
        if node.any_depth is not None:
            for inner in containers_in(value):
                walk(inner, node.any_depth, counts, encoded=encoded)
    elif isinstance(value, list):
        if node.any_item is not None:
            for index in range(len(value)):
                step_into(value, index, node.any_item, counts, encoded=encoded)
        if node.keys or node.any_key is not None or node.any_depth is not None:
            for item in value:
                walk(item, node, counts, encoded=encoded)


def containers_in(value: object) -> Iterator[object]:
    """The value and every map and list in it."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner
        else:
            continue
        yield inner
