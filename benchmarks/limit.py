"""Where each microsecond goes: the same work through layers that do more and more, asked in turns.

    direct          the API server itself
    relay of bytes  TLS in, TLS out, nothing read: what remains to the limit of this language and event loop
    relay of HTTP   the same, and HTTP/1.1 taken apart and put together; of an exec its upgrade and its frames
    kubectl proxy   where there is a kubectl; takes no TLS from its client
    kubetape        all of it: identified, decided, recorded, counted; relaxed waits for no disk, balanced does

The work: a GET on a warm connection; a keystroke of an open exec, to its echo; the start of an exec, a connection and
two TLS handshakes, to the end of `true`. The last two over WebSocket, as kubectl does them.

"added" is over direct, at the same percentile; turns and CPU are those of `kubetape bench`.

    python -m benchmarks.limit --rounds 200 [--only echo] [--json FILE]
"""

import argparse
import contextlib
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.http_client import Endpoint, connect, endpoint_of
from benchmarks.processes import running, start_gateway, start_kubectl_proxy, start_standin
from benchmarks.report import write_json
from benchmarks.side_by_side.figures import summarize
from benchmarks.side_by_side.interleave import Samples, interleave
from benchmarks.side_by_side.plan import Schedule
from benchmarks.side_by_side.result import Summary
from benchmarks.side_by_side.stream_client import open_exec
from benchmarks.side_by_side.ways import Lane, Way
from gateway.upstream.credentials import load_kubeconfig

PATH: Final = "/api/v1/namespaces/default"
POD: Final = f"{PATH}/pods/web"
TRANSPORT: Final = "websocket"

Call = Callable[[], float]
"""Does one unit of work; seconds."""


@dataclass(frozen=True)
class Work:
    """block: units a turn. relay: which of `benchmarks.relays` understands it."""

    title: str
    block: int
    relay: str
    open: Callable[[contextlib.ExitStack, Endpoint], Call]


def open_get(stack: contextlib.ExitStack, endpoint: Endpoint) -> Call:
    client = stack.enter_context(contextlib.closing(connect(endpoint)))
    return lambda: client.call("GET", PATH)


def open_echo(stack: contextlib.ExitStack, endpoint: Endpoint) -> Call:
    tunnel = stack.enter_context(contextlib.closing(open_exec(endpoint, POD, TRANSPORT, ["cat"])))
    return _timed(tunnel.press_key)


def open_start(stack: contextlib.ExitStack, endpoint: Endpoint) -> Call:
    return _timed(lambda: open_exec(endpoint, POD, TRANSPORT, ["true"]).run_to_end())


def _timed(work: Callable[[], object]) -> Call:
    def call() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return call


WORKS: Final = {
    "get": Work("GET of 500 B", 10, "http", open_get),
    "echo": Work("keystroke to echo", 20, "exec", open_echo),
    "start": Work("start of an exec", 4, "exec", open_start),
}


def open_layers(stack: contextlib.ExitStack, relay: str) -> list[Way]:
    """relay: the one that stands for the layer of HTTP."""
    standin = start_standin(stack)
    direct = endpoint_of(load_kubeconfig(standin.kubeconfig.with_name("admin-token.kubeconfig")))
    layers = [Way("direct", direct, standin.kubeconfig)]
    for kind, name in (("bytes", "relay of bytes"), (relay, "relay of HTTP")):
        pid, endpoint = _open_relay(stack, kind, standin.kubeconfig, direct)
        layers.append(Way(name, endpoint, standin.kubeconfig, pid))
    proxy = start_kubectl_proxy(stack, standin.kubeconfig)
    if proxy is not None:
        endpoint = Endpoint("127.0.0.1", proxy[1], b"127.0.0.1", "127.0.0.1", None)
        layers.append(Way("kubectl proxy", endpoint, standin.kubeconfig, proxy[0]))
    for durability in ("relaxed", "balanced"):
        gateway = start_gateway(stack, standin.kubeconfig, durability=durability)
        layers.append(
            Way(f"kubetape {durability}", endpoint_of(gateway.cluster), standin.kubeconfig, gateway.pid)
        )
    return layers


def _open_relay(
    stack: contextlib.ExitStack, kind: str, kubeconfig: Path, direct: Endpoint
) -> tuple[int, Endpoint]:
    """(pid, where it listens); it takes the credential of `direct`."""
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-"))
    command = [sys.executable, "-m", "benchmarks.relays", kind]
    command += ["--kubeconfig", str(kubeconfig), "--directory", directory]
    pid, port = stack.enter_context(running(command, r"on port (\d+)"))
    context = ssl.create_default_context(cafile=str(Path(directory) / "ca.crt"))
    endpoint = replace(
        direct, host="127.0.0.1", port=int(port), server_name="localhost", context=lambda alpn: context
    )
    return pid, endpoint


def measure(layers: list[Way], work: Work, rounds: int, samples: Samples) -> None:
    with contextlib.ExitStack() as stack:
        calls = {layer.name: work.open(stack, layer.endpoint) for layer in layers}

        def once(lane: Lane, number: int) -> dict[str, float]:
            return {work.title: calls[lane.name]()}

        schedule = Schedule(rounds, work.block, 1 + rounds // 10)
        interleave("limit", [Lane(layer, "h1") for layer in layers], schedule, once, samples, 0)


def show(rows: list[Summary]) -> None:
    print(f"{rows[0].step:17} {'p50':>7} {'p99':>7} {'+p50':>7} {'+p99':>7}  ms; CPU ms each")
    for one in rows:
        figures = (one.p50_ms, one.p99_ms, one.added_p50_ms, one.added_p99_ms)
        cpu = ", ".join(f"{role} {spent:.3f}" for role, spent in one.cpu_ms.items())
        print(f"{one.lane:17} {' '.join(f'{value:7.3f}' for value in figures)}  {cpu}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, help="in which every layer does a block of work")
    parser.add_argument("--only", choices=WORKS, help="this kind of work alone")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    found: list[Summary] = []
    for name in [arguments.only] if arguments.only else WORKS:
        samples = Samples()
        with contextlib.ExitStack() as stack:
            work = WORKS[name]
            measure(open_layers(stack, work.relay), work, arguments.rounds, samples)
        rows = summarize(samples.series())
        show(rows)
        found += rows
    write_json(arguments.json, {"layers": msgspec.to_builtins(found)})


if __name__ == "__main__":
    main()
