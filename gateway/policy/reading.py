"""Bytes of one policy file -> `PolicyFile`, and where in the text each part of it stands.

The items of lists are converted one by one, so that a mistake in one rule does not hide those in the next.
"""

from typing import Any, Final, TypeVar

import msgspec

from gateway.policy import syntax
from gateway.policy.problems import Problem
from gateway.strict_yaml import Document, Path, Position, YamlMistake, explain, read_document

MAX_FILE_BYTES: Final = 1024 * 1024
_LISTS: Final[dict[str, type[syntax.Strict]]] = {
    "rules": syntax.RuleSpec,
    "grants": syntax.GrantSpec,
    "budgets": syntax.BudgetRule,
    "detectors": syntax.DetectorSpec,
    "tests": syntax.CaseSpec,
}

_IN_WORDS: Final = {
    syntax.NAME_PATTERN: "a name is at most 63 letters, digits, dots, dashes and underscores",
    syntax.DURATION_PATTERN: "a duration is written 90s, 5m or 1h30m",
    syntax.LINE_PATTERN: "this is one line of text, without control characters",
    syntax.REQUEST_PATTERN: "a request is written METHOD /path, such as GET /api/v1/namespaces/a/pods/b",
}
"""What a pattern that a value does not match wants."""

Spec = TypeVar("Spec", bound=syntax.Strict)


class Source:
    """One file while it is being read: its places, and the problems found so far."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.document: Document | None = None
        self.policy: syntax.PolicyFile | None = None
        try:
            if len(content) > MAX_FILE_BYTES:
                raise YamlMistake((0, 0), f"larger than {MAX_FILE_BYTES} bytes: split it")
            self.document = read_document(content)
        except YamlMistake as mistake:
            self._add((mistake.line, mistake.column), mistake.message)
            return
        self.policy = self._convert_file(self.document)

    def position(self, path: Path) -> Position:
        return self._document().position(path)

    def problem(self, path: Path, message: str, *, of_key: bool = False) -> None:
        """Something is wrong with the value at `path`."""
        document = self._document()
        self._add(document.position(path, of_key=of_key), message)

    def problem_in_text(self, path: Path, line: int, column: int, message: str) -> None:
        """Something is wrong inside the string at `path`; line and column (from 1) count in that string."""
        place, is_exact = self._document().place_in_text(path, line, column)
        self._add(place, message if is_exact else f"{message} (line {line}, column {column} of the text)")

    def _document(self) -> Document:
        if self.document is None:
            raise AssertionError("only a file that was read has parts")
        return self.document

    def _add(self, position: Position, message: str) -> None:
        self.problems.append(Problem(self.name, *position, message))

    def _convert_file(self, document: Document) -> syntax.PolicyFile | None:
        if document.is_empty or not isinstance(document.value, dict):
            self._add((1, 1), "a policy file begins with `apiVersion: kubetape/v1` and `kind: Policy`")
            return None
        plain = document.value
        frame = {key: value for key, value in plain.items() if key not in _LISTS}
        policy = self._convert(frame, syntax.PolicyFile, ())
        lists: dict[str, Any] = {}
        for key, spec in _LISTS.items():
            items = plain.get(key, [])
            if isinstance(items, list):
                lists[key] = [self._convert(item, spec, (key, at)) for at, item in enumerate(items)]
            else:
                self.problem((key,), f"`{key}` is a list: begin each entry with `- `")
        if policy is None or self.problems:
            return None
        return msgspec.structs.replace(policy, **lists)

    def _convert(self, plain: object, spec: type[Spec], path: Path) -> Spec | None:
        document = self._document()
        try:
            return msgspec.convert(plain, spec)
        except msgspec.ValidationError as error:
            mistake = explain(str(error), document, path, spec)
            said = [words for pattern, words in _IN_WORDS.items() if repr(pattern) in mistake.message]
            self._add((mistake.line, mistake.column), said[0] if said else mistake.message)
            return None
