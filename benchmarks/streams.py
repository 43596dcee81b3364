"""What streams cost: keystroke to echo, start of an exec, bytes per second and per core; direct vs kubetape.

    python -m benchmarks.streams [--kubeconfig FILE] [--mib 256] [--keys 1000] [--json FILE]

Over WebSocket (exec v5, tunnelled port-forward) and SPDY, one target after the other in each round. "MB/s/core"
is by the CPU time of the gateway process, all its threads; the keeper, which indexes afterwards at low priority,
is counted apart and until it has caught up. A cluster of your own needs a pod `web` in namespace default with cat,
wc and a file /big/64MiB.bin, and something that answers `GET /bytes/N` on port 8080.
"""

import argparse
import contextlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from benchmarks.processes import GatewayProcess, start_gateway, start_standin
from benchmarks.report import cpu_seconds, summary, write_json
from benchmarks.tunnel_client import Tunnel, open_exec, open_forward, received
from gateway.upstream.credentials import UpstreamCluster, load_kubeconfig
from protocol.events import Channel, ChannelData, ChannelEnded, Failed, PeerClosed, TunnelClosed

MIB: Final = 1 << 20
UPLOAD_PIECE: Final = bytes(range(256)) * 128
"""32 KiB: what kubectl copies at once."""
TRANSPORTS: Final = ("websocket", "spdy")


