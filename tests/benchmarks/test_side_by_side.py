"""The whole benchmark at its smallest, on the stand-in: that all of it is measured, not how fast it is."""

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest

from benchmarks.http_client import BenchmarkFailed, connect, endpoint_of
from benchmarks.micro import BENCHMARKS, PRINTS_JSON, PRINTS_LINES, parse
from benchmarks.processes import start_standin
from benchmarks.side_by_side.command import measure
from benchmarks.side_by_side.haproxy import find_haproxy
from benchmarks.side_by_side.plan import GROUPS, WAYS, Plan, quick, tiny
from benchmarks.side_by_side.result import GET, Result
from benchmarks.side_by_side.site import open_site
from benchmarks.side_by_side.targets import TARGETS
from benchmarks.side_by_side.ways import load_cluster, open_ways
from gateway.cli.bench import DURABILITIES
from gateway.cli.bench import GROUPS as VERB_GROUPS
from gateway.cli.bench import WAYS as VERB_WAYS

pytestmark = pytest.mark.slow

KUBETAPE = "kubetape balanced"
STEPS = {
    *("get 3 KB", "get 30 KB", "list 5 MB", "create", "delete", "watch event"),
    *(f"exec {what}, {transport}" for what in ("start", "echo") for transport in ("websocket", "spdy")),
}


@pytest.fixture(scope="module")
def result() -> Result:
    plan = msgspec.structs.replace(tiny(Plan()), ways=("kubetape",))
    return measure(plan, None, None, lambda line: None)


def test_every_step_is_measured_by_every_lane(result: Result) -> None:
    found = {(one.step, one.lane): one for one in result.series if one.group != "kubectl"}
    assert {step for step, _ in found} == STEPS
    for step in STEPS:
        lanes = {"direct", KUBETAPE} | (set() if step.startswith("exec") else {f"{KUBETAPE} h2"})
        assert {lane for one, lane in found if one == step} == lanes
    for one in found.values():
        assert len(one.runs) == 1
        assert len(one.quantiles_ms) == 101
        assert all(0 < run.p50_ms <= run.p90_ms <= run.p99_ms for run in one.runs)
        assert one.quantiles_ms == sorted(one.quantiles_ms)


def test_cpu_is_told_apart_by_process(result: Result) -> None:
    one = next(one for one in result.series if (one.step, one.lane) == ("get 3 KB", KUBETAPE))
    assert set(one.runs[0].cpu_ms) == {"gateway", "keeper"}
    assert one.runs[0].cpu_ms["gateway"] > 0
    assert one.runs[0].client_cpu_ms > 0
    for load in (load for load in result.loads if load.lane == KUBETAPE):
        assert all(spent > 0 for run in load.runs for spent in run.cpu_ms.values())
        assert all(set(run.cpu_ms) == {"gateway", "keeper"} for run in load.runs)


def test_copies_loads_and_memory_are_measured(result: Result) -> None:
    moves = {
        f"{what}, {how}" for what in ("copy out", "copy in", "port-forward") for how in ("websocket", "spdy")
    }
    moves |= {"kubectl cp"} if shutil.which("kubectl") else set()
    assert {one.step for one in result.transfers} == moves
    assert all(len(one.runs) == 1 and one.runs[0].mb_per_s > 0 for one in result.transfers)
    lanes: dict[str, set[str]] = {one.step: set() for one in result.loads}
    for one in result.loads:
        lanes[one.step].add(one.lane)
    starts = {"direct", KUBETAPE}
    assert lanes == {
        GET: {"direct", KUBETAPE, f"{KUBETAPE} h2", "kubetape 2 workers"},
        "exec start, websocket": starts,
        "exec start, spdy": starts,
    }
    assert all(run.calls_per_s > 0 and "client" in run.cores for one in result.loads for run in one.runs)
    assert [(one.what, one.lane) for one in result.idle] == [("watch", KUBETAPE), ("exec", KUBETAPE)]


def test_whole_runs_of_kubectl_are_measured_where_there_is_one(result: Result) -> None:
    steps = {one.step for one in result.series if one.group == "kubectl"}
    wanted = {"kubectl get", "kubectl exec true", "kubectl apply"} if shutil.which("kubectl") else set()
    assert steps == wanted


def test_machine_and_conditions_are_in_the_result(result: Result) -> None:
    assert {"commit", "cpu", "kernel", "python", "machine"} <= set(result.environment)
    assert len(result.conditions) == 1
    assert "direct h2: the API server speaks HTTP/1.1 only" in result.skipped


