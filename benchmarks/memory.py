"""Memory while much data passes: it must stay flat, in the gateway and in its keeper, whatever the size.

    python -m benchmarks.memory [--mib 1024] [--seconds 20] [--json FILE]

Downloads and uploads through one exec, over WebSocket and SPDY, then follows a pod's log and watches for a
while. Memory is sampled ten times a second; "grew" is the highest sample over the one before the step.
The keeper indexes at low priority and is waited for.
"""

import argparse
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from benchmarks.processes import GatewayProcess, rss_bytes, start_gateway, start_standin
from benchmarks.report import cpu_seconds, write_json
from benchmarks.streams import MIB, download, keeper_rests, upload
from benchmarks.watch_client import Watch, watch_http1

SAMPLE_S: Final = 0.1


@dataclass
class Growth:
    """MiB and seconds of one step. keeper_s: CPU."""

    step: str
    gateway_before: float
    gateway_peak: float
    keeper_peak: float
    gateway_s: float
    keeper_s: float

    @property
    def grew(self) -> float:
        return self.gateway_peak - self.gateway_before


async def watch_memory(step: str, gateway: GatewayProcess, run: Callable[[], Awaitable[object]]) -> Growth:
    """Run a step to its end, keeper included, and say how far memory went."""
    keeper = gateway.keeper_pid
    assert keeper is not None
    peaks = {gateway.pid: rss_bytes(gateway.pid), keeper: rss_bytes(keeper)}
    before, cpu_s, keeper_s = peaks[gateway.pid], cpu_seconds(gateway.pid), cpu_seconds(keeper)
    async with trio.open_nursery() as nursery:

        async def sample() -> None:
            while True:
                for pid in peaks:
                    peaks[pid] = max(peaks[pid], rss_bytes(pid))
                await trio.sleep(SAMPLE_S)

        nursery.start_soon(sample)
        await run()
        cpu_s = cpu_seconds(gateway.pid) - cpu_s
        await keeper_rests(keeper)
        nursery.cancel_scope.cancel()
    return Growth(
        step,
        before / MIB,
        peaks[gateway.pid] / MIB,
        peaks[keeper] / MIB,
        cpu_s,
        cpu_seconds(keeper) - keeper_s,
    )


async def follow(gateway: GatewayProcess, target: str, seconds: float) -> None:
    """Read an endless answer for a while."""
    with trio.move_on_after(seconds):
        await watch_http1(gateway.cluster, target, Watch("memory"))


async def measure(gateway: GatewayProcess, mib: int, seconds: float) -> list[Growth]:
    mib = 64 * math.ceil(mib / 64)
    cluster, pods = gateway.cluster, "/api/v1/namespaces/default/pods"
    steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("warm up", partial(download, cluster, "websocket", 64)),
        (f"download {mib} MiB, websocket", partial(download, cluster, "websocket", mib)),
        (f"download {mib} MiB, spdy", partial(download, cluster, "spdy", mib)),
        (f"upload {mib} MiB, websocket", partial(upload, cluster, "websocket", mib)),
        (f"upload {mib} MiB, spdy", partial(upload, cluster, "spdy", mib)),
        (f"logs -f, {seconds:.0f} s", partial(follow, gateway, f"{pods}/web/log?follow=true", seconds)),
        (f"watch, {seconds:.0f} s", partial(follow, gateway, f"{pods}?watch=true", seconds)),
    ]
    return [await watch_memory(step, gateway, run) for step, run in steps]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=1024, help="size of a transfer, rounded up to 64")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to follow")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        gateway = start_gateway(stack, start_standin(stack).kubeconfig)
        grown = trio.run(measure, gateway, arguments.mib, arguments.seconds)
    print(
        f"{'step':30} {'gateway MiB':>12} {'peak':>7} {'keeper peak':>12} {'CPU s':>7} {'keeper CPU s':>13}"
    )
    for one in grown:
        print(
            f"{one.step:30} {one.gateway_before:12.1f} {one.gateway_peak:7.1f} {one.keeper_peak:12.1f} "
            f"{one.gateway_s:7.1f} {one.keeper_s:13.1f}"
        )
    write_json(arguments.json, {"memory": [vars(one) for one in grown]})


if __name__ == "__main__":
    main()
