"""`when:` conditions in CEL: type-checked when the policy is loaded, evaluated per call. Knows the CEL library; only it.

Variables are declared one by one (`call.verb`, `principal.groups`), so that a misspelt one is an error at load; only
`object`, `oldObject`, claims and options are open. An evaluation ends by itself: the library counts iterations, and
`matches()` is RE2. The trap: a failing evaluation is a value of type ERROR, not an exception; both mean "cannot be told".
Source: CEL specification; k8s.io/api/admission/v1 AdmissionRequest for the names under `request`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final, NamedTuple

from cel_expr_python import cel

from gateway.policy.model import Facts
from gateway.policy.rule import Answer, carries_object, knows_object, verb_of
from gateway.strict_yaml import nearest

MAX_EXPRESSION_BYTES: Final = 64 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONNECT: Final = "CONNECT"
_OPERATIONS: Final = {
    "create": "CREATE",
    "update": "UPDATE",
    "patch": "UPDATE",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_LITERAL_PATTERN: Final = re.compile(
    r"""\.matches\(\s*((?:[rR]?"(?:[^"\\\n]|\\.)*")|(?:[rR]?'(?:[^'\\\n]|\\.)*'))\s*\)"""
)

_STRING: Final = cel.Type.STRING
_BOOL: Final = cel.Type.BOOL
_STRINGS: Final = cel.Type.List(_STRING)
_OPEN: Final = cel.Type.Map(_STRING, cel.Type.DYN)


class Variable(NamedTuple):
    """A name a condition may use: its type, and where its value comes from."""

    type: cel.Type
    value: Callable[[Facts], object]


class BadCondition(Exception):
    """It does not compile. mistakes: (line, column, message), from 1, in its own text."""

    def __init__(self, mistakes: list[tuple[int, int, str]]) -> None:
        super().__init__(mistakes[0][2])
        self.mistakes: Final = tuple(mistakes)


def _query(facts: Facts) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for key, value in facts.call.query:
        query.setdefault(key, []).append(value)
    return query


def _options(facts: Facts) -> dict[str, object]:
    """The options of a write: of its query, and of the body of a deletion."""
    options: dict[str, object] = {}
    for key, value in facts.call.query:
        options.setdefault(key, value)
    if facts.call.verb in ("delete", "deletecollection") and facts.object is not None:
        options.update(facts.object)
    return options


def _operation(facts: Facts) -> str:
    return _CONNECT if facts.call.is_connect else _OPERATIONS.get(facts.call.verb, "")


def _kind(facts: Facts) -> tuple[str, str, str]:
    """Group, version and kind of the object, as it says itself."""
    found = (facts.object if carries_object(facts) else facts.old_object) or {}
    version, kind = found.get("apiVersion"), found.get("kind")
    group, _, version = version.rpartition("/") if isinstance(version, str) else ("", "", "")
    return group, version, kind if isinstance(kind, str) else ""


