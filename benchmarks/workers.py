"""What several workers carry: requests a second and CPU per call, with 1, 2 (and more) of them.

    python -m benchmarks.workers [--workers 1,2] [--connections 16,64] [--seconds 4] [--rounds 2] [--json FILE]

GETs of 500 bytes on keep-alive connections, from two client processes, against the cheapest possible API server
(`benchmarks.echo_upstream`), interleaved. Where clients and API server share the gateway's cores, requests a second
say what is left for it, not what it can do. So each way also says what a call costs its workers: as long as that does
not rise with their number, N workers on N cores of their own carry N times as much. `capacity` is that reckoning:
calls a second of N workers that have a core each, and `times` its ratio to one worker's. The trap: a worker with little
to do finds one call at each look, and coalesces nothing. Compare N workers on N times the connections.
"""

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import click

from benchmarks.http_client import connect_http1
from benchmarks.processes import GatewayProcess, children, running, start_gateway
from benchmarks.report import environment
from gateway.upstream.credentials import UpstreamCluster

PATH: Final = "/api/v1/namespaces/default/pods/web"
CLIENTS: Final = 2
WARM_S: Final = 1.0


@dataclass(frozen=True)
class Result:
    """One way, one load. Times in milliseconds of CPU. spread: calls of the busiest worker, as a share of all."""

    workers: int
    connections: int
    per_second: float
    worker_ms: float
    others_ms: float  # supervisor, keeper
    client_ms: float
    upstream_ms: float
    capacity: float
    spread: float


def drive(
    cluster: UpstreamCluster,
    connections: int,
    seconds: float,
    results: "multiprocessing.Queue[tuple[int, float]]",
) -> None:
    """Calls on so many connections, all of them outstanding at once; reports how many, and the CPU seconds it took."""
    clients = [connect_http1(cluster) for _ in range(connections)]
    requests = [client.request("GET", PATH) for client in clients]
    count, began_cpu_s = 0, time.process_time()
    end_s = time.monotonic() + seconds
    for client, request in zip(clients, requests, strict=True):
        client.sock.sendall(request)
    while time.monotonic() < end_s:
        for client, request in zip(clients, requests, strict=True):
            client.receive(PATH)
            client.sock.sendall(request)
            count += 1
    for client in clients:
        client.receive(PATH)
        client.close()
    results.put((count, time.process_time() - began_cpu_s))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, of threads that ended too (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(gateway: GatewayProcess, upstream: int, workers: int, connections: int, seconds: float) -> Result:
    """One round."""
    serving = worker_pids(gateway.pid) or [gateway.pid]
    everyone = [gateway.pid, *children(gateway.pid)]
    others = [pid for pid in everyone if pid not in serving]
    results: multiprocessing.Queue[tuple[int, float]] = multiprocessing.Queue()
    load = [
        multiprocessing.Process(
            target=drive, args=(gateway.cluster, connections // CLIENTS, seconds, results)
        )
        for _ in range(CLIENTS)
    ]
    before = {pid: cpu_s(pid) for pid in (*everyone, upstream)}
    began_s = time.monotonic()
    for one in load:
        one.start()
    done = [results.get() for _ in load]
    took_s = time.monotonic() - began_s
    for one in load:
        one.join()
    used = {pid: cpu_s(pid) - was for pid, was in before.items()}
    calls = sum(count for count, _ in done)
    worker_s = sum(used[pid] for pid in serving) / calls
    return Result(
        workers,
        connections,
        calls / took_s,
        worker_s * 1e3,
        sum(used[pid] for pid in others) / calls * 1e3,
        sum(cpu for _, cpu in done) / calls * 1e3,
        used[upstream] / calls * 1e3,
        workers / worker_s,
        max(used[pid] for pid in serving) / sum(used[pid] for pid in serving),
    )


def worker_pids(supervisor: int) -> list[int]:
    """The workers, and the control process, which has nothing to do here."""
    return [
        pid for pid in children(supervisor) if b"worker_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def middle(rounds: list[Result]) -> Result:
    """The medians of several rounds."""
    names = ("per_second", "worker_ms", "others_ms", "client_ms", "upstream_ms", "capacity", "spread")
    figures = {name: median(getattr(one, name) for one in rounds) for name in names}
    return Result(rounds[0].workers, rounds[0].connections, **figures)


def show(results: list[Result]) -> None:
    click.echo(
        "workers  connections  calls/s  ms/call: workers  others  clients  upstream  capacity  times  busiest"
    )
    for one in results:
        first = next(other for other in results if other.connections == one.connections)
        click.echo(
            f"{one.workers:7} {one.connections:12} {one.per_second:8.0f} {one.worker_ms:17.3f} {one.others_ms:7.3f}"
            f" {one.client_ms:8.3f} {one.upstream_ms:9.3f} {one.capacity:9.0f} {one.capacity / first.capacity:6.2f}"
            f" {one.spread:7.0%}"
        )


@click.command()
@click.option("--workers", default="1,2", help="Numbers of workers, separated by commas.")
@click.option("--connections", default="16,64", help="Numbers of connections.")
@click.option("--seconds", default=4.0, help="Of each measurement.")
@click.option("--rounds", default=2, help="Of each, interleaved.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the results to this file.")
def main(workers: str, connections: str, seconds: float, rounds: int, json_file: Path | None) -> None:
    """Measure gateways of several workers side by side."""
    numbers, loads = [[int(word) for word in words.split(",")] for words in (workers, connections)]
    found: dict[tuple[int, int], list[Result]] = {}
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-echo-")))
        command = [sys.executable, "-m", "benchmarks.echo_upstream", str(directory)]
        upstream, _ = stack.enter_context(running(command, r"echo on port (\d+)"))
        gateways = {
            number: start_gateway(stack, directory / "kubeconfig", flags=("--workers", str(number)))
            for number in numbers
        }
        for gateway in gateways.values():
            measure(gateway, upstream, 1, min(loads), WARM_S)
        for _ in range(rounds):
            for load in loads:
                for number, gateway in gateways.items():
                    result = measure(gateway, upstream, number, load, seconds)
                    found.setdefault((load, number), []).append(result)
    results = [middle(found[key]) for key in found]
    show(results)
    if json_file is not None:
        document = {"environment": environment(), "results": [asdict(one) for one in results]}
        json_file.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
