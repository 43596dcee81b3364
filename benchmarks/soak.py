"""Many execs and watches at once: nothing is lost, and memory and descriptors come back.

    python -m benchmarks.soak [--execs 100] [--watches 200] [--seconds 60] [--json FILE]

Each exec echoes small chunks at random moments, each watch sees every change a writer makes. All clients count
and hash what passes; afterwards that is compared with the gateway's log and with the stand-in's own record of
the same traffic. Memory of gateway and keeper is sampled each second; its slope is taken after a third of the
run. Exits with 1 when a byte differs anywhere.
"""

import argparse
import contextlib
import json
import random
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from benchmarks.http_client import Http1Client, connect_http1
from benchmarks.processes import (
    GatewayProcess,
    Standin,
    open_descriptors,
    rss_bytes,
    start_gateway,
    start_standin,
)
from benchmarks.report import cpu_seconds, write_json
from benchmarks.tunnel_client import Tunnel, open_exec, received
from benchmarks.watch_client import Http2Watches, Tally, Watch, watch_http1
from gateway.keys.opening import open_key_ring
from protocol.events import Channel, ChannelData, ChannelEnded, Failed, PeerClosed, TunnelClosed
from storage.records import ChannelChunk, Intent, Outcome, ResponseBody, decode_record
from storage.sources import SegmentLogs

HTTP2_CONNECTIONS: Final = 4
WATCH_TAIL_S: Final = 6
"""How long watches outlive the last change."""
CONFIGMAPS: Final = "/api/v1/namespaces/default/configmaps"


@dataclass(frozen=True)
class Shape:
    """How much of what. changes_per_s: of the writer; chunk_pause_s: mean, between two chunks of one exec."""

    execs: int = 100
    watches: int = 200
    seconds: float = 60.0
    changes_per_s: float = 2.0
    chunk_pause_s: float = 1.0


@dataclass
class Typist:
    """One exec of `cat`: what was sent and what came back."""

    mark: str
    transport: str
    sent: Tally = field(default_factory=Tally)
    echoed: Tally = field(default_factory=Tally)
    problem: str = "not complete"


@dataclass
class Sample:
    at_s: float
    gateway_rss: int
    keeper_rss: int
    descriptors: int


@dataclass
class Report:
    """What happened. problems: every difference found, in words."""

    problems: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


