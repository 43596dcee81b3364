"""`kubetape reconcile` on the audit log of a real cluster: what came through us joins, what did not is found."""

import json
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from storage.reconcile.recorded import MARGIN_NS
from tests.clients.programs import find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.audit import DEADLINE_S, AuditTail
from tests.cluster.gateways import MODES, run_gateway
from tests.cluster.scene import Scene
from tests.cluster.surroundings import audit_log, gateway_kubeconfig, why_not
from tests.kit.running import run_cli
from tests.kit.tape_reading import read_exchanges

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.skipif(audit_log() is None, reason="KUBETAPE_TEST_AUDIT_LOG names no audit log"),
]

BORDER_S = 2 * MARGIN_NS / 1e9
"""How long both logs must go on around what is to be found: borders are not compared."""


@pytest.mark.parametrize("mode", MODES)
def test_calls_around_the_gateway_and_with_its_credential_are_found_and_all_others_join(
    scene: Scene, tmp_path: Path, mode: str
) -> None:
    log = audit_log()
    assert log
    tail = AuditTail(log)
    kubectl = find_kubectls()[-1]
    pods = f"/api/v1/namespaces/{scene.namespace}/pods"
    is_ours_alone = gateway_kubeconfig() is None or mode == "shared"  # else other gateways may act as it
    with _unless_noticed(is_ours_alone), run_gateway(scene, tmp_path / "gateway", mode) as front:
        rig = ClientRig(kubectl, front.member, tmp_path)
        rig.run("create", "configmap", "reconciled", "--from-literal=a=b")
        _keep_busy(rig)
        scene.admin.run("get", "--raw", f"{pods}?mark=around")
        stolen = ClientRig(kubectl, _credential(scene, mode, tmp_path / "stolen"), tmp_path)
        stolen.run("get", "--raw", f"{pods}?mark=unrecorded", code=None)
        rig.run("exec", "web", "--", "true")
        rig.run("delete", "configmap", "reconciled")
        rig.run("get", "pod", "no-such-pod", code=1)
        _keep_busy(rig)
    forwarded = {key for key, one in read_exchanges(front.data_dir).items() if one.intent.upstream_target}
    tail.read_until_over(forwarded)
    _wait_for(tail, "mark=around", "mark=unrecorded")
    of_this_test = tail.write_to(tmp_path / "audit.log")
    ran = run_cli(
        "reconcile",
        "--audit-log",
        str(of_this_test),
        "--data-dir",
        str(front.data_dir),
        "-o",
        "jsonl",
        "--limit",
        "0",
    )
    assert ran.code == 1, ran.err
    found = [json.loads(line) for line in ran.lines]
    assert [one for one in found if one["kind"] in ("differs", "unseen")] == []
    marks = {one["kind"]: one["target"] for one in found if "mark=" in one["target"]}
    assert marks == {"around": f"{pods}?mark=around", "unrecorded": f"{pods}?mark=unrecorded"}
    if (
        gateway_kubeconfig() is None or mode == "shared"
    ):  # else other gateways may act with the same credential
        assert len([one for one in found if one["kind"] == "unrecorded"]) == 1, found
    assert f"{len(forwarded)} of them audited" in ran.err, ran.err


def _unless_noticed(is_ours_alone: bool) -> AbstractContextManager[object]:
    """The rig joins both logs as well when a gateway closes, and must complain of the stolen credential."""
    if not is_ours_alone:
        return nullcontext()
    return pytest.raises(AssertionError, match=r"in the audit log, not recorded: .*mark=unrecorded")


def _keep_busy(rig: ClientRig) -> None:
    """Calls through the gateway for as long as a border is wide."""
    until = time.monotonic() + BORDER_S
    while time.monotonic() < until:
        rig.run("get", "pods")


def _credential(scene: Scene, mode: str, path: Path) -> Path:
    """What the gateway proves itself with, in other hands."""
    if mode == "impersonate" and (given := gateway_kubeconfig()):
        return given
    return scene.credential("shared" if mode == "shared" else "impersonator", path)


def _wait_for(tail: AuditTail, *marks: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while missing := [mark for mark in marks if not any(mark in one.request_uri for one in tail.read())]:
        assert time.monotonic() < deadline, f"not audited: {missing}"
        time.sleep(0.1)
