"""`metadata.managedFields`: a copy of an object's field names, and of some values.

A tree of keys mirrors the object: `f:name` is a member, `k:{"port":80}` a list item by its key fields, `v:"x"` an item
of a set. Names stay; values that a path hides in the object are hidden in those keys too.
Source: sigs.k8s.io/structured-merge-diff, fieldpath/serialize-pe.go.
"""

from collections import Counter
from typing import Final

import msgspec

from gateway.policy.masking.hiding import hide
from gateway.policy.masking.paths import Node
from gateway.policy.masking.walking import walk

_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def mask_managed_fields(managed: object, root: Node, counts: Counter[str]) -> None:
    """Hide values in the keys of every entry, in place."""
    for entry in managed if isinstance(managed, list) else ():
        fields = entry.get("fieldsV1") if isinstance(entry, dict) else None
        if isinstance(fields, dict):
            entry["fieldsV1"] = _mask_fields(fields, [root], "", counts)


def _mask_fields(
    fields: dict[str, object], nodes: list[Node], rule: str, counts: Counter[str]
) -> dict[str, object]:
    """rule: not empty where everything is hidden. A new tree; keys that become equal become one."""
    masked: dict[str, object] = {}
    for key, below in fields.items():
        name = key
        if key.startswith("f:"):
            inner = _members(nodes, key[2:])
        elif key.startswith(("k:", "v:")):
            inner = _items(nodes)
            name = key[:2] + _mask_key(key[2:], inner, rule, counts)
        else:
            inner = nodes
        if isinstance(below, dict) and below and (inner or rule):
            below = _mask_fields(below, inner, rule or _rule_of(inner), counts)
        masked[name] = below
    return masked


def _rule_of(nodes: list[Node]) -> str:
    """The first rule that hides all of what these nodes are about, "" where none does."""
    for node in nodes:
        if node.rule:
            return node.rule
    return ""


def _mask_key(text: str, nodes: list[Node], rule: str, counts: Counter[str]) -> str:
    rule = rule or _rule_of(nodes)
    if not rule and not any(_speaks_of(node, text) for node in nodes):
        return text
    try:
        value = msgspec.json.decode(text)
    except _UNDECODABLE:
        value, rule = text, rule or _any_rule(nodes[0])
    if rule:
        value = hide(value, rule, counts)
    else:
        for node in nodes:
            walk(value, node, counts)
    return msgspec.json.encode(value).decode()


def _speaks_of(node: Node, text: str) -> bool:
    """Whether a node may hide a member of this JSON object: mostly not, and then it stays undecoded."""
    return (
        node.any_key is not None
        or node.any_depth is not None
        or "\\" in text
        or any(f'"{name}"' in text for name in node.keys)
    )


def _any_rule(node: Node) -> str:
    """The first rule at or below a node: there is one below every node."""
    while not node.rule:
        children = (*node.keys.values(), node.any_key, node.any_item, node.any_depth)
        node = next(child for child in children if child is not None)
    return node.rule


def _members(nodes: list[Node], name: str) -> list[Node]:
    found: list[Node] = []
    for node in nodes:
        if (child := node.keys.get(name)) is not None:
            found.append(child)
        if node.any_key is not None:
            found.append(node.any_key)
        if node.any_depth is not None:
            found += (*_members([node.any_depth], name), node.only_deeper())
    return found


def _items(nodes: list[Node]) -> list[Node]:
    """A path need not say `[*]`: the nodes themselves hold for items too."""
    return [*(node.any_item for node in nodes if node.any_item is not None), *nodes]
