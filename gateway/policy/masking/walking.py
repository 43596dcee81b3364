"""Applies a tree of steps to a decoded value, in place. Knows JSON, not Kubernetes."""

from collections import Counter
from collections.abc import Container, Iterator

from gateway.policy.masking.hiding import hide
from gateway.policy.masking.paths import Node


def walk(value: object, node: Node, counts: Counter[str], *, encoded: bool = False) -> None:
    """Hide everything below `value` that the node names.

    encoded: strings are base64. counts: one per value hidden. Raises RecursionError for absurd depth.
    """
    if isinstance(value, dict):
        for key, child in node.keys.items():
            if key not in value:
                continue
            if child.rule:
                value[key] = hide(value[key], child.rule, counts, encoded=encoded)
            else:
                walk(value[key], child, counts, encoded=encoded)
        if node.any_key is not None:
            for key, member in value.items():
                value[key] = _walked(member, node.any_key, counts, encoded)
        if node.any_depth is not None:
            _walk_deep(value, node.any_depth, counts, encoded=encoded)
    elif isinstance(value, list):
        if node.any_item is not None:
            value[:] = [_walked(item, node.any_item, counts, encoded) for item in value]
        if node.keys or node.any_key is not None or node.any_depth is not None:
            for item in value:
                walk(item, node, counts, encoded=encoded)


def _walked(value: object, node: Node, counts: Counter[str], encoded: bool) -> object:
    """What stands in the place of a value that a node is about: the value itself, where only parts of it are hidden."""
    if node.rule:
        return hide(value, node.rule, counts, encoded=encoded)
    walk(value, node, counts, encoded=encoded)
    return value


def _walk_deep(value: dict[str, object], node: Node, counts: Counter[str], *, encoded: bool) -> None:
    """Walk from every map and list in the value."""
    if node.any_key is None and node.any_item is None and node.any_depth is None:
        _walk_named(value, node.keys, counts, encoded)
        return
    for inner in containers_in(value):
        walk(inner, node, counts, encoded=encoded)


def _walk_named(
    value: dict[str, object], children: dict[str, Node], counts: Counter[str], encoded: bool
) -> None:
    """Walk from every map in the value, of which only members with these names matter."""
    waiting: list[object] = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, list):
            waiting += inner
        elif isinstance(inner, dict):
            if not children.keys().isdisjoint(inner):
                for name, child in children.items():
                    if name in inner:
                        inner[name] = _walked(inner[name], child, counts, encoded)
            waiting += inner.values()


def walk_top(
    value: dict[str, object],
    node: Node,
    counts: Counter[str],
    *,
    kept: Container[str],
    encoded: Container[str],
) -> None:
    """Walk from the top of an object, where it is known which members stay and which hold base64."""
    for key, child in node.keys.items():
        if key in value and key not in kept:
            value[key] = _walked(value[key], child, counts, key in encoded)
    if node.any_key is not None:
        for key in value:
            if key not in kept:
                value[key] = _walked(value[key], node.any_key, counts, key in encoded)
    if node.any_depth is not None:
        walk_top(value, node.any_depth, counts, kept=kept, encoded=encoded)
        for key, member in value.items():
            walk(member, node.only_deeper(), counts, encoded=key in encoded)


def containers_in(value: dict[str, object]) -> Iterator[dict[str, object] | list[object]]:
    """The value and every map and list in it."""
    waiting: list[dict[str, object] | list[object]] = [value]
    while waiting:
        inner = waiting.pop()
        members = inner.values() if isinstance(inner, dict) else inner
        # a tuple: `dict | list` takes four times as long, and this sees every value of a document
        waiting += [member for member in members if isinstance(member, (dict, list))]
        yield inner


def nodes_below(nodes: list[Node], name: str) -> list[Node]:
    """One step of a field path or JSON pointer, where a number may be the key of a map or the index of a list."""
    found: list[Node] = []
    is_index = name.isdigit() or name == "-"
    for node in nodes:
        children = (node.keys.get(name), node.any_key, node.any_item if is_index else None)
        found += (child for child in children if child is not None)
        if node.any_depth is not None:
            found.append(node)
            found += nodes_below([node.any_depth], name)
        elif is_index:
            found.append(node)  # an index that the path did not say
    return found
