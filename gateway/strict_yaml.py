"""YAML text -> plain values whose places in the text are known. Pure; knows no file.

Configuration and policies are read through here: no aliases (they can explode), no tags, no key twice, no deep nesting.
The trap: YAML 1.1 reads 10:30 as the number 630. Numbers with a colon stay text here, and so do dates.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Final, TypeAlias, get_args

import msgspec
import yaml

from gateway.yaml_depth import check_depth

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the top of a document."""

Position: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""

_UNKNOWN_FIELD: Final = re.compile(r"unknown field `([^`]*)`")
_BAD_ENUM: Final = re.compile(r"Invalid enum value '([^']*)'")
_AT: Final = re.compile(r" - at `(?:key in )?\$?([^`]*)`")
_STEP: Final = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "value", "merge")
)


class YamlMistake(Exception):
    """The text cannot be used. line and column: from 1; 0 where it cannot be told."""

    def __init__(self, position: Position, message: str) -> None:
        super().__init__(message)
        self.line, self.column = position
        self.message = message


class Document:
    """One YAML document. value: dict, list, str, int, float, bool, None."""

    def __init__(self, root: yaml.Node | None, content: bytes = b"") -> None:
        self._root = root
        self._lines = content.decode("utf-8", "replace").split("\n")
        self.is_empty = root is None
        self.value: object = {} if root is None else _plain(root)

    def position(self, path: Path, *, of_key: bool = False) -> Position:
        """Where the value at `path` begins, or its key; where the path leads nowhere, what is nearest."""
        node, parent = self._root, None
        if node is None:
            return 1, 1
        for step in path:
            child = _child(node, step)
            if child is None:
                return _start(node)
            node, parent = child, node
        if of_key and path and isinstance(parent, yaml.MappingNode):
            return next(_start(key) for key, value in parent.value if value is node)
        return _start(node)

    def place_in_text(self, path: Path, line: int, column: int) -> tuple[Position, bool]:
        """Where line and column (from 1) of the string at `path` are in the file, and whether that is exact.

        It is for what is written on one line without escapes, and for literal blocks (`|`).
        """
        node = self._root
        for step in path:
            node = _child(node, step) if node is not None else None
        if not isinstance(node, yaml.ScalarNode):
            return self.position(path), False
        start, end = node.start_mark, node.end_mark
        if node.style == "|":
            lines = self._lines[start.line + 1 :]
            indent = next((len(text) - len(text.lstrip(" ")) for text in lines if text.strip()), 0)
            return (start.line + line + 1, indent + column), True
        quotes = 2 if node.style else 0
        if start.line == end.line and end.column - start.column == len(node.value) + quotes and line == 1:
            return (start.line + 1, start.column + quotes // 2 + column), True
        return _start(node), False


def read_document(content: bytes) -> Document:
    """Raises YamlMistake."""
    try:
        check_depth(content)
        return Document(yaml.compose(content, Loader=yaml.CSafeLoader), content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlMistake(position, f"not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise YamlMistake((0, 0), "not valid YAML") from error


def explain(error: str, document: Document, prefix: Path, spec: object) -> YamlMistake:
    """What msgspec says about a value of the document, with its place, and the nearest word to a misspelt one.

    prefix: where the value stands that was to become a `spec`.
    """
    at = _AT.search(error)
    steps = tuple(name or int(index) for name, index in _STEP.findall(at[1] if at else ""))
    path = (*prefix, *steps)
    message = _AT.sub("", error).replace(" | null`", "`", 1)  # what may be left out need not be null
    unknown, enum = _UNKNOWN_FIELD.search(error), _BAD_ENUM.search(error)
    if unknown:
        position = document.position((*path, unknown[1]), of_key=True)
        return YamlMistake(position, f"unknown key {unknown[1]!r}{_hint(unknown[1], spec, steps)}")
    if enum:
        message += nearest(enum[1], words_at(spec, steps))
    elif message.startswith("Expected `array` of length >= 1"):
        message = "this list is empty: fill it, or leave it out"
    elif message.startswith("Expected `str`, got `") and not message.endswith(("`object`", "`array`")):
        message += " (put it in quotes)"
    return YamlMistake(document.position(path), message)


def _hint(key: str, spec: object, path: Path) -> str:
    if key in words_at(spec, path):
        return f": {key} stands alone here, with nothing in it"
    return nearest(key, _keys_of(_kinds_at(spec, path)))


def words_at(spec: object, path: Path) -> set[str]:
    """The words that may stand at `path` inside a value of type `spec`: those of its literals and enums."""
    kinds = _kinds_at(spec, path)
    words = {kind for kind in kinds if isinstance(kind, str)}
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            words.update(str(member.value) for member in kind)
    return words


def _kinds_at(spec: object, path: Path) -> list[Any]:
    kinds = list(_leaves(spec))
    for step in path:
        if isinstance(step, str):
            fields = [field for kind in kinds if _is_struct(kind) for field in msgspec.structs.fields(kind)]
            kinds = [kind for field in fields if field.encode_name == step for kind in _leaves(field.type)]
    return kinds


def _keys_of(kinds: Iterable[Any]) -> set[str]:
    return {field.encode_name for kind in kinds if _is_struct(kind) for field in msgspec.structs.fields(kind)}


def _leaves(spec: object) -> Iterator[Any]:
    """The types a type is made of, and the words of its literals."""
    parts = get_args(spec)
    if not parts:
        yield spec
    for part in parts:
        yield from _leaves(part)


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def nearest(word: str, words: Iterable[str]) -> str:
    """'; did you mean ...?', or nothing."""
    close = difflib.get_close_matches(word, sorted(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _plain(root: yaml.Node) -> object:
    seen: set[int] = set()

    def convert(node: yaml.Node) -> object:
        if id(node) in seen:
            raise YamlMistake(_start(node), "YAML aliases are not accepted: write it out")
        seen.add(id(node))
        if node.tag not in _PLAIN_TAGS:
            raise YamlMistake(_start(node), f"not valid YAML: tags are not accepted: {node.tag!r}")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [convert(item) for item in node.value]
        mapping: dict[str, object] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name or name in mapping:
                problem = f"key {name!r} appears twice" if name else "a key is not text"
                raise YamlMistake(_start(key), problem)
            mapping[name] = convert(value)
        return mapping

    return convert(root)


def _scalar(node: yaml.ScalarNode) -> object:
    is_clock = node.tag.endswith((":int", ":float")) and ":" in node.value
    if is_clock or node.tag.endswith(":timestamp"):
        return str(node.value)
    value: object = yaml.CSafeLoader("").construct_object(node)
    return value


def _child(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(step, int) and isinstance(node, yaml.SequenceNode) and step < len(node.value):
        return node.value[step]  # type: ignore[no-any-return]
    if isinstance(step, str) and isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value  # type: ignore[no-any-return]
    return None


def _start(node: yaml.Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1
