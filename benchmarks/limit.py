"""Where each microsecond goes: the same work through layers that do more and more, asked in turns.

    direct          the API server itself
    relay of bytes  TLS in, TLS out, nothing read: what remains to the limit of this language and event loop
    relay of HTTP   the same, and HTTP/1.1 taken apart and put together; of an exec its upgrade and its frames
    kubectl proxy   where there is a kubectl; takes no TLS from its client
    kubetape        all of it: identified, decided, recorded, counted; relaxed waits for no disk, balanced does

The work: a GET on a warm connection; a keystroke of an open exec, to its echo; the start of an exec, a connection and
two TLS handshakes, to the end of `true`. The last two over WebSocket, as kubectl does them.

"added" is over direct, at the same percentile. CPU is that of the layer's process, by the scheduler, each.

    python -m benchmarks.limit --rounds 200 [--only echo] [--json FILE]
"""

import argparse
import contextlib
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.against import gateway_cpu_s
from benchmarks.http_client import Endpoint, connect, endpoint_of
from benchmarks.processes import running, start_gateway, start_kubectl_proxy, start_standin
from benchmarks.report import summary, write_json
from benchmarks.side_by_side.stream_client import open_exec
from gateway.upstream.credentials import load_kubeconfig

PATH: Final = "/api/v1/namespaces/default"
POD: Final = f"{PATH}/pods/web"
TRANSPORT: Final = "websocket"
SETTLE_S: Final = 0.002
"""The last of a block may end its work after it has answered."""

Call = Callable[[], float]
"""Does one unit of work; seconds."""


@dataclass(frozen=True)
class Layer:
    """One way to the API server. pid: of the process that is the layer, None for none."""

    name: str
    endpoint: Endpoint
    pid: int | None = None


@dataclass(frozen=True)
class Work:
    """block: units a turn. relay: which of `benchmarks.relays` understands it."""

    title: str
    block: int
    relay: str
    open: Callable[[contextlib.ExitStack, Endpoint], Call]


@dataclass
class Row:
    """What one layer took for one kind of work."""

    call: Call
    cpu_s: float = 0.0
    seconds: list[float] = field(default_factory=list)


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


def open_layers(stack: contextlib.ExitStack, relay: str) -> list[Layer]:
    """relay: the one that stands for the layer of HTTP."""
    standin = start_standin(stack)
    direct = endpoint_of(load_kubeconfig(standin.kubeconfig.with_name("admin-token.kubeconfig")))
    layers = [Layer("direct", direct)]
    for kind, name in (("bytes", "relay of bytes"), (relay, "relay of HTTP")):
        layers.append(_open_relay(stack, kind, name, standin.kubeconfig, direct))
    proxy = start_kubectl_proxy(stack, standin.kubeconfig)
    if proxy is not None:
        endpoint = Endpoint("127.0.0.1", proxy[1], b"127.0.0.1", "127.0.0.1", None)
        layers.append(Layer("kubectl proxy", endpoint, proxy[0]))
    for durability in ("relaxed", "balanced"):
        gateway = start_gateway(stack, standin.kubeconfig, durability=durability)
        layers.append(Layer(f"kubetape {durability}", endpoint_of(gateway.cluster), gateway.pid))
    return layers


def _open_relay(
    stack: contextlib.ExitStack, kind: str, name: str, kubeconfig: Path, direct: Endpoint
) -> Layer:
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-"))
    command = [sys.executable, "-m", "benchmarks.relays", kind]
    command += ["--kubeconfig", str(kubeconfig), "--directory", directory]
    pid, port = stack.enter_context(running(command, r"on port (\d+)"))
    context = ssl.create_default_context(cafile=str(Path(directory) / "ca.crt"))
    endpoint = replace(
        direct, host="127.0.0.1", port=int(port), server_name="localhost", context=lambda alpn: context
    )
    return Layer(name, endpoint, pid)


def measure(layers: list[Layer], work: Work, rounds: int) -> dict[str, Row]:
    """By the name of the layer. The first tenth of the rounds warms up and is not counted."""
    with contextlib.ExitStack() as stack:
        rows = {layer.name: Row(work.open(stack, layer.endpoint)) for layer in layers}
        for number in range(-max(1, rounds // 10), rounds):
            turn = number % len(layers)
            for layer in layers[turn:] + layers[:turn]:
                row = rows[layer.name]
                before = gateway_cpu_s(layer.pid) if layer.pid else 0.0
                seconds = [row.call() for _ in range(work.block)]
                time.sleep(SETTLE_S)
                spent_s = gateway_cpu_s(layer.pid) - before if layer.pid else 0.0
                if number >= 0:
                    row.seconds += seconds
                    row.cpu_s += spent_s
    return rows


def show(title: str, rows: dict[str, Row]) -> dict[str, object]:
    base = summary(rows["direct"].seconds)
    print(f"{title:17} {'p50':>7} {'p99':>7} {'+p50':>7} {'+p99':>7} {'CPU':>7}  ms")
    found: dict[str, object] = {}
    for name, row in rows.items():
        figures = summary(row.seconds)
        shown = [figures["p50"], figures["p99"], figures["p50"] - base["p50"], figures["p99"] - base["p99"]]
        shown.append(row.cpu_s / len(row.seconds))
        print(f"{name:17} " + " ".join(f"{value * 1e3:7.3f}" for value in shown))
        found[name] = {"seconds": figures, "cpu_s_each": shown[-1]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, help="in which every layer does a block of work")
    parser.add_argument("--only", choices=WORKS, help="this kind of work alone")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    found = {}
    for name in [arguments.only] if arguments.only else WORKS:
        with contextlib.ExitStack() as stack:
            work = WORKS[name]
            rows = measure(open_layers(stack, work.relay), work, arguments.rounds)
        found[work.title] = show(work.title, rows)
    write_json(arguments.json, json.loads(json.dumps({"layers": found})))


if __name__ == "__main__":
    main()
