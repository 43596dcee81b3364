"""labelSelector and fieldSelector -> a test on objects.

Fields: metadata.name, metadata.namespace, status.phase, spec.nodeName, involvedObject.* (events), type
(secrets); another one is refused, as the API server refuses it. Source: apimachinery labels and fields.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from gateway.demo.standin.replies import JsonObject, bad_request

Matches: TypeAlias = Callable[[JsonObject], bool]

_INVOLVED: Final = ("name", "namespace", "uid", "kind", "fieldPath", "apiVersion", "resourceVersion")
_PLAIN_FIELDS: Final = (
    "metadata.name",
    "metadata.namespace",
    "status.phase",
    "spec.nodeName",
    "type",
    "reason",
)
_FIELDS: Final = frozenset((*_PLAIN_FIELDS, *(f"involvedObject.{key}" for key in _INVOLVED)))
_SET_TERM: Final = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^)]*)\)$")


def parse_label_selector(text: str) -> Matches:
    """Raises Failure 400 on a term that is not one."""
    tests = [_label_test(term.strip()) for term in _split_terms(text) if term.strip()]
    return lambda obj: all(test(obj.get("metadata", {}).get("labels") or {}) for test in tests)


def parse_field_selector(text: str) -> Matches:
    """Raises Failure 400 on an unknown field or a term without an operator."""
    wanted: list[tuple[str, str, bool]] = []
    for term in filter(None, text.split(",")):
        parts = re.split(r"(!=|==|=)", term, maxsplit=1)
        if len(parts) != 3:
            raise bad_request(f"invalid selector: {term!r}; can't understand it")
        field, operator, value = parts
        if field not in _FIELDS:
            raise bad_request(
                f'Unable to find "{field}" that matches a field label supported by this stand-in'
            )
        wanted.append((field, value, operator != "!="))
    return lambda obj: all((_field(obj, field) == value) is equal for field, value, equal in wanted)


def _split_terms(text: str) -> list[str]:
    """Split on commas outside parentheses."""
    return re.split(r",(?![^(]*\))", text)


def _label_test(term: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET_TERM.match(term):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := re.match(r"^([^=!\s]+)\s*(!=|==|=)\s*(\S*)$", term):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := re.match(r"^(!?)([A-Za-z0-9][^\s=!]*)$", term):
        absent, key = found.groups()
        return lambda labels: (key in labels) is not bool(absent)
    raise bad_request(f"unable to parse requirement: {term!r}")


def _field(obj: JsonObject, path: str) -> str:
    value: object = obj
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else str(value)
