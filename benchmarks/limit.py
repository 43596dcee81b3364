"""Where each microsecond of a call goes: the same GET over layers that do more and more, asked in turns.

    direct          the API server itself
    relay of bytes  TLS in, TLS out, nothing read: what remains to the limit of this language and event loop
    relay of HTTP   the same, and HTTP/1.1 taken apart and put together
    kubectl proxy   where there is a kubectl; takes no TLS from its client
    kubetape        all of it: identified, decided, recorded, counted; relaxed waits for no disk, balanced does

"added" is over direct, at the same percentile. CPU is that of the layer's process, by the scheduler, per call.

    python -m benchmarks.limit --rounds 200 [--json FILE]
"""

import argparse
import contextlib
import json
import ssl
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.against import gateway_cpu_s
from benchmarks.http_client import Client, Http1Client, connect_http1, open_socket
from benchmarks.processes import running, start_gateway, start_kubectl_proxy, start_standin
from benchmarks.report import summary, write_json
from gateway.upstream.credentials import load_kubeconfig

CALLS_PER_ROUND: Final = 10
WARM_UP_CALLS: Final = 200
PATH: Final = "/api/v1/namespaces/default"


@dataclass
class Layer:
    """One way to the API server. pid: of the process that is the layer, None for none."""

    name: str
    client: Client
    pid: int | None = None
    cpu_s: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def call(self) -> None:
        before = gateway_cpu_s(self.pid) if self.pid else 0.0
        self.seconds += [self.client.call("GET", PATH) for _ in range(CALLS_PER_ROUND)]
        if self.pid:
            self.cpu_s += gateway_cpu_s(self.pid) - before


def open_layers(stack: contextlib.ExitStack) -> list[Layer]:
    standin = start_standin(stack)
    with_token = load_kubeconfig(standin.kubeconfig.with_name("admin-token.kubeconfig"))
    token = with_token.credential.authorization()
    layers = [Layer("direct", connect_http1(with_token))]
    for kind, name in (("bytes", "relay of bytes"), ("http", "relay of HTTP")):
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-"))
        command = [sys.executable, "-m", "benchmarks.relays", kind]
        command += ["--kubeconfig", str(standin.kubeconfig), "--directory", directory]
        pid, port = stack.enter_context(running(command, r"on port (\d+)"))
        context = ssl.create_default_context(cafile=str(Path(directory) / "ca.crt"))
        sock = open_socket("127.0.0.1", int(port), context, "localhost")
        layers.append(Layer(name, Http1Client(sock, "localhost", token), pid))
    proxy = start_kubectl_proxy(stack, standin.kubeconfig)
    if proxy is not None:
        sock = open_socket("127.0.0.1", proxy[1], None, None)
        layers.append(Layer("kubectl proxy", Http1Client(sock, "127.0.0.1", None), proxy[0]))
    for durability in ("relaxed", "balanced"):
        gateway = start_gateway(stack, standin.kubeconfig, durability=durability)
        layers.append(Layer(f"kubetape {durability}", connect_http1(gateway.cluster), gateway.pid))
    return layers


def measure(layers: list[Layer], rounds: int) -> None:
    for layer in layers:
        for _ in range(WARM_UP_CALLS):
            layer.client.call("GET", PATH)
    for number in range(rounds):
        turn = number % len(layers)
        for layer in layers[turn:] + layers[:turn]:
            layer.call()


def show(layers: list[Layer]) -> dict[str, object]:
    base = summary(layers[0].seconds)
    print(f"{'layer':17} {'p50':>7} {'p99':>7} {'+p50':>7} {'+p99':>7} {'CPU':>7}  ms")
    found: dict[str, object] = {}
    for layer in layers:
        figures = summary(layer.seconds)
        row = [figures["p50"], figures["p99"], figures["p50"] - base["p50"], figures["p99"] - base["p99"]]
        row.append(layer.cpu_s / len(layer.seconds))
        print(f"{layer.name:17} " + " ".join(f"{value * 1e3:7.3f}" for value in row))
        found[layer.name] = {"seconds": figures, "cpu_s_per_call": row[-1]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, help=f"of {CALLS_PER_ROUND} calls on every layer")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        layers = open_layers(stack)
        measure(layers, arguments.rounds)
        found = show(layers)
    write_json(arguments.json, json.loads(json.dumps({"layers": found})))


if __name__ == "__main__":
    main()
