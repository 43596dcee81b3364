"""The run as a whole: what was asked for -> a Result. Everything started here ends here, also after Ctrl-C."""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.http_client import endpoint_of
from benchmarks.processes import Standin, start_standin
from benchmarks.report import cpu_seconds, environment
from benchmarks.side_by_side.calls import measure_calls
from benchmarks.side_by_side.execs import measure_execs
from benchmarks.side_by_side.figures import summarize
from benchmarks.side_by_side.haproxy import find_haproxy, version_of
from benchmarks.side_by_side.idle import measure_idle
from benchmarks.side_by_side.interleave import Samples, client_cpu_s
from benchmarks.side_by_side.kubectl_runs import measure_kubectl
from benchmarks.side_by_side.loads import Loads, measure_loads
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.result import Conditions, Idle, Result, Transfer
from benchmarks.side_by_side.site import Site, open_site
from benchmarks.side_by_side.transfers import measure_transfers
from benchmarks.side_by_side.watches import measure_watches
from benchmarks.side_by_side.ways import Ways, load_cluster, open_ways

Say = Callable[[str], None]
"""Takes one line about what is being done."""

NEED_A_POD = frozenset({"exec", "transfers"})


def measure(plan: Plan, kubeconfig: Path | None, image: str | None, say: Say) -> Result:
    """Do all of a plan. kubeconfig: of the cluster; None: the stand-in API server. Raises BenchmarkFailed.

    image: of the pod for exec, copies and port-forward on a cluster of a user; None: they are left out.
    """
    with contextlib.ExitStack() as stack:
        standin = start_standin(stack) if kubeconfig is None else None
        path = standin.kubeconfig if standin else kubeconfig
        assert path is not None
        direct = endpoint_of(load_cluster(path))
        say("making a namespace with the objects to read")
        site = stack.enter_context(open_site(direct, image=image, is_standin=standin is not None))
        session = Session(plan, site, path, standin, say)
        for number in range(plan.runs):
            session.run(number)
        return session.result()


class Session:
    """What the runs of one invocation add up to."""

    def __init__(self, plan: Plan, site: Site, kubeconfig: Path, standin: Standin | None, say: Say) -> None:
        self._plan, self._site, self._kubeconfig = plan, site, kubeconfig
        self._standin, self._say = standin, say
        self._samples = Samples()
        self._transfers: dict[tuple[str, str], Transfer] = {}
        self._loads: Loads = {}
        self._idle: dict[tuple[str, str], Idle] = {}
        self._result = Result(environment=environment() | _versions(), plan=msgspec.to_builtins(plan))
        self._result.environment["API server"] = "stand-in" if standin else "a cluster of the user"

    def run(self, number: int) -> None:
        """Start all ways anew, give each its turns, stop them."""
        machine = _Machine(self._standin)
        with contextlib.ExitStack() as stack:
            self._say(f"run {number + 1} of {self._plan.runs}: starting the ways")
            ways = open_ways(stack, self._kubeconfig, self._plan)
            self._result.skipped = ways.skipped + self._left_out()
            for group in self._groups():
                self._say(f"run {number + 1} of {self._plan.runs}: {group}")
                self._measure(group, ways, number)
        self._result.conditions.append(machine.conditions())

    def result(self) -> Result:
        self._result.series = self._samples.series()
        self._result.transfers = list(self._transfers.values())
        self._result.loads = list(self._loads.values())
        self._result.idle = list(self._idle.values())
        self._result.summary = summarize(self._result.series)
        return self._result

    def _groups(self) -> list[str]:
        return [one for one in self._plan.groups if self._site.pod or one not in NEED_A_POD]

    def _left_out(self) -> list[str]:
        found = [] if self._site.pod else ["exec, copies, port-forward: no pod without --image"]
        for what, spoken in (("exec and copies", self._site.execs), ("port-forward", self._site.forwards)):
            if "websocket" not in spoken:
                found.append(f"{what} over WebSocket: the API server is too old for it")
        return found if shutil.which("kubectl") else [*found, "kubectl runs: there is no kubectl"]

    def _measure(self, group: str, ways: Ways, number: int) -> None:
        plan, site, samples = self._plan, self._site, self._samples
        match group:
            case "calls":
                measure_calls(ways, site, plan, samples, number)
            case "watch":
                measure_watches(ways, site, plan, samples, number)
            case "exec":
                measure_execs(ways, site, plan, samples, number)
            case "transfers" if number < plan.transfer_runs:
                measure_transfers(ways, site, plan, self._transfers, number)
            case "kubectl":
                measure_kubectl(ways, site, plan, samples, number)
            case "load":
                pid = self._standin.pid if self._standin else None
                measure_loads(ways, site, plan, pid, self._loads, number)
            case "idle":
                measure_idle(ways, site, plan, self._idle)


class _Machine:
    """What the whole machine does, and which part of it is ours."""

    def __init__(self, standin: Standin | None) -> None:
        self._standin = standin
        self._load, self._begun = os.getloadavg()[0], time.monotonic()
        self._busy_s, self._stolen_s = _machine_cpu_s()
        self._ours_s = self._own_cpu_s()

    def conditions(self) -> Conditions:
        """Since it was made. The ways have ended by now, so theirs is among that of our children."""
        busy_s, stolen_s = _machine_cpu_s()
        seconds = time.monotonic() - self._begun
        other_s = busy_s - self._busy_s - (self._own_cpu_s() - self._ours_s)
        return Conditions(
            self._load, max(0.0, other_s) / seconds, (stolen_s - self._stolen_s) / seconds, seconds
        )

    def _own_cpu_s(self) -> float:
        return client_cpu_s() + (cpu_seconds(self._standin.pid) if self._standin else 0.0)


def _machine_cpu_s() -> tuple[float, float]:
    """(busy, stolen) seconds of all cores so far."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, interrupt, soft, stolen = fields[:8]
    return (user + nice + system + interrupt + soft) / ticks, stolen / ticks


def _versions() -> dict[str, str]:
    found = {}
    if haproxy := find_haproxy():
        found["haproxy"] = version_of(haproxy)
    if kubectl := shutil.which("kubectl"):
        said = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True, check=False)
        version = re.search(r"v1\.\d+\.\d+", said.stdout)
        found["kubectl"] = version[0] if version else "unknown"
    return found
