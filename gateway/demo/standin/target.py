"""Method and request target -> what is asked for, read as kube-apiserver reads it.

Lenient on purpose: decodes the path once, lets %2F split, ignores outer slashes and accepts empty
segments, because the real server does. The gateway in front must refuse what two parsers could read
differently; a stand-in that refused it too would hide a gateway that does not. For the same reason
it shares no code with the gateway's parser. Source: apiserver endpoints/request/requestinfo.go.
"""

from collections.abc import Mapping

import msgspec

VERBS: Mapping[str, str] = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_SUBRESOURCES_OF_NAMESPACES = frozenset({"status", "finalize"})


class Target(msgspec.Struct, frozen=True):
    """One request, taken apart. resource is "" for a path that is no resource's."""

    path: str
    verb: str
    query: dict[str, list[str]]
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""

    def first(self, key: str) -> str:
        """The first value of a parameter, or ""."""
        values = self.query.get(key)
        return values[0] if values else ""

    def flag(self, key: str) -> bool:
        """Go's reading of a boolean parameter: anything but absent, 0 and false is true."""
        values = self.query.get(key)
        return bool(values) and values is not None and values[0].lower() not in ("0", "false")


def parse_target(method: str, target: bytes) -> Target:
    """Take a request apart. Raises ValueError on a malformed escape in the path."""
    raw_path, _, raw_query = target.partition(b"?")
    path = _unescape(raw_path).decode("utf-8", "replace")
    query = parse_query(raw_query)
    parts = path.strip("/").split("/") if path.strip("/") else []
    plain = Target(path=path, verb=method.lower(), query=query)
    if len(parts) < 3 or parts[0] not in ("api", "apis") or (parts[0] == "apis" and len(parts) < 4):
        return plain
    group = "" if parts[0] == "api" else parts[1]
    version, rest = (parts[1], parts[2:]) if parts[0] == "api" else (parts[2], parts[3:])
    verb = VERBS.get(method, "")
    if rest[0] in ("watch", "proxy"):
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest and rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _SUBRESOURCES_OF_NAMESPACES:
            rest = rest[2:]
    resource, name, subresource = (*rest[:3], "", "", "")[:3]
    found = Target(path, verb, query, group, version, namespace, resource, name, subresource)
    if name == "" and verb == "get":
        return msgspec.structs.replace(found, verb="watch" if found.flag("watch") else "list")
    if name == "" and verb == "delete":
        return msgspec.structs.replace(found, verb="deletecollection")
    return found


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """Go's url.ParseQuery: a pair with ";" or a bad escape is dropped, the others stay."""
    query: dict[str, list[str]] = {}
    for pair in raw.split(b"&") if raw else ():
        key, _, value = pair.partition(b"=")
        if b";" in pair:
            continue
        try:
            name = _unescape(key.replace(b"+", b" ")).decode("utf-8", "replace")
            text = _unescape(value.replace(b"+", b" ")).decode("utf-8", "replace")
        except ValueError:
            continue
        query.setdefault(name, []).append(text)
    return query


def _unescape(raw: bytes) -> bytes:
    pieces = raw.split(b"%")
    decoded = [pieces[0]]
    for piece in pieces[1:]:
        if len(piece) < 2 or not all(byte in b"0123456789abcdefABCDEF" for byte in piece[:2]):
            raise ValueError("malformed percent escape")
        decoded.append(bytes((int(piece[:2], 16),)) + piece[2:])
    return b"".join(decoded)