def test_most_targets_can_be_judged_from_it(result: Result) -> None:
    by_other_ways = ("kubectl proxy", "HAProxy", "workers", "stored bytes", "kubectl")
    own = [target for target in TARGETS if not any(word in target.what for word in by_other_ways)]
    assert all(target.measured(result) is not None for target in own)


@pytest.mark.skipif(
    not (find_haproxy() and shutil.which("kubectl")),
    reason="needs kubectl and HAProxy (make bench fetches it)",
)
def test_kubectl_proxy_and_haproxy_are_measured_beside_it() -> None:
    plan = msgspec.structs.replace(
        tiny(Plan()), groups=("watch", "exec"), ways=("kubectl proxy", "haproxy"), runs=2
    )
    found = measure(plan, None, None, lambda line: None)
    lanes = {one.lane for one in found.series if one.step == "watch event"}
    assert lanes == {"direct", "kubectl proxy", "haproxy", "haproxy h2"}
    assert [len(one.runs) for one in found.series] == [2] * len(found.series)
    cpu = {one.lane: set(one.runs[0].cpu_ms) for one in found.series if one.step == "exec echo, spdy"}
    assert cpu == {"direct": set(), "kubectl proxy": {"proxy"}, "haproxy": {"haproxy"}}


def test_a_way_that_cannot_be_had_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.side_by_side.ways.find_haproxy", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    plan = msgspec.structs.replace(tiny(Plan()), ways=("kubectl proxy", "haproxy"))
    with ExitStack() as stack:
        ways = open_ways(stack, start_standin(stack).kubeconfig, plan)
    assert [way.name for way in ways.all] == ["direct"]
    assert ways.skipped[1:] == [
        "kubectl proxy: there is no kubectl",
        "haproxy: not installed (make bench fetches Debian's)",
    ]


def test_the_namespace_is_deleted_whatever_happens() -> None:
    with ExitStack() as stack:
        direct = endpoint_of(load_cluster(start_standin(stack).kubeconfig))
        with pytest.raises(KeyboardInterrupt), open_site(direct, image=None, is_standin=False) as site:
            raise KeyboardInterrupt
        with closing(connect(direct)) as client, pytest.raises(BenchmarkFailed, match="404"):
            client.call("GET", f"/api/v1/namespaces/{site.namespace}")


def test_on_a_cluster_of_a_user_a_pod_runs_only_with_an_image() -> None:
    with ExitStack() as stack:
        kubeconfig = start_standin(stack).kubeconfig
        plan = msgspec.structs.replace(tiny(Plan()), groups=("watch", "exec"), ways=())
        without = measure(plan, kubeconfig, None, lambda line: None)
        assert {one.group for one in without.series} == {"watch"}
        assert "exec, copies, port-forward: no pod without --image" in without.skipped
        found = measure(plan, kubeconfig, "example.com/busybox:1", lambda line: None)
        assert {one.group for one in found.series} == {"watch", "exec"}


def test_websocket_is_left_out_where_the_api_server_is_too_old_for_it() -> None:
    with ExitStack() as stack:
        kubeconfig = start_standin(stack, "--old").kubeconfig
        plan = msgspec.structs.replace(tiny(Plan()), groups=("exec",), ways=())
        found = measure(plan, kubeconfig, "example.com/busybox:1", lambda line: None)
    assert {one.step for one in found.series} == {"exec start, spdy", "exec echo, spdy"}
    assert found.skipped == [
        "direct h2: the API server speaks HTTP/1.1 only",
        "exec and copies over WebSocket: the API server is too old for it",
        "port-forward over WebSocket: the API server is too old for it",
    ]


def test_the_verb_offers_what_there_is() -> None:
    """It spells the choices out, so that its help imports nothing."""
    assert (VERB_GROUPS, VERB_WAYS) == (GROUPS, WAYS)
    assert Plan().durabilities == DURABILITIES
    assert quick(Plan()).runs == 1


def test_small_benchmarks_are_read_whatever_they_print() -> None:
    assert parse(PRINTS_JSON, '{"environment": {}, "a_us": 1.5}') == {"a_us": 1.5}
    rows = '{"bytes": 9, "callers": 1, "urgent": true, "us": 2}\n{"bytes": 9, "callers": 4, "urgent": true, "us": 3}\n'
    assert parse(PRINTS_LINES, rows) == {
        "bytes 9, callers 1, urgent True": {"us": 2},
        "bytes 9, callers 4, urgent True": {"us": 3},
    }


def test_a_small_benchmark_joins_a_result(tmp_path: Path) -> None:
    assert "decisions" in BENCHMARKS
    path = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks.micro", "--only", "parsers_spdy", "--json", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    assert json.loads(path.read_bytes())["micro"]["parsers_spdy"]["spdy_decode_mb_s"] > 0
