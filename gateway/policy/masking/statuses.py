"""A Status that refuses something may repeat it: `data[token]: Invalid value: "..."`.

A cause says which field it is about. What is about a hidden field, or one around it (a refused change of `spec` is
printed whole), loses its text; so does every message that nobody can attribute. Where all causes are about other
fields the person reads all of it. Reasons, names and field paths always stay.
Source: k8s.io/apimachinery util/validation/field, api/errors NewInvalid.
"""

import re
from collections import Counter
from typing import Final

from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.paths import Node
from gateway.policy.masking.walking import nodes_below

SILENT_REASONS: Final = frozenset(
    ("AlreadyExists", "Conflict", "Expired", "Gone", "NotFound", "Timeout", "TooManyRequests", "Unauthorized")
)
"""Answers whose messages kube-apiserver makes from names alone."""

_FIELD: Final = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_IS_INVALID: Final = re.compile(r'^\S+ "[^"]*" is invalid: ')
_DENIED: Final = re.compile(r' is forbidden: User "[^"]*" cannot [a-z]+ (?:resource|path) ')


def mask_status(status: dict[str, object], root: Node, rule: str, counts: Counter[str]) -> None:
    """Hide, in place, texts that may repeat a value one of the paths hides. rule: counted for each."""
    message = status.get("message")
    if status.get("status") == "Success" or not isinstance(message, str) or _is_silent(status, message):
        return
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    known = [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []
    about_hidden = [cause for cause in known if _touches(cause.get("field"), root)]
    for cause in about_hidden:
        cause["message"] = placeholder(rule)
    if known and not about_hidden:
        return
    counts[rule] += 1 + len(about_hidden)
    begin = _IS_INVALID.match(message)
    status["message"] = (begin[0] if begin else "") + _fields_of(about_hidden) + placeholder(rule)


def _is_silent(status: dict[str, object], message: str) -> bool:
    """Made from names alone. A 403 is when it is about roles; webhooks deny with texts of their own."""
    return status.get("reason") in SILENT_REASONS or (
        status.get("reason") == "Forbidden"
        and _DENIED.search(message) is not None
        and "admission" not in message
    )


def _fields_of(causes: list[dict[str, object]]) -> str:
    fields = [field for cause in causes if isinstance(field := cause.get("field"), str) and field]
    return f"{', '.join(fields)}: " if fields else ""


def _touches(field: object, root: Node) -> bool:
    """Whether a field path is at, below or around a hidden place; one that cannot be read is."""
    if not isinstance(field, str) or not field:
        return True
    nodes = [root]
    for part in _FIELD.findall(field):
        nodes = nodes_below(nodes, part[1:-1] if part.startswith("[") else part)
        if any(node.rule for node in nodes):
            return True
    return bool(nodes)
