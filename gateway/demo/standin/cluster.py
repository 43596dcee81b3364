"""The toy cluster while it runs: the store, word of its changes, each pod's files, the clock.

Conduct's share of state: what handlers of one stand-in have in common, made by `server`.
"""

import time
from datetime import UTC, datetime

import trio

from gateway.demo.standin import seed
from gateway.demo.standin.api.kinds import Kind, find_kind
from gateway.demo.standin.api.store import Store
from gateway.demo.standin.pod.filetree import FileTree, seed_tree
from gateway.demo.standin.replies import JsonObject
from gateway.demo.standin.settings import Identity, StandinSettings
from gateway.demo.standin.target import Target


class Request:
    """One request as handlers see it. headers: lower-case names. body: read whole."""

    def __init__(
        self,
        method: str,
        target: Target,
        headers: tuple[tuple[bytes, bytes], ...],
        body: bytes,
        identity: Identity,
    ) -> None:
        self.method, self.target, self.headers = method, target, headers
        self.body, self.identity = body, identity

    def header(self, name: bytes) -> str:
        """The values of a header joined with commas, "" if absent."""
        return ", ".join(value.decode("latin-1") for key, value in self.headers if key == name)


class Cluster:
    """Everything handlers share."""

    def __init__(self, settings: StandinSettings) -> None:
        self.settings = settings
        self.store = Store(now_text, self._announce)
        self.started = datetime.now(UTC)
        self._started_s = time.monotonic()
        self._changed = trio.Event()
        self._trees: dict[str, FileTree] = {}
        seed.fill(self.store)

    def elapsed_s(self) -> float:
        """Seconds since the stand-in started."""
        return time.monotonic() - self._started_s

    async def wait_for_change(self) -> None:
        """Return after the next write to the store."""
        await self._changed.wait()

    def pod(self, target: Target) -> JsonObject:
        """The pod a subresource request names. Raises Failure 404."""
        return self.store.get(pod_kind(), target.namespace, target.name)

    def tree(self, pod: JsonObject) -> FileTree:
        """The files of one pod, made when first asked for; gone with the pod's uid."""
        uid = pod["metadata"]["uid"]
        if uid not in self._trees:
            self._trees[uid] = seed_tree(pod["metadata"]["namespace"], pod["metadata"]["name"])
        return self._trees[uid]

    def _announce(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def pod_kind() -> Kind:
    found = find_kind("", "v1", "pods")
    if found is None:
        raise AssertionError("the table of kinds has pods")
    return found


def now_text() -> str:
    """Now, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
