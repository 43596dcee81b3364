"""Objects in memory, their revisions and a bounded history of changes.

Pure: no clock of its own and no Trio; `now` and `notify` are given. The trap: a watch that starts at
revision N must see every change after N exactly once, so history keeps whole objects, and a watcher
older than the history is told so (410), never served a gap. Source: apiserver storage/cacher.
"""

import copy
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from gateway.demo.standin.api.kinds import Kind
from gateway.demo.standin.replies import Failure, JsonObject, not_found

MAX_HISTORY: Final = 4096
MAX_OBJECTS: Final = 50_000
"""A demo in memory: far above any tour or test, far below trouble."""

ChangeType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
_Key: TypeAlias = tuple[str, str]  # namespace, name


class Change(msgspec.Struct, frozen=True):
    """One write. obj is the object after it; for DELETED, as it was, at the deletion's revision.
    before: what it replaced, needed to tell a watcher that an object left its selector."""

    revision: int
    type: ChangeType
    kind: Kind
    obj: JsonObject
    before: JsonObject | None = None


class Store:
    """All objects of the toy cluster. Objects handed in and out are copies."""

    def __init__(self, now: Callable[[], str], notify: Callable[[], None]) -> None:
        self._now, self._notify = now, notify
        self._objects: dict[str, dict[_Key, JsonObject]] = {}
        self._history: deque[Change] = deque(maxlen=MAX_HISTORY)
        self._count = 0
        self.revision = 1000

    def get(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """Raises Failure 404."""
        found = self._objects.get(_table(kind), {}).get((namespace, name))
        if found is None:
            raise not_found(kind.plural, name, kind.group)
        return copy.deepcopy(found)

    def list(self, kind: Kind, namespace: str) -> Iterator[JsonObject]:
        """Objects of one namespace ("": all), ordered by namespace and name as etcd's keys are."""
        for (object_namespace, _), obj in sorted(self._objects.get(_table(kind), {}).items()):
            if namespace in ("", object_namespace):
                yield copy.deepcopy(obj)

    def create(self, kind: Kind, namespace: str, obj: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """Store a new object under its metadata.name (made from generateName where absent).

        Raises Failure 409 when it exists, 422 without a name, 507 when the store is full.
        """
        obj = copy.deepcopy(obj)
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        name = metadata.get("name") or ""
        if not name:
            raise Failure(
                422,
                "Invalid",
                f'{kind.kind} "" is invalid: metadata.name: Required value: name or generateName is required',
                kind=kind.kind,
            )
        if (namespace, name) in self._objects.get(_table(kind), {}):
            qualified = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
            raise Failure(
                409,
                "AlreadyExists",
                f'{qualified} "{name}" already exists',
                kind=kind.plural,
                name=name,
                group=kind.group,
            )
        if self._count >= MAX_OBJECTS:
            raise Failure(507, "InternalError", "the stand-in holds no more objects")
        if kind.namespaced:
            metadata["namespace"] = namespace
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._now()}
        obj |= {"apiVersion": kind.api_version, "kind": kind.kind}
        return self._write("ADDED", kind, namespace, obj, None, dry_run)

    def replace(self, kind: Kind, namespace: str, obj: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """Store a new state of an object that exists. Raises Failure 404, or 409 on an old resourceVersion."""
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        name = metadata["name"]
        before = self.get(kind, namespace, name)
        wanted = metadata.get("resourceVersion")
        if wanted and wanted != before["metadata"]["resourceVersion"]:
            why = (
                "the object has been modified; please apply your changes to the latest version and try again"
            )
            qualified = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
            raise Failure(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {qualified} "{name}": {why}',
                kind=kind.plural,
                name=name,
                group=kind.group,
            )
        for key in ("uid", "creationTimestamp", "resourceVersion"):
            metadata[key] = before["metadata"][key]
        if kind.namespaced:
            metadata["namespace"] = namespace
        obj |= {"apiVersion": kind.api_version, "kind": kind.kind}
        if obj == before:
            return before  # a write that changes nothing makes no revision and no event
        return self._write("MODIFIED", kind, namespace, obj, before, dry_run)

    def delete(self, kind: Kind, namespace: str, name: str, *, dry_run: bool = False) -> JsonObject:
        """Remove an object; returns it as it was. Raises Failure 404."""
        before = self.get(kind, namespace, name)
        return self._write("DELETED", kind, namespace, copy.deepcopy(before), before, dry_run)

    def changes_since(self, revision: int) -> Iterator[Change]:
        """Changes after a revision, oldest first. Raises Failure 410 when some are forgotten."""
        oldest = self._history[0].revision if self._history else self.revision + 1
        if len(self._history) == MAX_HISTORY and revision < oldest - 1:
            raise Failure(410, "Expired", f"too old resource version: {revision} ({oldest})")
        # From the newest back: every watcher asks after every write, and the history holds thousands.
        news = list(itertools.takewhile(lambda change: change.revision > revision, reversed(self._history)))
        return reversed(news)

    def _write(
        self,
        what: ChangeType,
        kind: Kind,
        namespace: str,
        obj: JsonObject,
        before: JsonObject | None,
        dry_run: bool,
    ) -> JsonObject:
        if dry_run:
            return obj
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        table = self._objects.setdefault(_table(kind), {})
        key = (namespace, obj["metadata"]["name"])
        if what == "DELETED":
            del table[key]
        else:
            table[key] = obj
        self._count += {"ADDED": 1, "MODIFIED": 0, "DELETED": -1}[what]
        self._history.append(Change(self.revision, what, kind, copy.deepcopy(obj), before))
        self._notify()
        return copy.deepcopy(obj)


def _table(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}"
