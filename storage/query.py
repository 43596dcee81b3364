"""The search language: text a person types -> `Query`. The flags of the command line make the same.

    user:ann ns:prod verb:delete,patch resource:pods name:web-* code:5xx since:1d -user:ci "exact words" pre*

A word with a colon is a field and its values, joined by commas (any of them), `*` standing for
anything; anything else is text that must occur in the call or its streams; "-" in front negates.
Everything must hold. Knows no SQL and reads no index: `storage.search` does.
The trap: a misspelt field must be an error, never a text that is not found: an auditor would take
the empty answer for proof.
"""

import difflib
import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from storage.errors import BadQuery

MAX_EXPRESSION_CHARS: Final = 4096
MAX_TERMS: Final = 64
"""Each text term costs one pass over the text index."""

NS_PER_S: Final = 1_000_000_000
MAX_NS: Final = 2**63 - 1
"""Largest time an index can hold; in the year 2262."""

FIELDS: Final[dict[str, str]] = {
    "user": "who asked",
    "group": "a group of who asked",
    "ns": "namespace",
    "verb": "get, list, watch, create, update, patch, delete, deletecollection, or a method in lower case",
    "resource": "pods, pods/exec, deployments.apps",
    "name": "object name",
    "code": "HTTP status: 403, 4xx",
    "decision": "allow, deny, hold",
    "kind": "call, exec, attach, portforward, log, watch",
    "result": "completed, refused, denied, failed, client-left, cut, unknown, live",
    "exit": "exit code of a program run by exec: 0, 42",
    "session": "session id or its beginning",
    "command": "kubectl command words, or the id of a command",
    "exchange": "id of one call or its beginning",
    "source": "address of the client",
    "agent": "User-Agent",
    "container": "container of exec, attach, logs",
    "rule": "a policy rule that decided, or acted later: on a typed line, a budget",
    "shadow": "a rule in shadow mode that would have denied or held; yes, no",
    "grant": "a grant that the permission rested on, or its beginning; yes, no",
    "approval": "id of a hold, or its beginning, or the 8 characters people type; yes, no",
    "approver": "who approved or denied a held call",
    "hold": "how a hold ended: approved, denied, expired, left, retry, revoked, waiting, unknown",
    "masked": "the rule that hid values; yes, no",
    "budget": "a counter that was used up: deletes, secretsRead, ...; yes, no",
    "typed": "words of a line typed into a terminal, as far as it could be told",
    "file": "name of a copied file: /etc/passwd, *.pem",
    "since": "from then on: 15m, 1d12h, 2026-01-31, 2026-01-31T08:00:00Z",
    "until": "up to then, as since",
}
_ALIASES: Final = {"namespace": "ns", "status": "code", "ua": "agent", "id": "exchange", "groups": "group"}
CONTENT_FIELDS: Final = frozenset(("typed", "file"))
"""Fields that an index of metadata does not have."""
_CHOICES: Final = {
    "hold": ("approved", "denied", "expired", "left", "retry", "revoked", "waiting", "unknown"),
    "decision": ("allow", "deny", "hold"),
    "kind": ("call", "exec", "attach", "portforward", "log", "watch"),
    "result": ("completed", "refused", "denied", "failed", "client-left", "cut", "unknown", "live"),
}


class FieldMatch(msgspec.Struct, frozen=True):
    """The field equals one of the values. `*` in a value stands for any characters."""

    field: str
    values: tuple[str, ...]
    negated: bool = False


class TextMatch(msgspec.Struct, frozen=True):
    """These words occur in this order, the last one as a prefix if `prefix`."""

    text: str
    prefix: bool = False
    negated: bool = False


