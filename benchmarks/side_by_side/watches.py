"""Delay of a watch event: from a change, made directly, to its event at a client that watches through a way."""

import contextlib
import json
import time

from benchmarks.http_client import READ_BYTES, BenchmarkFailed, Http1Client, Http2Client, connect
from benchmarks.side_by_side.interleave import Samples, interleave
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.site import Site, configmap
from benchmarks.side_by_side.ways import Lane, Ways

MERGE_PATCH = "application/merge-patch+json"
SILENCE_S = 1800


class Watcher:
    """An open watch of one object. `wait` returns when its next event is there."""

    def __init__(self, client: Http1Client | Http2Client, path: str) -> None:
        self._client, self._is_http1 = client, isinstance(client, Http1Client)
        client.sock.sendall(client.request("GET", path))
        self.wait()  # the object as it is: the watch is open

    def wait(self) -> None:
        """A line ends an event; heads and windows may come before it."""
        while b"\n" not in (data := self._read()) or b"{" not in data:
            pass

    def _read(self) -> bytes:
        data = self._client.sock.recv(READ_BYTES)
        if not data:
            raise BenchmarkFailed("the server closed a watch")
        return data


def measure_watches(ways: Ways, site: Site, plan: Plan, samples: Samples, run: int) -> None:
    lanes = ways.lanes()
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(contextlib.closing(connect(ways.direct.endpoint)))
        assert isinstance(writer, Http1Client)
        watchers = {}
        for lane in lanes:
            name = f"watched-{lane.name}-{run}".replace(" ", "-")
            writer.call("POST", site.configmaps, configmap(name, 1000))
            client = stack.enter_context(contextlib.closing(lane.connect()))
            path = f"{site.configmaps}?watch=true&fieldSelector=metadata.name%3D{name}&timeoutSeconds={SILENCE_S}"
            assert isinstance(client, Http1Client | Http2Client)
            watchers[lane.name] = (f"{site.configmaps}/{name}", Watcher(client, path))

        def change(lane: Lane, number: int) -> dict[str, float]:
            path, watcher = watchers[lane.name]
            request = writer.request(
                "PATCH", path, json.dumps({"data": {"number": str(number)}}).encode(), MERGE_PATCH
            )
            start = time.perf_counter()
            writer.sock.sendall(request)
            watcher.wait()
            seconds = time.perf_counter() - start
            writer.receive(f"PATCH {path}")
            return {"watch event": seconds}

        interleave("watch", lanes, plan.changes, change, samples, run)
