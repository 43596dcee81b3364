"""An independent model of kube-apiserver's RequestInfo: permissive, slow, and sharing no code with ours.

It reads what the server reads, also the targets we refuse: Go's request line and net/url rules, then
NewRequestInfo step by step. Source: Go net/http, net/url; k8s.io/apiserver endpoints/request;
k8s.io/apimachinery labels, fields, api/validation/path.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class BadRequest(Exception):
    """The server answers 400 before any authorization, or 500 without a RequestInfo."""


@dataclass(frozen=True)
class RequestInfo:
    path: bytes
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    label_selector: str = ""
    field_selector: str = ""


def read(method: str, target: bytes) -> RequestInfo:
    if re.match(rb"[a-z]+://", target):
        parts = urlsplit(target)
        target = parts.path + (b"?" + parts.query if parts.query else b"")
    elif not target.startswith(b"/") and target != b"*":
        raise BadRequest("neither a path nor *")
    raw_path, _, raw_query = target.partition(b"?")
    path = _unescape(raw_path, plus=False)
    if path is None or re.search(rb"[\x00-\x20\x7f]", raw_path):
        raise BadRequest("path")
    return _new_request_info(method, path, _query(raw_query))


def _unescape(raw: bytes, *, plus: bool) -> bytes | None:
    out = bytearray()
    at = 0
    while at < len(raw):
        if raw[at] == 0x25:
            if not re.fullmatch(rb"[0-9A-Fa-f]{2}", raw[at + 1 : at + 3]):
                return None
            out.append(int(raw[at + 1 : at + 3], 16))
            at += 3
        else:
            out.append(0x20 if plus and raw[at] == 0x2B else raw[at])
            at += 1
    return bytes(out)


def _query(raw: bytes) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    if raw.count(b"&") + 1 > 10_000:
        return values
    for pair in raw.split(b"&"):
        if not pair or b";" in pair:
            continue
        key, _, value = pair.partition(b"=")
        decoded_key, decoded_value = _unescape(key, plus=True), _unescape(value, plus=True)
        if decoded_key is None or decoded_value is None:
            continue
        values.setdefault(_text(decoded_key), []).append(_text(decoded_value))
    return values


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _new_request_info(method: str, path: bytes, query: dict[str, list[str]]) -> RequestInfo:
    parts = [_text(part) for part in path.strip(b"/").split(b"/")] if path.strip(b"/") else []
    other = RequestInfo(path, method.lower())
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return other
    group = ""
    if parts.pop(0) == "apis":
        if len(parts) < 3:
            return other
        group = parts.pop(0)
    version = parts.pop(0)
    verb = _VERBS.get(method, "")
    verb_in_path = parts[0] in ("watch", "proxy")
    if verb_in_path:
        if len(parts) < 2:
            raise BadRequest("unable to determine kind and namespace from url")
        verb = parts.pop(0)
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in ("status", "finalize"):
            parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) >= 2 else ""
    subresource = parts[2] if len(parts) >= 3 and verb != "proxy" else ""
    if name == "" and verb == "get":
        verb = "watch" if "watch" in query and query["watch"][0].lower() not in ("0", "false") else "list"
        name = _name_of_list_options(query)
    if name == "" and verb == "delete":
        verb = "deletecollection"
    selects = verb in ("list", "watch", "deletecollection") and not verb_in_path
    return RequestInfo(
        path, verb, True, group, version, namespace, resource, subresource, name,
        query.get("labelSelector", [""])[0] if selects else "",
        query.get("fieldSelector", [""])[0] if selects else "",
    )  # fmt: skip


def _name_of_list_options(query: dict[str, list[str]]) -> str:
    for key in ("limit", "timeoutSeconds"):
        if key in query and not _parses_as_int64(query[key][0]):
            return ""
    if "labelSelector" in query and not LabelParser(query["labelSelector"][0]).accepts():
        return ""
    terms = _field_terms(query.get("fieldSelector", [""])[0])
    for field, operator, value in terms or []:
        if field == "metadata.name" and operator != "!=":
            return "" if value in (".", "..") or "/" in value or "%" in value else value
    return ""


def _parses_as_int64(text: str) -> bool:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        return False
    value = 0
    for digit in text.lstrip("+-"):
        value = value * 10 + ord(digit) - 48
        if value > 2**63:
            return False
    return value < 2**63 or text[0] == "-"


def _field_terms(selector: str) -> list[tuple[str, str, str]] | None:
    """(field, operator, value) in the server's order; None: does not parse."""
    raw_terms, current, in_slash = [], "", False
    for character in selector:
        if character == "," and not in_slash:
            raw_terms.append(current)
            current = ""
            continue
        in_slash = character == "\\" and not in_slash
        current += character
    raw_terms.append(current)
    terms = []
    for term in sorted(raw_terms):
        if term == "":
            continue
        for at in range(len(term)):
            operator = next((op for op in ("!=", "==", "=") if term.startswith(op, at)), None)
            if operator is not None:
                break
        else:
            return None
        value = _field_value(term[at + len(operator) :])
        if value is None:
            return None
        terms.append((term[:at], operator, value))
    return terms


