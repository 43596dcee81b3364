"""Applies a tree of steps to a decoded value, in place. Knows JSON, not Kubernetes."""

from collections import Counter
from collections.abc import Iterator

from gateway.policy.masking.hiding import hide
from gateway.policy.masking.paths import Node


def masked_member(value: object, child: Node, counts: Counter[str], *, encoded: bool) -> object:
    """A member of a map or list as it may be shown: hidden, or walked through."""
    if child.rule:
        return hide(value, child.rule, counts, encoded=encoded)
    walk(value, child, counts, encoded=encoded)
    return value


def walk(value: object, node: Node, counts: Counter[str], *, encoded: bool = False) -> None:
    """Hide everything below `value` that the node names.

    encoded: strings are base64. counts: one per value hidden. Raises RecursionError for absurd depth.
    """
    if isinstance(value, dict):
        for key, child in node.keys.items():
            if key in value:
                value[key] = masked_member(value[key], child, counts, encoded=encoded)
        if node.any_key is not None:
            for key, member in value.items():
                value[key] = masked_member(member, node.any_key, counts, encoded=encoded)
        if node.any_depth is not None:
            _walk_deep(value, node.any_depth, counts, encoded=encoded)
    elif isinstance(value, list):
        if node.any_item is not None:
            value[:] = [masked_member(item, node.any_item, counts, encoded=encoded) for item in value]
        if node.keys or node.any_key is not None or node.any_depth is not None:
            for item in value:
                walk(item, node, counts, encoded=encoded)


def _walk_deep(value: object, node: Node, counts: Counter[str], *, encoded: bool) -> None:
    """Walk from every map and list in the value; past those where nothing of this name is."""
    is_by_name = node.any_key is None and node.any_item is None and node.any_depth is None
    names = node.keys.keys()
    for inner in containers_in(value):
        if not is_by_name or (isinstance(inner, dict) and not names.isdisjoint(inner)):
            walk(inner, node, counts, encoded=encoded)


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


def nodes_below(nodes: list[Node], name: str) -> list[Node]:
    """One step of a field path or JSON pointer, where a number may be the key of a map or the index of a list."""
    found: list[Node] = []
    for node in nodes:
        children = (node.keys.get(name), node.any_key, node.any_item)
        found += (child for child in children if child is not None)
        if node.any_depth is not None:
            found.append(node)
            found += nodes_below([node.any_depth], name)
        elif name.isdigit() or name == "-":
            found.append(node)  # an index that the path did not say
    return found
