"""Added latency and CPU of one call: direct, `kubectl proxy`, kubetape; interleaved in one run.

Starts a gateway (and a `kubectl proxy` when there is a kubectl) in front of the cluster of a kubeconfig, or of
the stand-in API server when none is given. Every round asks each target once, on a warm connection, in turn:
whatever else the machine is doing meets all of them alike. "added" is over direct, at the same percentile.
Works on the namespace default: get (the namespace), list (its pods), post and delete (a ConfigMap).

    python -m benchmarks.calls --rounds 2000 [--kubeconfig ~/.kube/config] [--json FILE]
"""

import argparse
import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.http_client import Client, Http1Client, connect_http1, connect_http2, open_socket
from benchmarks.processes import start_gateway, start_kubectl_proxy, start_standin
from benchmarks.report import cpu_seconds, summary, write_json
from gateway.upstream.credentials import load_kubeconfig

WARM_UP_ROUNDS = 50
NAMESPACE = "/api/v1/namespaces/default"
OPERATIONS = ("get", "list", "write")


@dataclass
class Target:
    """One way to the API server. pids: whose CPU is counted as the price of going this way, by name."""

    name: str
    client: Client
    pids: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by step
    cpu_ms: dict[str, dict[str, float]] = field(default_factory=dict)  # operation -> process -> per call


def run_once(target: Target, operation: str, number: int) -> dict[str, float]:
    """One round of an operation on one target: step -> seconds."""
    client = target.client
    if operation == "get":
        return {"get": client.call("GET", NAMESPACE)}
    if operation == "list":
        return {"list": client.call("GET", f"{NAMESPACE}/pods?limit=500")}
    name = f"bench-{target.name.replace(' ', '-').replace(',', '')}-{number}"
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value " * 40}}
    return {
        "post": client.call("POST", f"{NAMESPACE}/configmaps", json.dumps(body).encode()),
        "delete": client.call("DELETE", f"{NAMESPACE}/configmaps/{name}"),
    }


def measure(targets: list[Target], operation: str, rounds: int) -> None:
    """Ask all targets in turn, each first in its turn."""
    for number in range(WARM_UP_ROUNDS):
        for target in targets:
            run_once(target, operation, number)
    before = [{name: cpu_seconds(pid) for name, pid in target.pids.items()} for target in targets]
    for number in range(rounds):
        turn = number % len(targets)
        for target in targets[turn:] + targets[:turn]:
            for step, seconds in run_once(target, operation, number).items():
                target.seconds[step].append(seconds)
    calls = rounds * (2 if operation == "write" else 1)
    for target, cpu_s in zip(targets, before, strict=True):
        target.cpu_ms[operation] = {
            name: (cpu_seconds(pid) - cpu_s[name]) / calls * 1e3 for name, pid in target.pids.items()
        }


def show(targets: list[Target], operations: list[str]) -> dict[str, object]:
    results: dict[str, object] = {}
    print(
        f"{'step':7} {'target':24} {'p50':>7} {'p90':>7} {'p99':>7} {'+p50':>7} {'+p99':>7}   CPU ms per call"
    )
    for operation in operations:
        for step in ("post", "delete") if operation == "write" else (operation,):
            base = summary(targets[0].seconds[step])
            for target in targets:
                figures = summary(target.seconds[step])
                row = [figures[key] * 1e3 for key in ("p50", "p90", "p99")]
                row += [(figures[key] - base[key]) * 1e3 for key in ("p50", "p99")]
                cpu = ", ".join(f"{name} {ms:.2f}" for name, ms in target.cpu_ms[operation].items())
                print(
                    f"{step:7} {target.name:24} " + " ".join(f"{value:7.2f}" for value in row) + f"   {cpu}"
                )
                results[f"{step}, {target.name}"] = {
                    "seconds": figures,
                    "cpu_ms_per_call": target.cpu_ms[operation],
                }
    return results


def open_targets(stack: contextlib.ExitStack, kubeconfig: Path, durabilities: list[str]) -> list[Target]:
    targets = [Target("direct", connect_http1(load_kubeconfig(kubeconfig)))]
    proxy = start_kubectl_proxy(stack, kubeconfig)
    if proxy is not None:
        client = Http1Client(open_socket("127.0.0.1", proxy[1], None, None), "127.0.0.1", None)
        targets.append(Target("kubectl proxy", client, {"proxy": proxy[0]}))
    for durability in durabilities:
        # A gateway each: their CPU is told apart.
        for version, connect in (("h1", connect_http1), ("h2", connect_http2)):
            gateway = start_gateway(stack, kubeconfig, durability=durability)
            pids = {"gateway": gateway.pid}
            if gateway.keeper_pid is not None:
                pids["keeper"] = gateway.keeper_pid
            targets.append(Target(f"kubetape {durability}, {version}", connect(gateway.cluster), pids))
    return targets


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kubeconfig", type=Path, help="cluster to measure on; default: the stand-in API server"
    )
    parser.add_argument("--operations", nargs="*", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument(
        "--durability", nargs="*", default=["balanced"], help="settings of kubetape to compare"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        kubeconfig = arguments.kubeconfig or start_standin(stack).kubeconfig
        targets = open_targets(stack, kubeconfig, arguments.durability)
        for operation in arguments.operations:
            measure(targets, operation, arguments.rounds)
        results = show(targets, arguments.operations)
    write_json(arguments.json, {"calls": results})


if __name__ == "__main__":
    main()
