"""YAML -> a JSON value, as kube-apiserver's converter reads it, for what both of us read alike.

Anchors, aliases, tags, merge keys, second documents and names that stand twice are refused, and so is every plain word
that YAML 1.1 and 1.2 or two libraries take for different things (`yes`, `010`, `1_000`): quotes make it clear. What
could be read in two ways could be judged in one and done in the other.
Source: yaml.org 1.2 core schema; sigs.k8s.io/yaml over goyaml.v2 (resolve.go).
"""

import re
from typing import Final

import yaml

from protocol.errors import Unreadable

MAX_DEPTH: Final = 64
"""As for files of the configuration; the deepest field of a CronJob is at some twenty."""

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TWO_READINGS: Final = re.compile(
    r"[yYnN]|[yY]es|YES|[nN]o|NO|[oO]n|ON|[oO]ff|OFF"
    r"|[-+]?0[0-9_xXoObB].*|[-+]?[0-9][0-9_]*_[0-9_]*(?:\..*)?|\+[0-9.].*|[-+]?\.[0-9].*|[-+]?[0-9]+\."
    r"|[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|<<|=|[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?"
)
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")

MAX_NUMBER_CHARACTERS: Final = 400


def decode_yaml(body: bytes) -> object:
    """The one document of a body as a JSON value. Raises Unreadable."""
    try:
        events = list(yaml.parse(body.decode(), yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Unreadable("the body is not YAML") from None
    if sum(isinstance(event, yaml.DocumentStartEvent) for event in events) != 1:
        raise Unreadable("the YAML body is not exactly one document")
    return _Builder().build(events)


class _Builder:
    """Puts the events of one document together, without recursion."""

    def __init__(self) -> None:
        self._result: object = None
        self._open: list[dict[str, object] | list[object]] = []
        self._keys: list[str | None] = []  # per open container: the key that waits for its value

    def build(self, events: list[yaml.Event]) -> object:
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._open.pop()
                self._keys.pop()
        return self._result

    def _begin(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            raise Unreadable("the YAML body uses an anchor, an alias or a tag: write the values out")
        if isinstance(event, yaml.ScalarEvent):
            self._add(_scalar(event))
            return
        container: dict[str, object] | list[object] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._add(container)
        self._open.append(container)
        self._keys.append(None)
        if len(self._open) > MAX_DEPTH:
            raise Unreadable("the YAML body is nested too deep")

    def _add(self, value: object) -> None:
        if not self._open:
            self._result = value
            return
        container, key = self._open[-1], self._keys[-1]
        if isinstance(container, list):
            container.append(value)
        elif key is not None:
            container[key] = value
            self._keys[-1] = None
        elif not isinstance(value, str):
            raise Unreadable("a name in the YAML body is not a string: put it in quotes")
        elif value in container:
            raise Unreadable("a name stands twice in one object of the body")
        else:
            self._keys[-1] = value


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    if event.style is not None and event.style != "":
        return text
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _TWO_READINGS.fullmatch(text) or len(text) > MAX_NUMBER_CHARACTERS:
        raise Unreadable("a value of the YAML body can be read in two ways: put it in quotes")
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
