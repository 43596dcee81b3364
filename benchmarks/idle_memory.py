"""What an idle watch and an idle exec cost: memory of the gateway for one of many that are open and say nothing.

    python -m benchmarks.idle_memory [--count 200] [--json FILE]

Each kind has a gateway of its own. The first few are not counted: with them comes what is needed once. Execs have
echoed a key, watches have had their head. The clients are in this process; keeper and API server are not counted.
"""

import argparse
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from benchmarks.processes import GatewayProcess, rss_bytes, start_gateway, start_standin
from benchmarks.report import write_json
from benchmarks.streams import press_key
from benchmarks.tunnel_client import Tunnel, open_exec
from benchmarks.watch_client import Http2Watches, Watch, watch_http1

FIRST_FEW: Final = 20
SETTLE_S: Final = 1.5
WATCHED: Final = "/api/v1/namespaces/default/configmaps?watch=true"
WATCHES_PER_CONNECTION: Final = 50
"""client-go's informers share one HTTP/2 connection."""

Opener = Callable[[GatewayProcess, trio.Nursery, int], Awaitable[None]]
"""Opens so many, returns once all are established; they stay open until the nursery is cancelled."""


class Execs:
    """Interactive ones over one transport."""

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self._open: list[Tunnel] = []  # else they would be closed

    async def open(self, gateway: GatewayProcess, nursery: trio.Nursery, count: int) -> None:
        for _ in range(count):
            tunnel = await open_exec(gateway.cluster, self._transport, "cat")
            await press_key(tunnel)
            self._open.append(tunnel)


async def open_watches_http1(gateway: GatewayProcess, nursery: trio.Nursery, count: int) -> None:
    """Each on a connection of its own."""
    for number in range(count):
        watch = Watch(f"idle-{number}")
        nursery.start_soon(watch_http1, gateway.cluster, WATCHED, watch)
        await watch.opened.wait()


async def open_watches_http2(gateway: GatewayProcess, nursery: trio.Nursery, count: int) -> None:
    for start in range(0, count, WATCHES_PER_CONNECTION):
        connection = await Http2Watches.connect(gateway.cluster)
        watches = [
            Watch(f"idle-{number}") for number in range(start, min(start + WATCHES_PER_CONNECTION, count))
        ]
        for watch in watches:
            await connection.open(WATCHED, watch)
        nursery.start_soon(connection.run)
        for watch in watches:
            await watch.opened.wait()


async def measure(gateway: GatewayProcess, open_more: Opener, count: int) -> float:
    """KiB of resident memory per one."""
    async with trio.open_nursery() as nursery:
        await open_more(gateway, nursery, FIRST_FEW)
        await trio.sleep(SETTLE_S)
        before = rss_bytes(gateway.pid)
        await open_more(gateway, nursery, count)
        await trio.sleep(SETTLE_S)
        after = rss_bytes(gateway.pid)
        nursery.cancel_scope.cancel()
    return (after - before) / 1024 / count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="how many of each to open")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    kinds: dict[str, Callable[[], Opener]] = {
        "exec, websocket": lambda: Execs("websocket").open,
        "exec, spdy": lambda: Execs("spdy").open,
        "watch, HTTP/1.1": lambda: open_watches_http1,
        "watch, HTTP/2": lambda: open_watches_http2,
    }
    results: dict[str, object] = {}
    for kind, make in kinds.items():
        with contextlib.ExitStack() as stack:
            gateway = start_gateway(stack, start_standin(stack).kubeconfig)
            each_kib = trio.run(partial(measure, gateway, make(), arguments.count))
        print(f"{kind:18} {each_kib:7.1f} KiB each")
        results[kind] = {"kib_each": each_kib, "count": arguments.count}
    write_json(arguments.json, {"idle_memory": results})


if __name__ == "__main__":
    main()