def _field_value(escaped: str) -> str | None:
    value, in_slash = "", False
    for character in escaped:
        if in_slash:
            if character not in "\\,=":
                return None
            value += character
            in_slash = False
        elif character == "\\":
            in_slash = True
        elif character in ",=":
            return None
        else:
            value += character
    return None if in_slash else value


class LabelParser:
    """The server's recursive descent over label selectors, saying only yes or no."""

    SYMBOLS = ("==", "!=", "=", "!", "(", ")", ",", "<", ">")

    def __init__(self, selector: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(selector):
            symbol = next((s for s in self.SYMBOLS if selector.startswith(s, at)), None)
            if selector[at] in " \t\r\n":
                at += 1
            elif symbol is not None:
                self.tokens.append((symbol, symbol))
                at += len(symbol)
            else:
                start = at
                while at < len(selector) and selector[at] not in "=!(),<> \t\r\n":
                    at += 1
                self.tokens.append(("word", selector[start:at]))
        self.tokens.append(("end", ""))

    def accepts(self) -> bool:
        try:
            if self.tokens[0][0] != "end":
                self._requirement()
                while self._take()[0] != "end":
                    self._requirement()
        except BadRequest:
            return False
        return True

    def _take(self) -> tuple[str, str]:
        return self.tokens.pop(0)

    def _expect(self, kind: str) -> str:
        found, literal = self._take()
        if found != kind:
            raise BadRequest(f"found {found}, expected {kind}")
        return literal

    def _requirement(self) -> None:
        negated = self.tokens[0][0] == "!"
        if negated:
            self._take()
        self._check_key(self._expect("word"))
        if not negated and self.tokens[0][0] not in ("end", ","):
            operator, literal = self._take()
            if operator == "word" and literal in ("in", "notin"):
                self._set()
            elif operator in ("=", "==", "!=", "<", ">"):
                value = "" if self.tokens[0][0] in ("end", ",") else self._expect("word")
                self._check_value(value)
                if operator in "<>" and not _parses_as_int64(value):
                    raise BadRequest("not an integer")
            else:
                raise BadRequest("not an operator")
        if self.tokens[0][0] not in ("end", ","):
            raise BadRequest("expected a comma or the end")

    def _set(self) -> None:
        self._expect("(")
        while self.tokens[0][0] != ")":
            if self.tokens[0][0] == "word":
                self._check_value(self._take()[1])
                if self.tokens[0][0] == ")":
                    break
            self._expect(",")
        self._take()

    @staticmethod
    def _check_key(key: str) -> None:
        *prefixes, name = key.split("/")
        labels = prefixes[0].split(".") if prefixes else []
        fits = (
            len(prefixes) <= 1
            and all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", label) for label in labels)
            and len(".".join(labels)) <= 253
            and len(name) <= 63
            and re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", name)
        )
        if not fits:
            raise BadRequest("label key")

    @staticmethod
    def _check_value(value: str) -> None:
        if len(value) > 63 or not re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value):
            raise BadRequest("label value")
