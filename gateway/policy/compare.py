"""Two sets of policy files -> what changes in meaning: rules, grants, detectors, the default; not their order, not
comments, not how a duration is written.

A rule is known by its id (`policy/rule`), so one that was renamed is one removed and one added. What a change does to
calls is not said here: see `flips`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from gateway.policy.actions import seconds_of
from gateway.policy.load import all_rules, load_policy
from gateway.policy.reading import Source
from gateway.policy.syntax import GrantSpec, PolicyFile, RuleSpec

Value: TypeAlias = object
"""JSON-like; None: not there."""
Fields: TypeAlias = dict[str, Value]
"""What a rule or grant says, by dotted name: `match.verbs`, `action.hold.wait`."""

_DURATIONS: Final = frozenset(("wait", "maxDuration"))
_ORDERED: Final = frozenset(("action.commands",))
"""Lists whose order is a part of what they say. Of all others the order means nothing."""


class FieldChange(msgspec.Struct, frozen=True):
    """One field. old, new: None where it is not said."""

    field: str
    old: Value
    new: Value


class Change(msgspec.Struct, frozen=True):
    """what: "rule", "grant", "detector" or "default"; how: "added", "removed" or "changed"."""

    what: str
    id: str
    how: str
    fields: tuple[FieldChange, ...] = ()


def compare_policies(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[Change, ...]:
    """old, new: files as for `load_policy`, which must accept them. Raises BadPolicy."""
    before, after = load_policy(old), load_policy(new)
    files_before, files_after = _files(old), _files(new)
    changes = list(_of_default(before.default_allows, after.default_allows))
    changes += _changes("rule", _rules(files_before), _rules(files_after))
    changes += _changes("grant", _grants(files_before), _grants(files_after))
    changes += _changes("detector", _detectors(files_before), _detectors(files_after))
    return tuple(changes)


def _files(files: Mapping[str, bytes]) -> list[PolicyFile]:
    sources = (Source(name, files[name]) for name in sorted(files))
    return [source.policy for source in sources if source.policy is not None]


def _of_default(old_allows: bool, new_allows: bool) -> Iterator[Change]:
    if old_allows is not new_allows:
        words = {True: "allow", False: "deny"}
        field = FieldChange("default", words[old_allows], words[new_allows])
        yield Change("default", "default", "changed", (field,))


def _changes(what: str, old: Mapping[str, Fields], new: Mapping[str, Fields]) -> Iterator[Change]:
    """In the order of ids."""
    for id in sorted(old.keys() | new.keys()):
        before, after = old.get(id, {}), new.get(id, {})
        fields = tuple(
            FieldChange(name, before.get(name), after.get(name))
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        )
        if id not in old or id not in new:
            yield Change(what, id, "added" if id in new else "removed", fields)
        elif fields:
            yield Change(what, id, "changed", fields)


def _rules(files: Iterable[PolicyFile]) -> dict[str, Fields]:
    found = {}
    for file in files:
        for spec, _, prefix, _ in all_rules(file):
            found[f"{prefix}/{spec.name}"] = _of_rule(spec)
    return found


def _of_rule(spec: RuleSpec) -> Fields:
    fields = _flat(spec)
    del fields["name"]
    return fields


def _grants(files: Iterable[PolicyFile]) -> dict[str, Fields]:
    """Without their rules, which are compared as rules."""
    return {grant.name: _of_grant(grant, file.metadata.name) for file in files for grant in file.grants}


def _of_grant(spec: GrantSpec, policy: str) -> Fields:
    fields = _flat(msgspec.structs.replace(spec, rules=[]))
    del fields["name"]
    lifts = sorted(name if "/" in name else f"{policy}/{name}" for name in spec.lifts or ())
    return {**fields, "lifts": lifts} if lifts else fields


def _detectors(files: Iterable[PolicyFile]) -> dict[str, Fields]:
    found = {one.name: _flat(one) for file in files for one in file.detectors}
    for fields in found.values():
        del fields["name"]
    return found


def _flat(spec: msgspec.Struct) -> Fields:
    """Every value under its dotted name; what has its default is not there."""
    fields: Fields = {}

    def add(name: str, value: Value) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name}.{key}" if name else key, inner)
        else:
            fields[name] = value

    add("", _plain("", spec))
    return fields


def _plain(name: str, value: Any) -> Any:
    """A value as it may be compared: the same for what means the same. name: dotted."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        said = _plain(name, {field.encode_name: getattr(value, field.name) for field in fields})
        unsaid = _plain(name, {field.encode_name: field.default for field in fields})
        return {key: inner for key, inner in said.items() if inner not in (unsaid[key], [])}
    if isinstance(value, dict):
        return {key: _plain(f"{name}.{key}" if name else key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        items = [item if isinstance(item, list) else _plain(name, item) for item in value]
        return items if name in _ORDERED else sorted(items, key=msgspec.json.encode)
    if isinstance(value, str) and name.rpartition(".")[2] in _DURATIONS:
        return f"{seconds_of(value)}s"
    return value
