"""Answers that do not end by themselves: watches of objects, and pod logs that follow.

Each chunk is one piece of the body and goes out at once. Source: apiserver endpoints/handlers/watch.go,
KEP-3157 for initial events and bookmarks.
"""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Final

import trio

from gateway.demo.standin.api.bodies import object_namespace, selected, whole_number
from gateway.demo.standin.api.kinds import Kind
from gateway.demo.standin.api.selectors import Matches
from gateway.demo.standin.api.store import Change
from gateway.demo.standin.api.tables import render_table, wants_table
from gateway.demo.standin.cluster import Cluster, Request
from gateway.demo.standin.pod import podlog
from gateway.demo.standin.replies import Failure, JsonObject, Reply, bad_request, encode_json, failure_status

BOOKMARK_INTERVAL_S: Final = 60.0
DEFAULT_WATCH_S: Final = 1800.0


def watch_objects(request: Request, cluster: Cluster, kind: Kind) -> Reply:
    """Events of one kind from a revision on, or from what there is now."""
    since = whole_number(request, "resourceVersion")
    matches = _narrowed(request, selected(request))
    duration_s = float(whole_number(request, "timeoutSeconds")) or DEFAULT_WATCH_S
    return Reply(200, _Watch(request, cluster, kind, matches).events(since, duration_s))


def _narrowed(request: Request, matches: Matches) -> Matches:
    """The old path form /watch/.../pods/NAME watches one object."""
    name = request.target.name
    return (lambda obj: obj["metadata"]["name"] == name and matches(obj)) if name else matches


class _Watch:
    def __init__(self, request: Request, cluster: Cluster, kind: Kind, matches: Matches) -> None:
        self._request, self._store, self._kind, self._matches = request, cluster.store, kind, matches
        self._cluster = cluster
        self._as_table = wants_table(request.header(b"accept"))
        self._bookmarks = request.target.flag("allowWatchBookmarks")
        self._namespace = object_namespace(request, kind)
        self._columns_due = True

    async def events(self, since: int, duration_s: float) -> AsyncGenerator[bytes, None]:
        """Event lines, several a chunk where several are due at once."""
        initial = self._request.target.flag("sendInitialEvents")
        revision = since
        if initial or revision == 0:
            revision = self._store.revision
            lines = [
                self._line("ADDED", obj)
                for obj in self._store.list(self._kind, self._namespace)
                if self._matches(obj)
            ]
            if initial and self._bookmarks:
                lines.append(self._bookmark(revision, {"k8s.io/initial-events-end": "true"}))
            yield b"".join(lines)
        ends_at = trio.current_time() + duration_s
        bookmark_at = trio.current_time() + BOOKMARK_INTERVAL_S
        while trio.current_time() < ends_at:
            try:
                changes = [
                    change for change in self._store.changes_since(revision) if change.kind is self._kind
                ]
            except Failure as gone:
                yield encode_json({"type": "ERROR", "object": failure_status(gone)})
                return
            revision = max(revision, self._store.revision)
            lines = [line for change in changes if (line := self._event(change))]
            if self._bookmarks and trio.current_time() >= bookmark_at:
                lines.append(self._bookmark(revision, {}))
                bookmark_at = trio.current_time() + BOOKMARK_INTERVAL_S
            if lines:
                yield b"".join(lines)
            if self._store.revision > revision:
                continue  # written while we were sending: the announcement of it has passed
            with trio.move_on_at(min(ends_at, bookmark_at) if self._bookmarks else ends_at):
                await self._cluster.wait_for_change()

    def _event(self, change: Change) -> bytes:
        """A change as this watcher sees it, "" if it does not: a label may move it in or out."""
        if self._namespace not in ("", change.obj["metadata"].get("namespace", "")):
            return b""
        now = change.type != "DELETED" and self._matches(change.obj)
        before = change.before is not None and self._matches(change.before)
        if now:
            return self._line("MODIFIED" if before else "ADDED", change.obj)
        return self._line("DELETED", change.obj) if before else b""

    def _line(self, what: str, obj: JsonObject) -> bytes:
        if not self._as_table:
            return encode_json({"type": what, "object": obj})
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        include = self._request.target.first("includeObject")
        table = render_table(
            self._kind, [obj], metadata, datetime.now(UTC), include, columns=self._columns_due
        )
        self._columns_due = False
        return encode_json({"type": what, "object": table})

    def _bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        metadata: JsonObject = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        if self._as_table:
            table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            return encode_json({"type": "BOOKMARK", "object": table | {"columnDefinitions": [], "rows": []}})
        obj = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return encode_json({"type": "BOOKMARK", "object": obj})


def pod_log(request: Request, cluster: Cluster) -> Reply:
    """The log of a pod's container: what there is, and with `follow` what comes."""
    target = request.target
    pod = cluster.pod(target)
    names = [one["name"] for one in pod["spec"]["containers"]]
    container = target.first("container")
    if container and container not in names:
        raise bad_request(f"container {container} is not valid for pod {target.name}")
    if not container and len(names) > 1:
        raise bad_request(
            f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(names)}]"
        )
    tail = whole_number(request, "tailLines") if target.first("tailLines") else None
    if target.flag("previous"):
        raise bad_request(
            f'previous terminated container "{container or names[0]}" in pod "{target.name}" not found'
        )
    count = podlog.line_count(cluster.elapsed_s())
    first = podlog.first_line(count, tail)
    plain = ((b"content-type", b"text/plain"),)
    if target.flag("follow"):
        return Reply(200, _follow_log(request, cluster, first), plain)
    lines = b"".join(_log_line(request, cluster, number) for number in range(first, count))
    limit = whole_number(request, "limitBytes")
    return Reply(200, lines[:limit] if limit else lines, plain)


async def _follow_log(request: Request, cluster: Cluster, first: int) -> AsyncGenerator[bytes, None]:
    """Lines from `first` on, until the client leaves or the pod is deleted."""
    while True:
        count = podlog.line_count(cluster.elapsed_s())
        if lines := b"".join(_log_line(request, cluster, number) for number in range(first, count)):
            yield lines
        first = max(first, count)
        await trio.sleep(podlog.LINE_INTERVAL_S / 2)
        try:
            cluster.pod(request.target)
        except Failure:
            return


def _log_line(request: Request, cluster: Cluster, number: int) -> bytes:
    line = podlog.log_line(request.target.namespace, request.target.name, number)
    return podlog.stamp(cluster.started, number) + line if request.target.flag("timestamps") else line
