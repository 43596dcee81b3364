"""Bytes per second: a copy out of a pod and into it over exec, a port-forward, and `kubectl cp` itself.

The copies are `cat` and `wc` instead of tar: the same bytes on the wire, less of it made by the pod.
"""

import math
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.http_client import BenchmarkFailed, Endpoint
from benchmarks.side_by_side.background import wait_for_rest
from benchmarks.side_by_side.kubectl_runs import run_kubectl
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.result import Transfer, TransferRun
from benchmarks.side_by_side.site import FORWARD_PORT, Site
from benchmarks.side_by_side.stream_client import open_exec, open_forward
from benchmarks.side_by_side.ways import BACKGROUND, Way, Ways
from protocol.events import Channel, ChannelData, ChannelEnded

MIB = 1 << 20
PIECE = bytes(range(256)) * 128
"""32 KiB: what kubectl copies at once."""

SMALL_FILE = "/big/1MiB.bin"
"""Of the stand-in, where less than its large file is asked for."""

Move = Callable[[Endpoint, Site, str, int], None]


def copy_out(endpoint: Endpoint, site: Site, transport: str, mib: int) -> None:
    whole, rest = divmod(mib, site.file_mib)
    files = [site.file] * whole + [SMALL_FILE] * rest
    size, _ = open_exec(endpoint, site.pod, transport, ["cat", *files]).run_to_end()
    _check("copied out", size, mib)


def copy_in(endpoint: Endpoint, site: Site, transport: str, mib: int) -> None:
    tunnel = open_exec(endpoint, site.pod, transport, ["wc", "-c"])
    for _ in range(mib * MIB // len(PIECE)):
        tunnel.send(ChannelData(Channel.STDIN, PIECE))
    tunnel.send(ChannelEnded(Channel.STDIN))
    _, said = tunnel.run_to_end(keep=True)
    _check("copied in", int(said or b"0"), mib)


def forward(endpoint: Endpoint, site: Site, transport: str, mib: int) -> None:
    """A pod of a user sends its file once a connection, the stand-in as much as is asked for."""
    size = 0
    while size < mib * MIB:
        tunnel = open_forward(endpoint, site.pod, transport, FORWARD_PORT)
        once = (mib if site.asks else site.file_mib) * MIB
        if site.asks:
            tunnel.send(ChannelData(Channel.DATA, b"GET /bytes/%d HTTP/1.1\r\nHost: web\r\n\r\n" % once))
        got = 0
        while got < once:
            got += len(tunnel.received(Channel.DATA))
        tunnel.close()
        size += got


MOVES: dict[str, Move] = {"copy out": copy_out, "copy in": copy_in, "port-forward": forward}


def measure_transfers(
    ways: Ways, site: Site, plan: Plan, found: dict[tuple[str, str], Transfer], run: int
) -> None:
    """Each way once, in turn. Adds to `found`, by step and lane."""
    mib = plan.mib if plan.mib < site.file_mib else site.file_mib * math.ceil(plan.mib / site.file_mib)
    lanes = ways.of("balanced")
    with tempfile.TemporaryDirectory(prefix="kubetape-bench-") as made:
        steps = _steps(site, mib, Path(made))
        for number, (name, (size_mib, step)) in enumerate(steps.items()):
            turn = (run + number) % len(lanes)
            for way in lanes:  # in the order of a table, not of this turn
                found.setdefault((name, way.name), Transfer(name, way.name, size_mib))
            for way in [*lanes[turn:], *lanes[:turn]]:
                found[name, way.name].runs.append(_timed(way, step, size_mib))


def _steps(site: Site, mib: int, directory: Path) -> dict[str, tuple[int, Callable[[Way], None]]]:
    """Name -> size and what moves it."""
    steps: dict[str, tuple[int, Callable[[Way], None]]] = {}
    for name, move in MOVES.items():
        for transport in site.forwards if move is forward else site.execs:

            def step(way: Way, move: Move = move, transport: str = transport) -> None:
                move(way.endpoint, site, transport, mib)

            steps[f"{name}, {transport}"] = (mib, step)
    kubectl = shutil.which("kubectl")
    if kubectl is not None:
        size_mib = site.file_mib if mib >= site.file_mib else 1
        file = site.file if mib >= site.file_mib else SMALL_FILE

        def copy(way: Way) -> None:
            to = directory / "copied"
            run_kubectl(kubectl, way, site, directory, ["cp", f"bench:{file}", str(to)])
            _check("kubectl cp", to.stat().st_size, size_mib)
            to.unlink()

        steps["kubectl cp"] = (size_mib, copy)
    return steps


def _timed(way: Way, move: Callable[[Way], None], mib: int) -> TransferRun:
    wait_for_rest(way)
    before = way.cpu_s()
    start = time.perf_counter()
    move(way)
    seconds = time.perf_counter() - start
    foreground = {
        role: now - before.get(role, 0.0) for role, now in way.cpu_s().items() if role not in BACKGROUND
    }
    wait_for_rest(way)
    cpu_s = {role: now - before.get(role, 0.0) for role, now in way.cpu_s().items()} | foreground
    megabytes = mib * MIB / 1e6
    own = sum(foreground.values())
    per_gb = {role: spent / megabytes * 1e3 for role, spent in cpu_s.items()}
    return TransferRun(megabytes / seconds, megabytes / own if own else None, per_gb)


def _check(what: str, size: int, mib: int) -> None:
    if size != mib * MIB:
        raise BenchmarkFailed(f"{what}: {size} bytes came instead of {mib * MIB}")
