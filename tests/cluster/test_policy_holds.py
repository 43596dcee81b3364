"""Calls that wait for people on a real cluster: what kubectl shows meanwhile, what the approver sees, and how it ends.

One gateway for all tests; people decide at a desk that shares its state, as another gateway's users would.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from storage.records import Held, HoldEnded, SubRequest
from tests.clients.programs import find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.audit import AuditTail
from tests.cluster.desk import APPROVER, Desk
from tests.cluster.forwarded import get, local_port
from tests.cluster.gateways import Front, run_gateway
from tests.cluster.scene import Scene, pod
from tests.cluster.surroundings import audit_log, why_not
from tests.kit.running import run_cli
from tests.kit.tape_reading import read_records

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

HOLD = f"{{hold: {{approvers: {{users: [{APPROVER}]}}, wait: 2m, reason: somebody else has to look}}}}"
POLICY = f"""
apiVersion: kubetape/v1
kind: Policy
metadata: {{name: two-people}}
default: allow
rules:
- {{name: deletes, match: {{verbs: [delete], resources: [pods]}}, action: {HOLD}}}
- {{name: scale, match: {{verbs: [update, patch], resources: ["*/scale"]}}, action: {HOLD}}}
- {{name: shells, match: {{resources: [pods/exec, pods/attach]}}, action: {HOLD}}}
- {{name: forward, match: {{resources: [pods/portforward]}}, action: {HOLD}}}
- name: kept
  match: {{verbs: [delete], resources: [configmaps], labels: {{keep: ["yes"]}}}}
  action: {{deny: it is marked to be kept}}
