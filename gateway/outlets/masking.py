"""What may leave through an outlet, of bodies that may hold secrets. Pure.

Whole calls whose answer is a secret lose both bodies (the `Metadata` level that the Kubernetes documentation
recommends for them). Everywhere else Secret objects are looked for and emptied: in lists, tables, watch
events, patches, annotations such as last-applied-configuration, and text that holds a manifest.

The trap: an object is known by its `kind`, and the items of a SecretList have none; neither has a patch.
What cannot be read far enough to be sure is removed. Values in fields of other kinds (a password in the
environment of a pod) are not recognised: `metadataOnly` of the settings names what else must not leave.
Source: kubernetes.io, Auditing; k8s.io/api core/v1 Secret, authentication/v1 TokenRequest, TokenReview.
"""

import re
from collections.abc import Collection
from typing import Final

import msgspec

from gateway.outlets.exchange_records import is_long_running
from storage.errors import UNDECODABLE
from storage.records import CallRecord

REMOVED: Final = "kubetape:removed"
MAX_DEPTH: Final = 100
"""Levels of a JSON value that are looked at: CRD schemas have some forty. What is deeper is removed."""
MAX_EMBEDDED: Final = 4
"""Documents in texts in documents."""

_ALWAYS: Final = frozenset(
    (
        ("", "secrets"),
        ("", "serviceaccounts/token"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authentication.k8s.io", "tokenrequests"),
    )
)
_CREDENTIALS: Final = {
    "Secret": (("data",), ("stringData",)),
    "TokenRequest": (("status", "token"),),
    "TokenReview": (("spec", "token"),),
}
# A Secret whose kind is not said: an item of a SecretList, a merge patch.
_SECRET_TYPE: Final = re.compile(r"Opaque|(?:kubernetes\.io|bootstrap\.kubernetes\.io|helm\.sh)/.+")
# JSON, JSON escaped in JSON, and YAML.
_SECRET_IN_TEXT: Final = re.compile(
    r"kind[\\\"']*\s*[:=]\s*[\\\"']*(?:Secret(?:List)?|TokenRe\w+)(?![A-Za-z])"
)


def may_hold_secrets(call: CallRecord, metadata_only: Collection[str] = ()) -> bool:
    """Whether no body of this call may leave.

    metadata_only: further resources as `configmaps`, `configmaps/status` or `leases.coordination.k8s.io`.
    """
    resource = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
    if (call.group, resource) in _ALWAYS or (call.group, call.resource) in _ALWAYS:
        return True
    dot_group = f".{call.group}" if call.group else ""
    return f"{call.resource}{dot_group}" in metadata_only or f"{resource}{dot_group}" in metadata_only


def may_show_bodies(call: CallRecord | None, metadata_only: Collection[str] = ()) -> bool:
    """Whether a call has bodies that an event may show: objects of the API that are no secrets.

    Long-running calls have none, and what is behind `proxy` is an application of the user's own.
    """
    if call is None or not call.resource or is_long_running(call):
        return False
    return not may_hold_secrets(call, metadata_only)


def may_look_into_request(call: CallRecord | None) -> bool:
    """Whether a request body is needed for the name of what it creates, even if it is never shown."""
    return call is not None and bool(call.resource) and call.verb == "create" and not call.name


def mask(value: object) -> tuple[object, int]:
    """A copy of a JSON value without secrets, and how many places were emptied."""
    walk = _Walk()
    return walk.value(value, 0), walk.removed


class _Walk:
    """One pass over one JSON value."""

    def __init__(self, embedded: int = 0) -> None:
        self.removed = 0
        self._embedded = embedded

    def value(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, dict | list):
            return value
        if depth >= MAX_DEPTH:
            return self._gone()
        if isinstance(value, list):
            return [self.value(item, depth + 1) for item in value]
        return self._object(value, depth)

    def _gone(self) -> str:
        self.removed += 1
        return REMOVED

    def _object(self, members: dict[str, object], depth: int) -> object:
        members = dict(members)
        kind = members.get("kind")
        for place in _CREDENTIALS.get(_kind_of(members), ()):
            self._empty(members, place)
        if kind == "SecretList" and isinstance(items := members.get("items"), list):
            members["items"] = [self._item(item) for item in items]
        # Keys too may hold text of strangers; they are names, and names are no secrets.
        return {name: self.value(member, depth + 1) for name, member in members.items()}

    def _item(self, item: object) -> object:
        return {"kind": "Secret", **item} if isinstance(item, dict) else self._gone()

    def _empty(self, members: dict[str, object], place: tuple[str, ...]) -> None:
        *outer, name = place
        for step in outer:
            inner = members.get(step)
            if not isinstance(inner, dict):
                return
            members[step] = members = dict(inner)
        if members.get(name) is not None:
            members[name] = self._gone()

    def _text(self, text: str) -> str:
        if not _SECRET_IN_TEXT.search(text):
            return text
        inner = _Walk(self._embedded + 1)
        if self._embedded < MAX_EMBEDDED and text.lstrip().startswith(("{", "[")):
            try:
                masked = inner.value(msgspec.json.decode(text), 0)
            except UNDECODABLE:
                return self._gone()
            if inner.removed:
                self.removed += inner.removed
                return msgspec.json.encode(masked).decode()
        return self._gone()


def _kind_of(members: dict[str, object]) -> str:
    kind = members.get("kind")
    if isinstance(kind, str):
        return kind
    secret_type = members.get("type")
    if isinstance(secret_type, str) and _SECRET_TYPE.fullmatch(secret_type):
        return "Secret"
    return ""
