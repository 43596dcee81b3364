"""CPU of a call in this tree against another revision's, side by side: does a change make calls dearer?

Two gateways, one of each tree, in front of one stand-in API server; short rounds in turn, so that whatever else the
machine does meets both. Each round gives one ratio of CPU per call, by the scheduler's own account of the gateway's
threads (nanoseconds, /proc/PID/task/TID/schedstat; the keeper is left out). Said are the median ratio and the interval that
holds it with 95 % (bootstrap); the exit code is 1 when even its lower end is above what is tolerated.

    python -m benchmarks.against main
    python -m benchmarks.against HEAD --python python3.13     # the same tree, by another interpreter
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.http_client import Client, connect_http1, connect_http2
from benchmarks.processes import children, running, start_standin
from benchmarks.report import percentile, write_json
from gateway.upstream.credentials import UpstreamCluster, load_kubeconfig

HERE: Final = Path(__file__).resolve().parent.parent
CALLS_PER_ROUND: Final = 20
WARM_UP_CALLS: Final = 200
RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
NAMESPACE: Final = "/api/v1/namespaces/default"
EXIT_WORSE: Final = 1


@dataclass
class Tree:
    """One gateway. cpu_s, seconds: of each call, by round."""

    name: str
    pid: int
    cluster: UpstreamCluster
    cpu_s: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """new / old. low, high: the interval of the median; latency: of the p50, for information."""

    what: str
    old_us: float
    new_us: float
    ratio: float
    low: float
    high: float
    latency: float


def get(client: Client) -> float:
    return client.call("GET", NAMESPACE)


def post(client: Client) -> float:
    metadata = {"name": f"against-{next(_numbers)}", "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value " * 40}}
    return client.call("POST", f"{NAMESPACE}/configmaps", json.dumps(body).encode())


_numbers: Final = itertools.count()
OPERATIONS: Final[dict[str, tuple[Callable[[UpstreamCluster], Client], Callable[[Client], float]]]] = {
    "get http1": (connect_http1, get),
    "get http2": (connect_http2, get),
    "post http1": (connect_http1, post),
    "post http2": (connect_http2, post),
}


def gateway_cpu_s(pid: int) -> float:
    """CPU of a gateway so far: all its threads and workers, without the keeper."""
    if b"keeper_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
        return 0.0
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    own = sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
    return own + sum(gateway_cpu_s(child) for child in children(pid))


def median_interval(ratios: list[float]) -> tuple[float, float]:
    """Where the median lies, with CONFIDENCE: by drawing as many rounds again and again."""
    draw = random.Random(len(ratios))
    medians = [statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)]
    rest = (1 - CONFIDENCE) / 2
    return percentile(medians, rest), percentile(medians, 1 - rest)


def compare(what: str, old: Tree, new: Tree, rounds: int) -> Comparison:
    connect, call = OPERATIONS[what]
    clients = {tree.name: connect(tree.cluster) for tree in (old, new)}
    for tree in (old, new):
        tree.cpu_s, tree.seconds = [], []
        for _ in range(WARM_UP_CALLS):
            call(clients[tree.name])
    for number in range(rounds):
        for tree in (old, new) if number % 2 else (new, old):
            before = gateway_cpu_s(tree.pid)
            tree.seconds += [call(clients[tree.name]) for _ in range(CALLS_PER_ROUND)]
            tree.cpu_s.append((gateway_cpu_s(tree.pid) - before) / CALLS_PER_ROUND)
    ratios = [after / before for before, after in zip(old.cpu_s, new.cpu_s, strict=True)]
    low, high = median_interval(ratios)
    old_us, new_us = (statistics.median(tree.cpu_s) * 1e6 for tree in (old, new))
    latency = statistics.median(new.seconds) / statistics.median(old.seconds)
    return Comparison(what, old_us, new_us, statistics.median(ratios), low, high, latency)


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A worktree of a revision, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="kubetape-against-") as directory:
        tree = Path(directory) / "tree"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def start(stack: contextlib.ExitStack, name: str, tree: Path, python: str, kubeconfig: Path) -> Tree:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-")))
    command = [python, "-m", "gateway.cli", "serve", "--upstream-kubeconfig", str(kubeconfig)]
    command += ["--data-dir", str(directory), "--listen", "127.0.0.1:0", "--mgmt-listen", "127.0.0.1:0"]
    path, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH", ""), str(tree)
    try:
        with contextlib.chdir(tree):
            pid, _ = stack.enter_context(running(command, r"on port (\d+)"))
    finally:
        os.environ["PYTHONPATH"] = path
    return Tree(name, pid, load_kubeconfig(directory / "kubeconfig"))


def show(found: list[Comparison], tolerance: float) -> None:
    print(f"{'CPU of the gateway':18} {'old us':>7} {'new us':>7} {'ratio':>6}  95 %            latency p50")
    for one in found:
        mark = "WORSE" if one.low > 1 + tolerance else ""
        print(
            f"{one.what:18} {one.old_us:7.0f} {one.new_us:7.0f} {one.ratio:6.3f}  {one.low:.3f} to {one.high:.3f}"
            f"  {one.latency:10.3f}  {mark}".rstrip()
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", help="what to compare this tree with: a commit, a branch")
    parser.add_argument("--rounds", type=int, default=100, help=f"of {CALLS_PER_ROUND} calls each")
    parser.add_argument("--only", choices=OPERATIONS, help="one operation instead of all")
    parser.add_argument("--tolerance", type=float, default=0.03, help="share by which CPU may grow")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the new gateway")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        old_tree = stack.enter_context(checked_out(arguments.revision))
        kubeconfig = start_standin(stack).kubeconfig
        old = start(stack, "old", old_tree, sys.executable, kubeconfig)
        new = start(stack, "new", HERE, arguments.python, kubeconfig)
        names = [arguments.only] if arguments.only else list(OPERATIONS)
        found = [compare(name, old, new, arguments.rounds) for name in names]
    show(found, arguments.tolerance)
    write_json(arguments.json, {"against": arguments.revision, "figures": [vars(one) for one in found]})
    return EXIT_WORSE if any(one.low > 1 + arguments.tolerance for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