def _at(facts: Facts) -> datetime:
    return _EPOCH + timedelta(microseconds=facts.at_ns // 1000)


VARIABLES: Final[Mapping[str, Variable]] = {
    "request.operation": Variable(_STRING, _operation),
    "request.kind.group": Variable(_STRING, lambda facts: _kind(facts)[0]),
    "request.kind.version": Variable(_STRING, lambda facts: _kind(facts)[1]),
    "request.kind.kind": Variable(_STRING, lambda facts: _kind(facts)[2]),
    "request.resource.group": Variable(_STRING, lambda facts: facts.call.group),
    "request.resource.version": Variable(_STRING, lambda facts: facts.call.version),
    "request.resource.resource": Variable(_STRING, lambda facts: facts.call.resource),
    "request.subResource": Variable(_STRING, lambda facts: facts.call.subresource),
    "request.name": Variable(_STRING, lambda facts: facts.call.name),
    "request.namespace": Variable(_STRING, lambda facts: facts.call.namespace),
    "request.dryRun": Variable(_BOOL, lambda facts: facts.call.dry_run),
    "request.options": Variable(_OPEN, _options),
    "request.userInfo.username": Variable(_STRING, lambda facts: facts.principal.user),
    "request.userInfo.uid": Variable(_STRING, lambda facts: facts.principal.uid),
    "request.userInfo.groups": Variable(_STRINGS, lambda facts: list(facts.principal.groups)),
    "request.userInfo.extra": Variable(
        cel.Type.Map(_STRING, _STRINGS), lambda facts: {key: list(v) for key, v in facts.principal.extra}
    ),
    "object": Variable(cel.Type.DYN, lambda facts: facts.object),
    "oldObject": Variable(cel.Type.DYN, lambda facts: facts.old_object),
    "principal.user": Variable(_STRING, lambda facts: facts.principal.user),
    "principal.groups": Variable(_STRINGS, lambda facts: list(facts.principal.groups)),
    "principal.issuer": Variable(_STRING, lambda facts: facts.principal.issuer),
    "principal.subject": Variable(_STRING, lambda facts: facts.principal.subject),
    "principal.method": Variable(_STRING, lambda facts: facts.principal.method),
    "principal.claims": Variable(_OPEN, lambda facts: facts.principal.claims),
    "call.method": Variable(_STRING, lambda facts: facts.call.method),
    "call.verb": Variable(_STRING, lambda facts: verb_of(facts.call)),
    "call.isResource": Variable(_BOOL, lambda facts: facts.call.is_resource),
    "call.group": Variable(_STRING, lambda facts: facts.call.group),
    "call.version": Variable(_STRING, lambda facts: facts.call.version),
    "call.resource": Variable(_STRING, lambda facts: facts.call.resource),
    "call.subresource": Variable(_STRING, lambda facts: facts.call.subresource),
    "call.namespace": Variable(_STRING, lambda facts: facts.call.namespace),
    "call.name": Variable(_STRING, lambda facts: facts.call.name),
    "call.path": Variable(_STRING, lambda facts: facts.call.path),
    "call.query": Variable(cel.Type.Map(_STRING, _STRINGS), _query),
    "call.labelSelector": Variable(_STRING, lambda facts: facts.call.label_selector),
    "call.fieldSelector": Variable(_STRING, lambda facts: facts.call.field_selector),
    "call.dryRun": Variable(_BOOL, lambda facts: facts.call.dry_run),
    "call.follow": Variable(_BOOL, lambda facts: facts.call.follow),
    "call.container": Variable(_STRING, lambda facts: facts.call.container),
    "call.argv": Variable(_STRINGS, lambda facts: list(facts.call.argv)),
    "call.ports": Variable(cel.Type.List(cel.Type.INT), lambda facts: list(facts.call.ports)),
    "call.stdin": Variable(_BOOL, lambda facts: facts.call.stdin),
    "call.stdout": Variable(_BOOL, lambda facts: facts.call.stdout),
    "call.stderr": Variable(_BOOL, lambda facts: facts.call.stderr),
    "call.tty": Variable(_BOOL, lambda facts: facts.call.tty),
    "call.source": Variable(_STRING, lambda facts: facts.source_address),
    "call.at": Variable(cel.Type.TIMESTAMP, _at),
}


class CelCondition:
    """A compiled condition (`rule.Predicate`)."""

    __slots__ = ("_expression", "_values", "uses_claims", "uses_object", "uses_old_object", "uses_options")

    def __init__(self, expression: cel.Expression, used: frozenset[str]) -> None:
        self._expression: Final = expression
        self._values: Final = tuple((name, VARIABLES[name].value) for name in sorted(used))
        uses_kind = any(name.startswith("request.kind.") for name in used)
        self.uses_object: Final = uses_kind or "object" in used
        self.uses_old_object: Final = uses_kind or "oldObject" in used
        self.uses_options: Final = "request.options" in used
        self.uses_claims: Final = "principal.claims" in used

    def evaluate(self, facts: Facts) -> Answer:
        if self.uses_object and carries_object(facts) and not knows_object(facts):
            return None  # there is one, and nobody could read it
        try:
            value = self._expression.eval(data={name: value(facts) for name, value in self._values})
            answer = value.value()
        except Exception:  # the library's own: a budget, a value it cannot take
            return None
        return answer if isinstance(answer, bool) else None


def compile_condition(text: str) -> CelCondition:
    """Raises BadCondition."""
    if len(text.encode("utf-8", "replace")) > MAX_EXPRESSION_BYTES:
        raise BadCondition([(1, 1, f"a condition has at most {MAX_EXPRESSION_BYTES} bytes")])
    try:
        expression = _environment("").compile(text)
    except RuntimeError as error:
        raise BadCondition(_mistakes(str(error))) from error
    if expression.return_type() != _BOOL:
        kind = str(expression.return_type()).lower()
        raise BadCondition([(1, 1, f"a condition is true or false; this is of type {kind}{_COMPARE}")])
    _check_patterns(text)
    return CelCondition(expression, frozenset(name for name in VARIABLES if _uses(text, name)))


_COMPARE: Final = ": compare it with something, such as `== true`"


@cache
def _environment(without: str) -> cel.Env:
    return cel.NewEnv(variables={n: variable.type for n, variable in VARIABLES.items() if n != without})


def _uses(text: str, name: str) -> bool:
    """Whether the condition, which compiles, depends on a variable: without it, it does not."""
    if name.rpartition(".")[2] not in text:
        return False
    try:
        _environment(name).compile(text)
    except RuntimeError:
        return True
    return False


def _check_patterns(text: str) -> None:
    """A pattern that is no RE2 would fail only when it is used."""
    for found in _LITERAL_PATTERN.finditer(text):
        answer = _environment("").compile(f"''.matches({found[1]})").eval(data={}).value()
        if not isinstance(answer, bool):
            line = text.count("\n", 0, found.start(1)) + 1
            column = found.start(1) - text.rfind("\n", 0, found.start(1))
            why = str(answer).partition(": ")[2] or str(answer)
            raise BadCondition([(line, column, why)])


def _mistakes(error: str) -> list[tuple[int, int, str]]:
    found = []
    for line, column, message in _ERROR.findall(error):
        if "'*error*'" in message:
            continue  # follows from another mistake
        undeclared = _UNDECLARED.search(message)
        if undeclared:
            name = undeclared[1]
            message = f"{name!r} is no variable or function of a condition{_nearest_variable(name)}"
        found.append((max(int(line), 1), max(int(column), 1), message))
    return found or [(1, 1, error.partition("\n")[0])]


def _nearest_variable(name: str) -> str:
    close = nearest(name, VARIABLES)
    under = [other.removeprefix(f"{name}.") for other in VARIABLES if other.startswith(f"{name}.")]
    return f"; write {name}.{under[0]} and so on" if under else close