class Soak:
    """One run against one gateway and the stand-in behind it."""

    def __init__(self, gateway: GatewayProcess, standin: Standin, shape: Shape) -> None:
        self._gateway, self._standin, self._shape = gateway, standin, shape
        self._typists = [
            Typist(f"exec-{number}", ("websocket", "spdy")[number % 2]) for number in range(shape.execs)
        ]
        self._watches = [Watch(f"watch-{number}") for number in range(shape.watches)]
        self._client: Http1Client
        self._go, self._changes = trio.Event(), 0
        self.report = Report()

    async def run(self) -> Report:
        with contextlib.closing(connect_http1(self._gateway.cluster)) as self._client:
            return await self._run()

    async def _run(self) -> Report:
        await self._call("GET", CONFIGMAPS)
        await trio.sleep(1.0)
        base = self._sample()
        async with trio.open_nursery() as nursery:
            for typist in self._typists:
                await nursery.start(self._type, typist)
            await trio.sleep(1.0)
            with_execs = self._sample()
            await self._open_watches(nursery)
            await trio.sleep(1.0)
            with_watches = self._sample()
            cpu_s = cpu_seconds(self._gateway.pid)
            self._go.set()
            await self._write_and_sample()
            self.report.figures["gateway_cpu_share"] = (
                cpu_seconds(self._gateway.pid) - cpu_s
            ) / self._shape.seconds
        await trio.sleep(1.0)
        after = self._sample()
        self._compare()
        self.report.figures |= {
            "rss_mib_before": base.gateway_rss / 2**20,
            "rss_mib_after": after.gateway_rss / 2**20,
            "rss_kib_per_exec": (with_execs.gateway_rss - base.gateway_rss)
            / 1024
            / max(1, self._shape.execs),
            "rss_kib_per_watch": (with_watches.gateway_rss - with_execs.gateway_rss)
            / 1024
            / max(1, self._shape.watches),
            "rss_mib_peak": max(sample.gateway_rss for sample in self.report.samples) / 2**20,
            "keeper_rss_mib_peak": max(sample.keeper_rss for sample in self.report.samples) / 2**20,
            "rss_kib_per_minute": slope(self.report.samples) * 60 / 1024,
            "descriptors_before": base.descriptors,
            "descriptors_peak": max(sample.descriptors for sample in self.report.samples),
            "descriptors_after": after.descriptors,
            "changes": self._changes,
        }
        return self.report

    # --- the load ------------------------------------------------------------------------------

    async def _call(self, method: str, path: str, body: bytes = b"") -> None:
        await trio.to_thread.run_sync(self._client.call, method, path, body)

    async def _type(
        self, typist: Typist, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        tunnel = await open_exec(self._gateway.cluster, typist.transport, "cat", mark=typist.mark)
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_echo, tunnel, typist)
            chance = random.Random(typist.mark)
            await self._go.wait()
            with trio.move_on_after(self._shape.seconds):
                while True:
                    await trio.sleep(chance.expovariate(1 / self._shape.chunk_pause_s))
                    data = chance.randbytes(chance.randrange(1, 2000))
                    with trio.CancelScope(shield=True):
                        typist.sent.add(data)
                        await tunnel.send(ChannelData(Channel.STDIN, data))
            await tunnel.send(ChannelEnded(Channel.STDIN))
        await tunnel.stream.aclose()

    async def _read_echo(self, tunnel: Tunnel, typist: Typist) -> None:
        result = b""
        while True:
            events = await tunnel.receive()
            typist.echoed.add(received(events, Channel.STDOUT))
            result += received(events, Channel.ERROR)
            if any(isinstance(event, TunnelClosed | PeerClosed | Failed) for event in events):
                typist.problem = "" if b'"Success"' in result else f"ended with {result!r}, {events[-1]}"
                return

    async def _open_watches(self, nursery: trio.Nursery) -> None:
        """A third over HTTP/1.1, the others over a few HTTP/2 connections."""
        cluster = self._gateway.cluster
        seconds = int(self._shape.seconds) + WATCH_TAIL_S + len(self._watches) // 40
        target = f"{CONFIGMAPS}?resourceVersion={await self._revision()}&timeoutSeconds={seconds}&watch=true"
        shared = [await Http2Watches.connect(cluster) for _ in range(HTTP2_CONNECTIONS)]
        for number, watch in enumerate(self._watches):
            if number % 3 == 0:
                nursery.start_soon(watch_http1, cluster, target, watch)
            else:
                await shared[number % HTTP2_CONNECTIONS].open(target, watch)
        for connection in shared:
            nursery.start_soon(connection.run)
        for watch in self._watches:
            await watch.opened.wait()

    async def _revision(self) -> str:
        """The revision to watch from: that of a change of our own, the first one."""
        await self._call("POST", CONFIGMAPS, _configmap(0))
        found = await trio.to_thread.run_sync(self._client.fetch, CONFIGMAPS)
        return str(json.loads(found)["metadata"]["resourceVersion"])

    async def _write_and_sample(self) -> None:
        ends_at = trio.current_time() + self._shape.seconds
        next_sample = trio.current_time()
        while trio.current_time() < ends_at:
            self._changes += 1
            await self._call("POST", CONFIGMAPS, _configmap(self._changes))
            if trio.current_time() >= next_sample:
                self.report.samples.append(self._sample())
                next_sample += 1.0
            await trio.sleep(1 / self._shape.changes_per_s)

    def _sample(self) -> Sample:
        keeper = self._gateway.keeper_pid
        pid = self._gateway.pid
        return Sample(
            trio.current_time(), rss_bytes(pid), rss_bytes(keeper) if keeper else 0, open_descriptors(pid)
        )

    # --- the comparison ------------------------------------------------------------------------

    def _compare(self) -> None:
        log, seen = read_log(self._gateway), read_seen(self._standin)
        for typist in self._typists:
            self._expect(typist.mark, typist.problem, "")
            ours = {"stdin": typist.sent.as_json(), "stdout": typist.echoed.as_json()}
            self._expect(typist.mark, typist.sent.as_json(), typist.echoed.as_json())
            self._expect_both(typist.mark, log, seen, ours)
        for watch in self._watches:
            self._expect(watch.mark, watch.problem, "")
            self._expect(f"{watch.mark}: changes", watch.tally.lines, self._changes)
            self._expect_both(watch.mark, log, seen, {"body": watch.tally.as_json()})

    def _expect_both(self, mark: str, log: "Found", seen: "Found", ours: dict[str, Any]) -> None:
        self._expect(f"{mark}: log", {**log.get(mark, {})}, ours | {"result": "completed"})
        self._expect(f"{mark}: cluster", seen.get(mark), ours)

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.report.problems.append(f"{what}: {found} instead of {wanted}")


