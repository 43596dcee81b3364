"""Label and field selectors as kube-apiserver's list options decode them, as far as a call depends on them.

Decides whether a selector decodes, and which single object a field selector names. Does not match
anything against objects. The trap: when any list option fails to decode, the server ignores the name in
the field selector too, so both grammars have to be exact.
Source: k8s.io/apimachinery, packages fields and labels; `runtime` for the integers.
"""

import re
from typing import Final

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_TERM_OPERATOR: Final = re.compile(r"!=|==|=")
_FIELD_TERMS: Final = re.compile(r"(?:\\.|[^\\,])*\\?", re.DOTALL)
_LABEL_TOKEN: Final = re.compile(r"[ \t\r\n]*(==|!=|[=!<>(),]|[^=!<>(), \t\r\n]+)")
_QUALIFIED_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_SYMBOLS: Final = frozenset(("==", "!=", "=", "!", "<", ">", "(", ")", ","))


class InvalidSelector(ValueError):
    """The server answers 400 to this selector."""


def is_int64(text: str) -> bool:
    """Whether Go's strconv.ParseInt(text, 10, 64) takes it."""
    if not _INTEGER.fullmatch(text):
        return False
    digits = text.lstrip("+-").lstrip("0") or "0"
    limit = 2**63 if text[0] == "-" else 2**63 - 1
    # The length first: converting a megabyte of digits costs seconds.
    return len(digits) <= 19 and int(digits) <= limit


def required_field(selector: str, field: str) -> str | None:
    """The value a field selector requires `field` to equal exactly, or None.

    Of several such terms the first in sorted order counts, as on the server.
    Raises InvalidSelector when the server would not decode the selector.
    """
    found = None
    for term in sorted(_split_terms(selector)):
        if not term:
            continue
        operator = _TERM_OPERATOR.search(term)
        if operator is None:
            raise InvalidSelector("a field selector term without an operator")
        value = _unescape(term[operator.end() :])
        if found is None and operator[0] != "!=" and term[: operator.start()] == field:
            found = value
    return found


def _split_terms(selector: str) -> list[str]:
    """Cut at commas, not at escaped ones."""
    terms = []
    at = 0
    while True:
        match = _FIELD_TERMS.match(selector, at)
        if match is None:
            raise AssertionError("the pattern matches the empty string")
        terms.append(match[0])
        at = match.end() + 1
        if at > len(selector):
            return terms


def _unescape(value: str) -> str:
    if "\\" not in value and "=" not in value:
        return value
    plain = []
    characters = iter(value)
    for character in characters:
        if character == "\\":
            character = next(characters, "")
            if character not in ("\\", ",", "="):
                raise InvalidSelector("an unknown escape in a field selector")
        elif character == "=":
            raise InvalidSelector("an unescaped '=' in a field selector value")
        plain.append(character)
    return "".join(plain)


def is_label_selector(selector: str) -> bool:
    """Whether the server decodes this label selector (the empty one included)."""
    tokens = [*_LABEL_TOKEN.findall(selector), ""]  # "" is the end
    if tokens == [""]:
        return True
    at = 0
    while True:
        at = _requirement_end(tokens, at)
        if at < 0 or tokens[at] not in ("", ","):
            return False
        if tokens[at] == "":
            return True
        at += 1


def _requirement_end(tokens: list[str], at: int) -> int:
    """The index behind the requirement that starts at `at`, or -1 when none does."""
    negated = tokens[at] == "!"
    at += negated
    if not _is_label_key(tokens[at]):
        return -1
    operator = tokens[at + 1]
    if negated or operator in ("", ","):
        return at + 1
    at += 2
    if operator in ("in", "notin"):
        return _value_set_end(tokens, at)
    if operator not in ("=", "==", "!=", "<", ">"):
        return -1
    value = "" if tokens[at] in ("", ",") else tokens[at]
    if not _is_label_value(value) or (operator in ("<", ">") and not is_int64(value)):
        return -1
    return at + (value != "")


def _value_set_end(tokens: list[str], at: int) -> int:
    """The index behind "(a,b)"; elements may be empty, as in "()" and "(,a,)"."""
    if tokens[at] != "(":
        return -1
    at += 1
    while True:
        if tokens[at] not in _SYMBOLS and tokens[at] != "":
            if not _is_label_value(tokens[at]):
                return -1
            at += 1
        if tokens[at] == ")":
            return at + 1
        if tokens[at] != ",":
            return -1
        at += 1


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _DNS_SUBDOMAIN.fullmatch(prefix)):
        return False
    return len(name) <= 63 and bool(_QUALIFIED_NAME.fullmatch(name))


def _is_label_value(value: str) -> bool:
    return not value or (len(value) <= 63 and bool(_QUALIFIED_NAME.fullmatch(value)))
