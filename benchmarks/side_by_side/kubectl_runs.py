"""Whole runs of kubectl, from its start to its end: get, exec true, apply. What a person at a terminal waits for."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.http_client import BenchmarkFailed
from benchmarks.side_by_side.interleave import Samples, interleave
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.site import Site, configmap
from benchmarks.side_by_side.ways import Lane, Way, Ways

PATIENCE_S = 120


def measure_kubectl(ways: Ways, site: Site, plan: Plan, samples: Samples, run: int) -> None:
    """Each way has a discovery cache of its own, filled by the warm-up."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return
    lanes = [Lane(way, "h1") for way in ways.all]  # which HTTP version is spoken is kubectl's own choice
    commands = {"kubectl get": ["get", "configmaps", "--selector", "bench=get"]}
    if site.pod:
        commands["kubectl exec true"] = ["exec", "bench", "--", "true"]
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-bench-")))
        for step, words in commands.items():

            def go(lane: Lane, number: int, step: str = step, words: list[str] = words) -> dict[str, float]:
                return {step: run_kubectl(kubectl, lane.way, site, directory, words)}

            interleave("kubectl", lanes, plan.kubectls, go, samples, run)

        def apply(lane: Lane, number: int) -> dict[str, float]:
            name = f"applied-{lane.name}-{run}".replace(" ", "-")
            # another size each time: there is always something to patch
            (directory / "applied.json").write_bytes(configmap(name, 600 + 60 * (number % 50)))
            words = ["apply", "-f", str(directory / "applied.json")]
            return {"kubectl apply": run_kubectl(kubectl, lane.way, site, directory, words)}

        interleave("kubectl", lanes, plan.kubectls, apply, samples, run)


def run_kubectl(kubectl: str, way: Way, site: Site, directory: Path, words: list[str]) -> float:
    """Seconds of one run. directory: for the discovery caches, one a way. Raises BenchmarkFailed."""
    cache = directory / way.name.replace(" ", "-")
    command = [kubectl, "--kubeconfig", str(way.kubeconfig), "--cache-dir", str(cache)]
    command += ["--namespace", site.namespace, *words]
    start = time.perf_counter()
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkFailed(
            f"kubectl {words[0]} through {way.name} took more than {PATIENCE_S} s"
        ) from None
    seconds = time.perf_counter() - start
    if ended.returncode:
        why = ended.stderr.strip().splitlines()
        raise BenchmarkFailed(
            f"kubectl {words[0]} through {way.name} failed: {why[-1] if why else ended.returncode}"
        )
    return seconds
