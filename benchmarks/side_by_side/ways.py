"""The ways to the API server that are compared: started before a run, stopped after it.

A way is what stands between client and API server; a lane is a way together with the HTTP version a client speaks
to it. What cannot be had here (no kubectl, no HAProxy, no HTTP/2) is left out, and said.
"""

import contextlib
import json
import os
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import trio

from benchmarks.http_client import BenchmarkFailed, Client, Endpoint, connect, endpoint_of
from benchmarks.processes import process_tree, role_of, start_gateway, start_kubectl_proxy
from benchmarks.report import cpu_seconds
from benchmarks.side_by_side.haproxy import find_haproxy, running_haproxy
from benchmarks.side_by_side.plan import Plan
from gateway.upstream.credentials import Credential, UpstreamCluster, load_kubeconfig

CREDENTIAL_TIMEOUT_S = 60.0
BACKGROUND = frozenset({"keeper"})
"""Processes that work on afterwards, at low priority: their CPU is counted over a whole step."""


@dataclass
class Way:
    """One way. kubeconfig: for a kubectl that goes it. pid: of its process, None for the direct one."""

    name: str
    endpoint: Endpoint
    kubeconfig: Path
    pid: int | None = None
    versions: tuple[str, ...] = ("h1",)
    roles: dict[int, str] = field(default_factory=dict)

    def cpu_s(self) -> dict[str, float]:
        """CPU of each of its processes so far, by role."""
        spent: dict[str, float] = {}
        for pid, role in self._processes().items():
            spent[role] = spent.get(role, 0.0) + cpu_seconds(pid)
        return spent

    def rss_bytes(self) -> dict[str, int]:
        held: dict[str, int] = {}
        for pid, role in self._processes().items():
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            held[role] = held.get(role, 0) + pages * os.sysconf("SC_PAGE_SIZE")
        return held

    def signal_background(self, number: signal.Signals) -> None:
        for pid, role in self._processes().items():
            if role in BACKGROUND:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _processes(self) -> dict[int, str]:
        if self.pid is not None and not self.roles:
            self.roles = {pid: self._role(pid) for pid in process_tree(self.pid)}
        return self.roles

    def _role(self, pid: int) -> str:
        return role_of(pid) if self.name.startswith("kubetape") else self.name.removeprefix("kubectl ")


@dataclass(frozen=True)
class Lane:
    """A way and the HTTP version spoken to it."""

    way: Way
    version: str

    @property
    def name(self) -> str:
        return self.way.name + (" h2" if self.version == "h2" else "")

    def connect(self) -> Client:
        return connect(self.way.endpoint, self.version)


@dataclass
class Ways:
    """All that were asked for and could be had. skipped: what could not, and why."""

    direct: Way
    all: list[Way]
    skipped: list[str]

    def lanes(self) -> list[Lane]:
        return [Lane(way, version) for way in self.all for version in way.versions]

    def of(self, *durabilities: str) -> list[Way]:
        """Without kubetape of other durabilities."""
        names = {f"kubetape {one}" for one in durabilities}
        return [way for way in self.all if not way.name.startswith("kubetape") or way.name in names]


def open_ways(stack: contextlib.ExitStack, kubeconfig: Path, plan: Plan) -> Ways:
    """Start everything. kubeconfig: of the cluster, with its credential."""
    cluster = load_cluster(kubeconfig)
    direct = Way("direct", endpoint_of(cluster), kubeconfig)
    direct.versions = _versions_of(direct.endpoint)
    ways = Ways(direct, [direct], [])
    if "h2" not in direct.versions:
        ways.skipped.append("direct h2: the API server speaks HTTP/1.1 only")
    if "kubectl proxy" in plan.ways:
        _add_proxy(stack, ways, kubeconfig)
    if "haproxy" in plan.ways:
        _add_haproxy(stack, ways, cluster)
    if "kubetape" in plan.ways:
        for durability in plan.durabilities:
            gateway = start_gateway(stack, kubeconfig, durability=durability)
            endpoint = endpoint_of(gateway.cluster)
            path = gateway.directory / "kubeconfig"
            ways.all.append(Way(f"kubetape {durability}", endpoint, path, gateway.pid, ("h1", "h2")))
    return ways


def load_cluster(kubeconfig: Path) -> UpstreamCluster:
    """A cluster and a credential that is there: an exec plugin has run. Raises BadKubeconfig."""
    cluster = load_kubeconfig(kubeconfig)
    trio.run(_first_credential, cluster.credential)
    return cluster


async def _first_credential(credential: Credential) -> None:
    with trio.move_on_after(CREDENTIAL_TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(credential.run)
            nursery.cancel_scope.cancel()


def _versions_of(endpoint: Endpoint) -> tuple[str, ...]:
    try:
        connect(endpoint, "h2").close()
    except (BenchmarkFailed, OSError):
        return ("h1",)
    return ("h1", "h2")


def _add_proxy(stack: contextlib.ExitStack, ways: Ways, kubeconfig: Path) -> None:
    proxy = start_kubectl_proxy(stack, kubeconfig)
    if proxy is None:
        ways.skipped.append("kubectl proxy: there is no kubectl")
        return
    pid, port = proxy
    endpoint = Endpoint("127.0.0.1", port, b"127.0.0.1:%d" % port, "127.0.0.1", None)
    path = _write_kubeconfig(stack, {"server": f"http://127.0.0.1:{port}"}, {})
    ways.all.append(Way("kubectl proxy", endpoint, path, pid))


def _add_haproxy(stack: contextlib.ExitStack, ways: Ways, cluster: UpstreamCluster) -> None:
    program = find_haproxy()
    if program is None:
        ways.skipped.append("haproxy: not installed (make bench fetches Debian's)")
        return
    pid, endpoint, ca = stack.enter_context(running_haproxy(program, cluster))
    server = {"server": f"https://127.0.0.1:{endpoint.port}", "certificate-authority": str(ca)}
    token = (endpoint.authorization or b"").removeprefix(b"Bearer ").decode()
    path = _write_kubeconfig(stack, server, {"token": token})
    ways.all.append(Way("haproxy", endpoint, path, pid, ("h1", "h2")))


def _write_kubeconfig(stack: contextlib.ExitStack, cluster: dict[str, str], user: dict[str, str]) -> Path:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-")))
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": user}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
    path = directory / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path
