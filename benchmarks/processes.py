"""The processes a benchmark runs against, and what the system says about them: memory, descriptors, children.

Starts a stand-in API server, a gateway, a `kubectl proxy`; each ends with the exit stack it was given.
Their output goes to a file: a full pipe would stop them in the middle of a measurement.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.upstream.credentials import UpstreamCluster, load_kubeconfig

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 30.0
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Standin:
    """A running stand-in API server. seen: its own record of what came and went."""

    pid: int
    kubeconfig: Path
    seen: Path


@dataclass(frozen=True)
class GatewayProcess:
    """A running gateway. cluster: itself, as a client sees it, with its first user's token."""

    pid: int
    directory: Path
    cluster: UpstreamCluster

    @property
    def keeper_pid(self) -> int | None:
        """Its indexing process."""
        return next((pid for pid in children(self.pid) if role_of(pid) == "keeper"), None)


@contextlib.contextmanager
def running(command: list[str], ready: str) -> Iterator[tuple[int, str]]:
    """A process, once a line of its output matches `ready`; yields its pid and what the group matched."""
    with tempfile.NamedTemporaryFile("rb", prefix="kubetape-bench-") as output:
        with open(output.name, "wb") as sink:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )
        try:
            yield process.pid, _wait_ready(process, Path(output.name), ready)
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, and end it when it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def _wait_ready(process: "subprocess.Popen[bytes]", output: Path, ready: str) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(ready, output.read_text()):
            return found[1]
        time.sleep(0.02)
    raise SystemExit(f"{process.args!r} did not become ready: {output.read_text()[-2000:]}")


def start_standin(stack: contextlib.ExitStack, *flags: str) -> Standin:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-standin-")))
    command = [sys.executable, "-m", "gateway.demo.standin", "--port", "0", "--dir", str(directory)]
    pid, _ = stack.enter_context(running([*command, *flags], r'"port": ?(\d+)'))
    return Standin(pid, directory / "admin.kubeconfig", directory / "seen.jsonl")


def start_gateway(
    stack: contextlib.ExitStack,
    kubeconfig: Path,
    *,
    durability: str = "balanced",
    directory: Path | None = None,
    flags: tuple[str, ...] = (),
) -> GatewayProcess:
    """A gateway in observe mode. directory: default a temporary one. flags: further ones of `kubetape serve`."""
    if directory is None:
        temporary = tempfile.TemporaryDirectory(prefix="kubetape-bench-", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(temporary))
    command = [sys.executable, "-m", "gateway.cli", "serve", "--upstream-kubeconfig", str(kubeconfig)]
    command += ["--data-dir", str(directory), "--listen", "127.0.0.1:0", "--mgmt-listen", "127.0.0.1:0"]
    command += ["--durability", durability, *flags]
    pid, _ = stack.enter_context(running(command, r"on port (\d+)"))
    return GatewayProcess(pid, directory, load_kubeconfig(directory / "kubeconfig"))


def start_kubectl_proxy(stack: contextlib.ExitStack, kubeconfig: Path) -> tuple[int, int] | None:
    """(pid, port) of a `kubectl proxy`; None without a kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    # By default it refuses exec and attach, which are to be measured as well.
    command = [kubectl, "--kubeconfig", str(kubeconfig), "proxy", "--port=0", "--reject-paths=^$"]
    pid, port = stack.enter_context(running(command, r"127\.0\.0\.1:(\d+)"))
    return pid, int(port)


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(one for child in children(pid) for one in process_tree(child))]


def role_of(pid: int) -> str:
    """What a process of ours does, by its command line: gateway, keeper, or the name of its module."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else Path(words[0]).name
    name = module.rpartition(".")[2].removesuffix("_process")
    return "gateway" if name in ("cli", "kubetape") else name


def rss_bytes(pid: int) -> int:
    """Memory a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid: int) -> list[int]:
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return sorted(int(word) for words in found for word in words)
