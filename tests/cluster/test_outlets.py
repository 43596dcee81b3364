"""Our audit events against the API server's own of the same calls: the same words in the same places."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.keys.opening import open_key_ring
from gateway.outlets.outlet import Outlet
from gateway.outlets.settings import BatchSettings, OutletSettings, OutletType
from storage.sources import SegmentLogs
from tests.clients.programs import find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.audit import AuditTail
from tests.cluster.gateways import run_gateway
from tests.cluster.scene import Scene
from tests.cluster.surroundings import audit_log, why_not
from tests.kit.audit_schema import falco, read_event
from tests.kit.outlet_rig import run_until_idle
from tests.kit.tape_reading import read_exchanges

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.skipif(audit_log() is None, reason="KUBETAPE_TEST_AUDIT_LOG names no audit log"),
]

COMPARED = ("resource", "namespace", "name", "apiGroup", "apiVersion", "subresource")


def test_our_events_say_what_the_api_server_says_of_the_same_calls(scene: Scene, tmp_path: Path) -> None:
    log = audit_log()
    assert log
    tail = AuditTail(log)
    with run_gateway(scene, tmp_path / "gateway", "impersonate") as front:
        rig = ClientRig(find_kubectls()[-1], front.member, tmp_path)
        rig.run("create", "configmap", "told", "--from-literal=a=b")
        rig.run("create", "secret", "generic", "hidden", "--from-literal=key=canary-value")
        rig.run("get", "secret", "hidden", "-o", "yaml")
        rig.run("get", "pods", "--watch-only", "--request-timeout=1s", code=None)
        rig.run("exec", "web", "--", "true")
        rig.run("logs", "web", "--limit-bytes=100")
        rig.run("get", "nodes", code=1)
        rig.run("delete", "configmap", "told")
    forwarded = {key for key, one in read_exchanges(front.data_dir).items() if one.intent.upstream_target}
    tail.read_until_over(forwarded)
    theirs = _theirs(tail.write_to(tmp_path / "audit.log"))
    ours = _ours(front.data_dir, tmp_path / "events.jsonl")
    assert {key for key in ours if key[0] in forwarded} == {key for key in theirs if key[0] in forwarded}
    for key, event in ours.items():
        if key[0] in forwarded:
            said, expected = _facts(event), _facts(theirs[key])
            if said["code"] == 403 and expected["code"] == 101:  # the kubelet refused what was handed to it
                said |= {"code": 101, "decision": expected["decision"]}
            assert said == expected, key
    told = {(one["verb"], one["objectRef"]["resource"]) for one in ours.values() if "objectRef" in one}
    assert told >= {("create", "configmaps"), ("create", "secrets"), ("get", "secrets"), ("list", "nodes")}
    assert "Y2FuYXJ5LXZhbHVl" not in json.dumps(list(ours.values()))


def _ours(data_dir: Path, path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    settings = OutletSettings(
        name="file", type=OutletType.AUDIT_FILE, path=str(path), batch=BatchSettings(max_wait_ms=0)
    )
    keys = open_key_ring(data_dir, (), use_kms=False)
    outlet = Outlet(settings, data_dir, SegmentLogs(data_dir, keys=keys))
    step = run_until_idle(outlet)
    assert step.problem == ""
    events = {}
    for line in path.read_bytes().splitlines():
        event = read_event(line)
        assert falco(line)["ka.auditid"] == event.auditID
        events[event.auditID, event.stage] = json.loads(line)
    return events


def _theirs(log: Path) -> dict[tuple[str, str], dict[str, Any]]:
    events = [json.loads(line) for line in log.read_bytes().splitlines()]
    return {(event["auditID"], event["stage"]): event for event in events}


def _facts(event: dict[str, Any]) -> dict[str, Any]:
    """What must be the same word for word. The user is another thing: there it is the gateway, impersonating."""
    reference = event.get("objectRef", {})
    code = event.get("responseStatus", {}).get("code")
    person = event.get("impersonatedUser", event["user"])["username"]
    return {
        "verb": event["verb"],
        "user": person,
        "code": code,
        "decision": event["annotations"].get("authorization.k8s.io/decision"),
        "reference": {field: reference.get(field, "") for field in COMPARED},
        "agent": event["userAgent"],
    }