class Query(msgspec.Struct, frozen=True):
    """All of it must hold. since_ns, until_ns: UTC nanoseconds, inclusive and exclusive."""

    fields: tuple[FieldMatch, ...] = ()
    texts: tuple[TextMatch, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None

    def joined(self, other: "Query") -> "Query":
        """A query that holds where both do."""
        since = [ns for ns in (self.since_ns, other.since_ns) if ns is not None]
        until = [ns for ns in (self.until_ns, other.until_ns) if ns is not None]
        return Query(
            self.fields + other.fields,
            self.texts + other.texts,
            max(since, default=None),
            min(until, default=None),
        )


_TERM: Final = re.compile(
    r"""(?P<minus>-?)
        (?:(?P<field>[A-Za-z_-]+):)?
        (?:"(?P<quoted>[^"]*)"(?P<star>\*?)(?=\s|\Z) | (?P<word>[^\s"]+)(?=\s|\Z))?""",
    re.VERBOSE,
)
_SPACE: Final = re.compile(r"\s*")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def parse_query(expression: str, *, now_ns: int) -> Query:
    """Parse a whole search expression; "" matches everything.

    now_ns: UTC nanoseconds, what `since:1d` counts back from. Raises BadQuery, whose message says
    at which character (counted from 1), what is wrong there, and what would do.
    """
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise BadQuery(f"longer than {MAX_EXPRESSION_CHARS} characters")
    if found := _CONTROL.search(expression):
        raise BadQuery(f"character {found.start() + 1}: a control character cannot be searched for")
    query = Query()
    at = _end_of(_SPACE.match(expression))
    terms = 0
    while at < len(expression):
        term = _TERM.match(expression, at)
        end = _end_of(term)
        try:
            if term is None or end == at or not (term["quoted"] or term["word"]):
                raise BadQuery(_why_no_term(expression, at, term))
            query = query.joined(_parse_term(term, now_ns))
        except BadQuery as error:
            raise BadQuery(f"character {at + 1}: {error}") from None
        terms += 1
        if terms > MAX_TERMS:
            raise BadQuery(f"character {at + 1}: more than {MAX_TERMS} terms")
        at = _end_of(_SPACE.match(expression, end))
    return query


def _end_of(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


def _why_no_term(expression: str, at: int, term: re.Match[str] | None) -> str:
    if term is not None and term["quoted"] == "":
        return "there is nothing between the quotation marks"
    if '"' in expression[at:].split(" ", 1)[0]:
        if expression.count('"', at) % 2:
            return 'a quotation mark is not closed; write "exact words"'
        return 'a quotation mark inside a word; write "exact words", with blanks around'
    if term is not None and term["field"]:
        return f"{term['field']}: has no value; write {term['field']}:VALUE without a blank"
    return "'-' excludes what follows it directly; write -word or -field:value"


def _parse_term(term: re.Match[str], now_ns: int) -> Query:
    negated = bool(term["minus"])
    quoted = term["quoted"] is not None
    value = term["quoted"] if quoted else term["word"]
    if term["field"]:
        values = (value,) if quoted else tuple(value.split(","))
        return parse_field(term["field"], values, now_ns=now_ns, negated=negated)
    return Query(texts=(_parse_text(value, bool(term["star"]), quoted, negated),))


def _parse_text(text: str, star: bool, quoted: bool, negated: bool) -> TextMatch:
    if not quoted and text.startswith("-"):
        raise BadQuery("'-' excludes what follows it directly; write -word, once")
    if not quoted and text.endswith("*"):
        text, star = text[:-1], True
    if not quoted and "*" in text:
        raise BadQuery(f"'*' stands at the end of a word only: {text.split('*')[0]}*")
    if not any(char.isalnum() for char in text):
        raise BadQuery(f"{text!r} holds no letter or digit; the index knows words")
    return TextMatch(text, star, negated)


def parse_field(name: str, values: tuple[str, ...], *, now_ns: int, negated: bool = False) -> Query:
    """One field and its values, as `name:value,value` or a flag `--name value` says it.

    Raises BadQuery.
    """
    field = _ALIASES.get(name.lower(), name.lower())
    if field not in FIELDS:
        near = difflib.get_close_matches(field, (*FIELDS, *_ALIASES), 1)
        hint = f"did you mean {near[0]}:" if near else f"known are {', '.join(FIELDS)}"
        raise BadQuery(f'unknown field {name}: ({hint}); to search for the text itself write "{name}:..."')
    if not all(values):
        raise BadQuery(f"{field}: has an empty value; write {field}:one or {field}:one,two")
    if field in ("since", "until"):
        if negated or len(values) != 1:
            raise BadQuery(f"{field}: takes one time and no '-'")
        at_ns = parse_time(values[0], now_ns=now_ns)
        return Query(since_ns=at_ns) if field == "since" else Query(until_ns=at_ns)
    return Query(fields=(FieldMatch(field, tuple(_checked(field, value) for value in values), negated),))


def _checked(field: str, value: str) -> str:
    if field in _CHOICES:
        value = value.lower()
        if value not in _CHOICES[field]:
            near = difflib.get_close_matches(value, _CHOICES[field], 1)
            hint = f"did you mean {field}:{near[0]}" if near else f"one of {', '.join(_CHOICES[field])}"
            raise BadQuery(f"{field}:{value} is not known ({hint})")
    elif field == "code" and not re.fullmatch(r"[1-5](\d\d|xx)", value, re.ASCII | re.IGNORECASE):
        raise BadQuery(f"code:{value} is no HTTP status; write code:403 or code:4xx")
    elif field == "exit" and not re.fullmatch(r"\d{1,3}", value, re.ASCII):
        raise BadQuery(f"exit:{value} is no exit code; write exit:0 to exit:255")
    elif field in ("session", "exchange") and not re.fullmatch(r"[0-9A-Za-z-]{1,36}", value):
        raise BadQuery(f"{field}: takes an id or its beginning, letters and digits")
    elif field == "typed":
        typed_text(value)
    return value.lower() if field in ("verb", "code") else value


def typed_text(value: str) -> TextMatch:
    """A value of `typed:` as the words it means. Raises BadQuery."""
    return _parse_text(value.removesuffix("*"), value.endswith("*"), True, False)


_UNIT_S: Final = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?:\d{1,6}[wdhms])+", re.ASCII)


def parse_duration(text: str) -> int | None:
    """`90s`, `15m`, `1d12h` -> nanoseconds; None if the text is no duration."""
    if not _DURATION.fullmatch(text):
        return None
    parts = re.findall(r"(\d+)([wdhms])", text)
    return sum(int(count) * _UNIT_S[unit] for count, unit in parts) * NS_PER_S


def parse_time(text: str, *, now_ns: int) -> int:
    """A duration back from now, or a date or time of RFC 3339 (UTC if it names no zone) -> UTC nanoseconds.

    Raises BadQuery.
    """
    back_ns = parse_duration(text)
    if back_ns is not None:
        return max(0, now_ns - back_ns)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery(f"{text!r} is no time; write 15m, 1d12h, 2026-01-31 or 2026-01-31T08:00:00Z") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    since_epoch = at - datetime(1970, 1, 1, tzinfo=UTC)
    whole_s = since_epoch.days * 86_400 + since_epoch.seconds
    return min(max(0, whole_s * NS_PER_S + since_epoch.microseconds * 1000), MAX_NS)