Found = dict[str, dict[str, Any]]
"""Mark of a call -> what was recorded of it: `stdin` and `stdout`, or `body`; `result` in the log."""


def read_log(gateway: GatewayProcess) -> Found:
    """What the gateway's log holds of the marked calls."""
    marks: dict[bytes, str] = {}
    tallies: dict[str, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
    results: dict[str, str] = {}
    source = SegmentLogs(gateway.directory, keys=open_key_ring(gateway.directory, [], use_kms=False))
    for log in source.logs():
        for _, encoded in source.records(log, None):
            record = decode_record(encoded)
            if isinstance(record, Intent) and record.kubectl_session:
                marks[record.exchange] = record.kubectl_session
                continue
            mark = marks.get(getattr(record, "exchange", b""))
            if mark is None:
                continue
            if isinstance(record, ChannelChunk) and record.channel in (Channel.STDIN, Channel.STDOUT):
                tallies[mark][Channel(record.channel).name.lower()].add(record.data)
            elif isinstance(record, ResponseBody):
                tallies[mark]["body"].add(record.data)
            elif isinstance(record, Outcome):
                results[mark] = record.result
    return {
        mark: {name: tally.as_json() for name, tally in tallies[mark].items()} | {"result": results.get(mark)}
        for mark in marks.values()
    }


def read_seen(standin: Standin) -> Found:
    """What the stand-in recorded of the same calls."""
    found: Found = {}
    for line in standin.seen.read_bytes().splitlines():
        request = json.loads(line)
        mark = dict(request["headers"]).get("kubectl-session")
        channels = {one["channel"]: one for one in request["channels"]}
        if mark and channels:
            found[mark] = {"stdin": channels["stdin"]["received"], "stdout": channels["stdout"]["sent"]}
        elif mark:
            found[mark] = {"body": request["response_body"]}
    return found


def slope(samples: list[Sample]) -> float:
    """Bytes of gateway memory a second, after the first third."""
    steady = samples[len(samples) // 3 :]
    if len(steady) < 3:
        return 0.0
    return statistics.linear_regression(
        [sample.at_s for sample in steady], [sample.gateway_rss for sample in steady]
    ).slope


def _configmap(number: int) -> bytes:
    metadata = {"name": f"soak-{number}", "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"number": str(number)}}
    return json.dumps(body).encode()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--execs", type=int, default=100)
    parser.add_argument("--watches", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        standin = start_standin(stack)
        gateway = start_gateway(stack, standin.kubeconfig)
        shape = Shape(arguments.execs, arguments.watches, arguments.seconds)
        report = trio.run(Soak(gateway, standin, shape).run)
    for name, value in report.figures.items():
        print(f"{name:22} {value:10.2f}")
    print("\n".join(report.problems[:20]) or "every byte is where it should be")
    samples = [vars(sample) for sample in report.samples]
    write_json(arguments.json, {"soak": report.figures, "samples": samples, "problems": report.problems})
    sys.exit(bool(report.problems))


if __name__ == "__main__":
    main()