"""
ENDS = (0, -1)
TRANSPORTS = ["spdy", "websocket"]


class Office:
    """The gateway, the desk, and a client."""

    def __init__(self, scene: Scene, front: Front, tail: AuditTail | None) -> None:
        self.scene, self.front, self.tail = scene, front, tail
        self.desk = Desk(front.data_dir)

    def rig(self, scratch: Path, at: int = -1) -> ClientRig:
        return ClientRig(find_kubectls()[at], self.front.member, scratch)

    def make_pods(self, *names: str) -> None:
        pods = [pod(name, ["sleep", "100000"]) for name in names]
        self.scene.admin.run("create", "-f", "-", stdin=yaml.safe_dump_all(pods).encode())

    def has(self, *what: str) -> bool:
        return self.scene.admin.run("get", *what, code=None).code == 0


@pytest.fixture(scope="module")
def office(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    log = audit_log()
    tail = AuditTail(log) if log else None
    with run_gateway(scene, tmp_path_factory.mktemp("holds") / "gateway", "shared", policy=POLICY) as front:
        yield Office(scene, front, tail)


def test_a_delete_waits_and_goes_ahead_once_somebody_agreed(office: Office, tmp_path: Path) -> None:
    rig, name = office.rig(tmp_path), office.rig(tmp_path).name("one")
    office.make_pods(name)
    with rig.start("delete", "pod", name, "--wait=false") as deleting:
        hold = office.desk.next_hold()
        assert office.has("pod", name)
        assert (hold.verb, hold.resource, hold.name) == ("delete", "pods", name)
        assert hold.namespace == office.scene.namespace
        assert hold.requester.user == office.scene.member
        assert hold.rules == ("two-people/deletes",)
        assert f'-    "name": "{name}"' in hold.diff, "a dry run showed what would go"
        office.desk.vote(hold)
        deleting.read_until(f'"{name}" deleted')
        assert deleting.wait() == 0


def test_one_approval_covers_all_that_one_kubectl_deletes_and_nothing_else(
    office: Office, tmp_path: Path
) -> None:
    rig = office.rig(tmp_path)
    names = [rig.name(what) for what in ("first", "second", "third")]
    other = rig.name("other")
    office.make_pods(*names, other)
    with rig.start("delete", "pod", *names, "--wait=false") as deleting:
        hold = office.desk.next_hold()
        office.desk.vote(hold)
        for name in names:
            deleting.read_until(f'"{name}" deleted')
        assert deleting.wait() == 0
    asked = [one for one in office.desk.holds() if one.name in names]
    assert [one.id for one in asked] == [hold.id]
    with rig.start("delete", "pod", other, "--wait=false"):
        again = office.desk.next_hold()
        assert again.id != hold.id
        office.desk.vote(again, approve=False, note="one was enough")


def test_a_denial_is_told_with_its_note_and_nothing_happens(office: Office, tmp_path: Path) -> None:
    rig, name = office.rig(tmp_path), office.rig(tmp_path).name("kept")
    office.make_pods(name)
    with rig.start("delete", "pod", name) as deleting:
        office.desk.vote(office.desk.next_hold(), approve=False, note="not on a Friday")
        said = deleting.read_until("\n")
        assert deleting.wait() == 1
    assert said.startswith("Error from server (Forbidden): ")
    assert f'denied by {APPROVER}: "not on a Friday"' in said
    assert office.has("pod", name)


def test_the_approver_sees_what_a_scale_would_change(office: Office, tmp_path: Path) -> None:
    rig, name = office.rig(tmp_path), office.rig(tmp_path).name("scaled")
    template = {"metadata": {"labels": {"app": name}}, "spec": pod("x", ["sleep", "1"])["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template, "paused": True}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    office.scene.admin.run("create", "-f", "-", stdin=json.dumps(manifest).encode())
    with rig.start("scale", "deployment", name, "--replicas=3") as scaling:
        hold = office.desk.next_hold()
        changed = [line for line in hold.diff.splitlines() if line[0] in "+-" and "replicas" in line]
        assert changed[-1].strip("+ ,") == '"replicas": 3'
        office.desk.vote(hold)
        scaling.read_until("scaled\n")
        assert scaling.wait() == 0
    office.scene.admin.run("delete", "deployment", name)


@pytest.mark.parametrize("at", ENDS, ids=TRANSPORTS)
def test_an_exec_waits_behind_its_upgrade_and_keeps_output_input_and_exit_code(
    office: Office, tmp_path: Path, at: int
) -> None:
    rig = office.rig(tmp_path, at)
    with rig.start("exec", "-i", "web", "--", "sh", "-c", "read line; echo got $line; exit 3") as running:
        running.type(b"what was typed early\n")
        hold = office.desk.next_hold()
        assert hold.argv == ("sh", "-c", "read line; echo got $line; exit 3")
        running.read_until("[kubetape] waiting for approval")
        office.desk.vote(hold)
        running.read_until("got what was typed early\n")
        running.read_until("command terminated with exit code 3\n")
        assert running.wait() == 3


@pytest.mark.parametrize("at", ENDS, ids=TRANSPORTS)
def test_a_denied_exec_says_so_and_fails(office: Office, tmp_path: Path, at: int) -> None:
    rig = office.rig(tmp_path, at)
    with rig.start("exec", "web", "--", "touch", "/tmp/never") as running:
        office.desk.vote(office.desk.next_hold(), approve=False, note="use the runbook")
        running.read_until('"use the runbook"')
        assert running.wait() == 1
    found = office.scene.admin.run("exec", "web", "--", "ls", "/tmp/never", code=None)
    assert found.code != 0


def test_a_held_terminal_is_told_on_its_screen(office: Office, tmp_path: Path) -> None:
    with office.rig(tmp_path).terminal("exec", "-it", "web", "--", "sh", columns=132, rows=40) as terminal:
        terminal.read_until("[kubetape] waiting for approval")
        office.desk.vote(office.desk.next_hold())
        terminal.read_until("/ # ")
        terminal.type(b"exit 4\r")
        assert terminal.wait() == 4


@pytest.mark.parametrize("at", ENDS, ids=TRANSPORTS)
def test_a_port_forward_waits_and_then_carries(office: Office, tmp_path: Path, at: int) -> None:
    rig = office.rig(tmp_path, at)
    with rig.start("port-forward", "pod/web", ":80", "--address=127.0.0.1") as running:
        office.desk.vote(office.desk.next_hold())
        assert get(local_port(running, 80), "/") == b"hello from web\n"


def test_nothing_of_it_is_a_stranger_to_the_audit_log(office: Office, tmp_path: Path) -> None:
    """Objects read to decide, dry runs, held and denied calls of this whole module, joined by `kubetape reconcile`."""
    if office.tail is None:
        pytest.skip("KUBETAPE_TEST_AUDIT_LOG names no audit log")
    rig, name = office.rig(tmp_path), office.rig(tmp_path).name("marked")
    rig.run("create", "configmap", name)
    rig.run("label", "configmap", name, "keep=yes")
    assert "two-people/kept" in rig.run("delete", "configmap", name, code=1).stderr
    until = time.monotonic() + 7  # borders are not compared
    while time.monotonic() < until:
        rig.run("get", "pods")
    records = list(read_records(office.front.data_dir))
    assert {one.purpose for one in records if isinstance(one, SubRequest)} == {
        "old-object",
        "dry-run",
        "spdy",
    }
    assert {one.result for one in records if isinstance(one, HoldEnded)} >= {"approved", "denied"}
    assert any(one.joined for one in records if isinstance(one, Held)), "further calls of one command"
    of_this_module = office.tail.write_to(tmp_path / "audit.log")
    data_dir = str(office.front.data_dir)
    ran = run_cli(
        "reconcile", "--audit-log", str(of_this_module), "--data-dir", data_dir, "-o", "jsonl", "--limit", "0"
    )
    found = [json.loads(line) for line in ran.lines]
    assert [one for one in found if one["kind"] in ("unrecorded", "differs", "unseen")] == [], ran.err
