"""Added latency and CPU of one call: direct, `kubectl proxy`, kubetape; interleaved in one run.

Starts a gateway (and a `kubectl proxy` when there is a kubectl) in front of the cluster of a kubeconfig, or of
the stand-in API server when none is given. Every round asks each target once, on a warm connection, in turn:
whatever else the machine is doing meets all of them alike. "added" is over direct, at the same percentile.

    python -m benchmarks.calls --kubeconfig ~/.kube/config --path /api/v1/namespaces/default --rounds 2000
"""

import argparse
import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.upstream.credentials import load_kubeconfig

from benchmarks.report import cpu_seconds, summary, write_json

WARM_UP_ROUNDS = 50


class Client:
    """One warm HTTP/1.1 connection, blocking: the cheapest client there is, so that it hides nothing."""

    def __init__(self, sock: socket.socket, host: str, path: str, authorization: bytes | None) -> None:
        self._sock = sock
        extra = b"Authorization: " + authorization + b"\r\n" if authorization else b""
        self._request = b"GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n%s\r\n" % (
            path.encode(),
            host.encode(),
            extra,
        )

    def get(self) -> float:
        """Seconds from the first byte sent to the last byte received."""
        start = time.perf_counter()
        self._sock.sendall(self._request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._read()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"unexpected answer: {head.splitlines()[0].decode()}")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        size = len(body)
        if length:
            while size < int(length[1]):
                size += len(self._read())
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body = body[-8:] + self._read()
        return time.perf_counter() - start

    def _read(self) -> bytes:
        data = self._sock.recv(1 << 18)
        if not data:
            raise SystemExit("the server closed the connection")
        return data


@dataclass
class Target:
    """One way to the API server. pids: whose CPU is counted as the price of going this way."""

    name: str
    client: Client
    pids: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


def connect(host: str, port: int, context: ssl.SSLContext | None, server_name: str | None) -> socket.socket:
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock, server_hostname=server_name) if context else sock


@contextlib.contextmanager
def running(command: list[str], ready: str, **options: object) -> Iterator[tuple[int, str]]:
    """A process, once a line matches `ready`; yields its pid and what the group matched."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]
    try:
        for line in process.stdout:
            if found := re.search(ready, line):
                yield process.pid, found[1]
                return
        raise SystemExit(f"{command[0]} ended before it was ready")
    finally:
        process.terminate()
        process.wait(10)


def direct(kubeconfig: str, path: str) -> Target:
    cluster = load_kubeconfig(Path(kubeconfig))
    sock = connect(cluster.host, cluster.port, cluster.ssl_context(), cluster.server_name)
    return Target("direct", Client(sock, cluster.host, path, cluster.credential.authorization()))


def through_gateway(stack: contextlib.ExitStack, kubeconfig: str, path: str, durability: str) -> Target:
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-"))
    command = [sys.executable, "-m", "gateway.cli", "serve", "--upstream-kubeconfig", kubeconfig]
    command += ["--data-dir", directory, "--listen", "127.0.0.1:0", "--mgmt-listen", "127.0.0.1:0"]
    command += ["--durability", durability]
    pid, port = stack.enter_context(running(command, r"on port (\d+)"))
    own = Path(directory) / "kubeconfig"
    deadline = time.monotonic() + 10
    while not own.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    cluster = load_kubeconfig(own)
    sock = connect("127.0.0.1", int(port), cluster.ssl_context(), cluster.server_name)
    client = Client(sock, "127.0.0.1", path, cluster.credential.authorization())
    return Target(f"kubetape {durability}", client, [pid])


def through_kubectl_proxy(stack: contextlib.ExitStack, kubeconfig: str, path: str) -> Target | None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    command = [kubectl, "--kubeconfig", kubeconfig, "proxy", "--port=0"]
    pid, port = stack.enter_context(running(command, r"127\.0\.0\.1:(\d+)"))
    sock = connect("127.0.0.1", int(port), None, None)
    return Target("kubectl proxy", Client(sock, "127.0.0.1", path, None), [pid])


def standin(stack: contextlib.ExitStack) -> str:
    """Start the stand-in API server; its admin kubeconfig."""
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-standin-"))
    command = [sys.executable, "-m", "gateway.demo.standin", "--port", "0", "--dir", directory]
    stack.enter_context(running(command, r'"port": ?(\d+)'))
    return str(Path(directory) / "admin.kubeconfig")


def measure(targets: list[Target], rounds: int) -> None:
    for _ in range(WARM_UP_ROUNDS):
        for target in targets:
            target.client.get()
    before = [sum(cpu_seconds(pid) for pid in target.pids) for target in targets]
    for _ in range(rounds):
        for target in targets:
            target.seconds.append(target.client.get())
    for target, cpu in zip(targets, before, strict=True):
        target.cpu_s = sum(cpu_seconds(pid) for pid in target.pids) - cpu


def show(targets: list[Target], rounds: int) -> dict[str, object]:
    base = summary(targets[0].seconds)
    print(f"{'target':22} {'p50':>8} {'p90':>8} {'p99':>8} {'+p50':>8} {'+p99':>8} {'CPU/call':>9}   (ms)")
    results: dict[str, object] = {}
    for target in targets:
        figures = summary(target.seconds)
        cpu_ms = target.cpu_s / rounds * 1e3
        row = [figures[key] * 1e3 for key in ("p50", "p90", "p99")]
        row += [(figures["p50"] - base["p50"]) * 1e3, (figures["p99"] - base["p99"]) * 1e3]
        print(f"{target.name:22} " + " ".join(f"{value:8.3f}" for value in row) + f" {cpu_ms:9.3f}")
        results[target.name] = {"seconds": figures, "cpu_ms_per_call": cpu_ms}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", help="cluster to measure on; default: the stand-in API server")
    parser.add_argument("--path", default="/api/v1/namespaces/default", help="what to GET")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--durability", nargs="*", default=["balanced"], help="settings of kubetape to compare")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        kubeconfig = arguments.kubeconfig or standin(stack)
        targets = [direct(kubeconfig, arguments.path)]
        proxy = through_kubectl_proxy(stack, kubeconfig, arguments.path)
        if proxy is not None:
            targets.append(proxy)
        targets += [through_gateway(stack, kubeconfig, arguments.path, d) for d in arguments.durability]
        measure(targets, arguments.rounds)
        results = show(targets, arguments.rounds)
    write_json(arguments.json, {"path": arguments.path, "targets": json.loads(json.dumps(results))})


if __name__ == "__main__":
    main()
