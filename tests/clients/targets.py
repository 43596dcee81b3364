"""What the clients are pointed at: named servers, each a kubeconfig that a context manager keeps alive.

`direct` is the stand-in API server itself, `direct-old` the same answering as 1.20 does; they prove the
stand-in, and what clients do without a gateway. `gateway` and `gateway-old` are a gateway in front of one of
those: when they close, its record is compared with what the stand-in saw. Another target is one more entry in TARGETS: a function
from a scratch directory to a context manager that yields a Target. KUBETAPE_CLIENTS_KUBECONFIG names the
kubeconfig of a server that runs already; it becomes the target `given`, and must serve what the stand-in serves.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]


class Target(msgspec.Struct, frozen=True):
    """A server to point clients at. seen: the stand-in's record of requests, where it is at hand."""

    name: str
    kubeconfig: Path
    seen: Path | None = None


@contextmanager
def run_standin(directory: Path, *options: str, name: str = "direct") -> Iterator[Target]:
    """A stand-in as its own process until the block ends. Fails if it cannot start."""
    command = [sys.executable, "-m", "gateway.demo.standin", "--dir", str(directory), *options]
    errors = directory.parent / f"{directory.name}.stderr"
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the stand-in did not start: {errors.read_text()}"
            ready = json.loads(line)
            yield Target(name, Path(ready["kubeconfig"]), Path(ready["seen"]))
            assert process.poll() is None, f"the stand-in died: {errors.read_text()}"
        finally:
            process.terminate()
    complaints = errors.read_text()
    assert complaints == "", f"the stand-in complained: {complaints[:2000]}"


def _through_gateway(directory: Path, *options: str, name: str = "gateway") -> AbstractContextManager[Target]:
    from tests.clients.through_gateway import run_gateway  # which starts its stand-in with `run_standin`

    return run_gateway(directory, *options, name=name)


@contextmanager
def _given(kubeconfig: str) -> Iterator[Target]:
    yield Target("given", Path(kubeconfig))


TARGETS: dict[str, Callable[[Path], AbstractContextManager[Target]]] = {
    "direct": lambda directory: run_standin(directory),
    "direct-old": lambda directory: run_standin(directory, "--old", name="direct-old"),
    "gateway": lambda directory: _through_gateway(directory),
    "gateway-old": lambda directory: _through_gateway(directory, "--old", name="gateway-old"),
}

if _kubeconfig := os.environ.get("KUBETAPE_CLIENTS_KUBECONFIG"):
    TARGETS["given"] = lambda directory: _given(_kubeconfig)

OLD_TARGETS = ("direct-old", "gateway-old")
MAIN_TARGETS = tuple(name for name in TARGETS if name not in OLD_TARGETS)
"""The targets that run the whole matrix; the old one runs what falls back."""
