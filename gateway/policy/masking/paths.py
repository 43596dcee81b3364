"""Paths of masks: text -> steps -> one tree of steps for all of them.

    data.*                                  every member of a map
    spec.containers[*].env[*].value         every item of a list
    metadata.annotations["a.b/c"]           a member whose name has dots or slashes
    **.password                             at any depth

A path that ends at a map or list hides all that is in it. One path stands for its twins: what is true for `data` of a
Secret is true for `stringData`, what is true for a pod for the template it is made from.
The trap: a list is walked through whether or not the path says `[*]`, because the other reading hides nothing.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

MAX_PATH_CHARACTERS: Final = 1024
MAX_STEPS: Final = 32

ANY_KEY: Final = "*"
ANY_ITEM: Final = "[*]"
ANY_DEPTH: Final = "**"

_NAME: Final = re.compile(r'[^\s.\[\]*"]+')
_QUOTED: Final = re.compile(r'\["((?:[^"\\]|\\["\\])+)"\]')
_ESCAPED: Final = re.compile(r"\\(.)")

_MAPS_OF_CONTENT: Final = ("data", "stringData", "binaryData")
_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")
# Where pods are made from: controllers; CronJob; PodTemplate; ControllerRevision.
_TEMPLATES: Final = (
    ("spec", "template"),
    ("spec", "jobTemplate", "spec", "template"),
    ("template",),
    ("data", "spec", "template"),
)


class BadPath(ValueError):
    """A path that cannot be read. position: index of the character in the path, from 0."""

    def __init__(self, why: str, position: int) -> None:
        super().__init__(why)
        self.why = why
        self.position = position


class Step(NamedTuple):
    """One step. wildcard: ANY_KEY, ANY_ITEM, ANY_DEPTH, or "" for the member `name`."""

    wildcard: str
    name: str = ""


Path: TypeAlias = tuple[Step, ...]


def parse_path(text: str) -> Path:
    """Read one path. Raises BadPath."""
    if len(text) > MAX_PATH_CHARACTERS:
        raise BadPath(f"a path has at most {MAX_PATH_CHARACTERS} characters", 0)
    steps: list[Step] = []
    at = 0
    while at < len(text):
        step, at = _parse_step(text, at, first=not steps)
        steps.append(step)
    if not steps:
        raise BadPath("the path is empty; write for example data.*", 0)
    if steps[-1].wildcard == ANY_DEPTH:
        raise BadPath("'**' needs a name after it, as in **.password", len(text) - 2)
    if len(steps) > MAX_STEPS:
        raise BadPath(f"a path has at most {MAX_STEPS} steps", 0)
    return tuple(steps)


def _parse_step(text: str, at: int, *, first: bool) -> tuple[Step, int]:
    if text[at] == "[":
        if text.startswith("[*]", at):
            return Step(ANY_ITEM), at + 3
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            raise BadPath('after "[" comes *] for every item or a name in quotes, as in ["a.b/c"]', at)
        return Step("", _ESCAPED.sub(r"\1", quoted[1])), quoted.end()
    if not first:
        if text[at] != ".":
            raise BadPath('between two names stands "."', at)
        at += 1
    for wildcard in (ANY_DEPTH, ANY_KEY):
        if text.startswith(wildcard, at):
            return Step(wildcard), at + len(wildcard)
    name = _NAME.match(text, at)
    if name is None:
        raise BadPath('here a name is missing; names with ".", blanks or brackets are written ["a.b/c"]', at)
    if text.startswith("*", name.end()):
        raise BadPath("a name stands whole or is '*': parts of names cannot be matched", name.end())
    return Step("", name[0]), name.end()


def expand(path: Path) -> list[Path]:
    """The path and its twins: the same content under another name, or in a template."""
    first = path[0].name
    if first in _MAPS_OF_CONTENT:
        return [(Step("", name), *path[1:]) for name in _MAPS_OF_CONTENT]
    if first == "items":  # a list is masked item by item, each an object of its own
        of_items = path[2:] if len(path) > 1 and path[1].wildcard == ANY_ITEM else path[1:]
        return [path, *expand(of_items or (Step(ANY_KEY),))]
    paths = [path]
    if first == "spec" and len(path) > 1 and path[1].name in _CONTAINERS:
        paths = [(path[0], Step("", name), *path[2:]) for name in _CONTAINERS]
    if first in ("spec", "metadata"):
        paths += [
            (*(Step("", name) for name in template), *path) for template in _TEMPLATES for path in paths
        ]
    return paths


class Node:
    """What to do at one place of a value. rule: it is hidden, on whose word; "" where only parts of it are."""

    __slots__ = ("any_depth", "any_item", "any_key", "keys", "rule")

    def __init__(self) -> None:
        self.rule = ""
        self.keys: dict[str, Node] = {}
        self.any_key: Node | None = None
        self.any_item: Node | None = None
        self.any_depth: Node | None = None

    def child(self, step: Step) -> "Node":
        """The node one step further; made when there is none."""
        if step.wildcard == "":
            return self.keys.setdefault(step.name, Node())
        if step.wildcard == ANY_KEY:
            self.any_key = self.any_key or Node()
            return self.any_key
        if step.wildcard == ANY_ITEM:
            self.any_item = self.any_item or Node()
            return self.any_item
        self.any_depth = self.any_depth or Node()
        return self.any_depth

    def only_deeper(self) -> "Node":
        """A node that says of any member what this one says of any depth."""
        deeper = Node()
        deeper.any_depth = self.any_depth
        return deeper


def compile_paths(paths: Iterable[tuple[Path, str]]) -> Node:
    """One tree for all paths, each with the rule that named it; the first rule of a place counts."""
    root = Node()
    for path, rule in paths:
        node = root
        for step in path:
            node = node.child(step)
        node.rule = node.rule or rule
    return root