@dataclass
class Way:
    """One way to the cluster. gateway: None for the direct one."""

    name: str
    cluster: UpstreamCluster
    gateway: GatewayProcess | None
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    keeper_cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    async def timed(self, step: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run once; add the time it took and the CPU the gateway spent on it."""
        before = cpu_seconds(self.gateway.pid) if self.gateway else 0.0
        start = time.perf_counter()
        await run()
        self.seconds[step].append(time.perf_counter() - start)
        if self.gateway:
            self.cpu_s[step] += cpu_seconds(self.gateway.pid) - before

    async def timed_with_keeper(self, step: str, run: Callable[[], Awaitable[None]]) -> None:
        """The same, then wait for the keeper to rest, and count what it spent."""
        pid = self.gateway.keeper_pid if self.gateway else None
        before = cpu_seconds(pid) if pid else 0.0
        await self.timed(step, run)
        if pid:
            await keeper_rests(pid)
            self.keeper_cpu_s[step] += cpu_seconds(pid) - before


async def keeper_rests(pid: int) -> None:
    """Return when a keeper has used next to no CPU for 1.5 s."""
    last = -1.0
    while (now := cpu_seconds(pid)) - last > 0.1:
        last = now
        await trio.sleep(1.5)


async def run_to_end(tunnel: Tunnel) -> int:
    """Take everything until the exec is over; returns the bytes of its output."""
    size = 0
    while True:
        events = await tunnel.receive()
        size += len(received(events, Channel.STDOUT, Channel.STDERR))
        if any(isinstance(event, TunnelClosed | PeerClosed | Failed) for event in events):
            tunnel.close()
            return size


async def start_and_end(cluster: UpstreamCluster, transport: str) -> None:
    await run_to_end(await open_exec(cluster, transport, "true"))


async def press_key(tunnel: Tunnel) -> None:
    await tunnel.send(ChannelData(Channel.STDIN, b"x"))
    while not received(await tunnel.receive(), Channel.STDOUT):
        pass


async def download(cluster: UpstreamCluster, transport: str, mib: int) -> None:
    tunnel = await open_exec(cluster, transport, "cat", *["/big/64MiB.bin"] * (mib // 64))
    size = await run_to_end(tunnel)
    if size != mib * MIB:
        raise SystemExit(f"download over {transport}: {size} bytes came instead of {mib * MIB}")


async def upload(cluster: UpstreamCluster, transport: str, mib: int) -> None:
    tunnel = await open_exec(cluster, transport, "wc", "-c")
    shown: list[bytes] = []
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            while True:
                events = await tunnel.receive()
                shown.append(received(events, Channel.STDOUT))
                if any(isinstance(event, TunnelClosed | PeerClosed | Failed) for event in events):
                    return

        nursery.start_soon(listen)
        for _ in range(mib * MIB // len(UPLOAD_PIECE)):
            await tunnel.send(ChannelData(Channel.STDIN, UPLOAD_PIECE))
        await tunnel.send(ChannelEnded(Channel.STDIN))
    tunnel.close()
    if int(b"".join(shown) or b"0") != mib * MIB:
        raise SystemExit(f"upload over {transport}: the pod counted {b''.join(shown)!r}")


async def forward(cluster: UpstreamCluster, transport: str, mib: int) -> None:
    tunnel = await open_forward(cluster, transport, 8080)
    request = b"GET /bytes/%d HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n" % (mib * MIB)
    await tunnel.send(ChannelData(Channel.DATA, request))
    size = 0
    while size < mib * MIB:
        events = await tunnel.receive()
        size += len(received(events, Channel.DATA))
        if any(isinstance(event, TunnelClosed | PeerClosed | Failed) for event in events):
            raise SystemExit(f"port-forward over {transport} ended after {size} bytes")
    tunnel.close()


async def measure(ways: list[Way], arguments: argparse.Namespace) -> None:
    for transport in TRANSPORTS:
        for _ in range(arguments.starts):
            for way in ways:
                await way.timed(f"start {transport}", partial(start_and_end, way.cluster, transport))
        typing = [(way, await open_exec(way.cluster, transport, "cat")) for way in ways]
        for number in range(arguments.keys + 20):
            for way, tunnel in typing:
                # the first ones warm up the way
                step = f"echo {transport}" if number >= 20 else f"warm {transport}"
                await way.timed(step, partial(press_key, tunnel))
        for _, tunnel in typing:
            tunnel.close()
        for step, run in (("download", download), ("upload", upload), ("forward", forward)):
            for way in ways:
                print(f"{step} over {transport}, {way.name}", file=sys.stderr)
                await way.timed_with_keeper(
                    f"{step} {transport}", partial(run, way.cluster, transport, arguments.mib)
                )


def show(ways: list[Way], mib: int) -> dict[str, object]:
    results: dict[str, object] = {}
    print(
        f"{'step':20} {'way':10} {'p50':>7} {'p90':>7} {'p99':>7} {'+p50':>7} {'+p99':>7}  ms; gateway CPU ms each"
    )
    for step in (f"{what} {transport}" for what in ("echo", "start") for transport in TRANSPORTS):
        base = summary(ways[0].seconds[step])
        for way in ways:
            figures = summary(way.seconds[step])
            row = [figures[key] * 1e3 for key in ("p50", "p90", "p99")]
            row += [(figures[key] - base[key]) * 1e3 for key in ("p50", "p99")]
            cpu_ms = way.cpu_s[step] / len(way.seconds[step]) * 1e3
            print(
                f"{step:20} {way.name:10} " + " ".join(f"{value:7.2f}" for value in row) + f"  {cpu_ms:.2f}"
            )
            results[f"{step}, {way.name}"] = {"seconds": figures, "gateway_cpu_ms": cpu_ms}
    print(f"\n{'step':20} {'way':10} {'MB/s':>7} {'MB/s/core':>10} {'keeper CPU s per 100 MB':>25}")
    for step in (
        f"{what} {transport}" for what in ("download", "upload", "forward") for transport in TRANSPORTS
    ):
        for way in ways:
            megabytes = mib * MIB / 1e6
            speed = megabytes / way.seconds[step][0]
            per_core = megabytes / way.cpu_s[step] if way.cpu_s[step] else 0.0
            keeper = way.keeper_cpu_s[step] / megabytes * 100
            print(f"{step:20} {way.name:10} {speed:7.0f} {per_core:10.0f} {keeper:25.2f}")
            results[f"{step}, {way.name}"] = {
                "mb_per_s": speed,
                "mb_per_s_and_core": per_core,
                "keeper_cpu_s_per_100_mb": keeper,
            }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kubeconfig", type=Path, help="cluster to measure on; default: the stand-in API server"
    )
    parser.add_argument("--mib", type=int, default=256, help="size of a transfer, in steps of 64")
    parser.add_argument("--keys", type=int, default=1000, help="keystrokes to time")
    parser.add_argument("--starts", type=int, default=50, help="execs to start")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        kubeconfig = arguments.kubeconfig or start_standin(stack).kubeconfig
        gateway = start_gateway(stack, kubeconfig)
        ways = [
            Way("direct", load_kubeconfig(kubeconfig), None),
            Way("kubetape", gateway.cluster, gateway),
        ]
        trio.run(measure, ways, arguments)
        results = show(ways, arguments.mib)
    write_json(arguments.json, json.loads(json.dumps({"streams": results})))


if __name__ == "__main__":
    main()
