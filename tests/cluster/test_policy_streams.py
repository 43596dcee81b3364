"""What policy does inside streams of a real cluster, and how access ends: typed lines, copied files, revocations, the
end of a grant, budgets."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from storage.records import BudgetCrossed, CommandSeen, FileCopied, Intent, Outcome
from tests.clients.programs import find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.desk import APPROVER, Desk
from tests.cluster.forwarded import converse, local_port
from tests.cluster.gateways import Front, run_gateway
from tests.cluster.scene import Scene
from tests.cluster.surroundings import why_not
from tests.kit.tape_reading import read_records

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

POLICY = f"""
apiVersion: kubetape/v1
kind: Policy
metadata: {{name: inside}}
rules:
- {{name: everybody, match: {{users: ["*", "!guest"]}}, action: allow}}
- {{name: discovery, match: {{paths: ["*"]}}, action: allow}}
- name: typed
  match: {{resources: [pods/exec]}}
  action: {{commands: [{{pattern: "rm +-rf", do: deny, reason: not from here}}, {{pattern: "^curl", do: alert}}]}}
- name: files
  match: {{resources: [pods/exec]}}
  action: {{files: {{names: ["*/id_rsa"], reason: keys stay where they are}}}}
grants:
- name: shell
  approvers: {{users: [{APPROVER}]}}
  maxDuration: 1h
  rules:
  - {{name: look, match: {{verbs: [get], resources: [pods]}}, action: allow}}
  - {{name: exec, match: {{resources: [pods/exec]}}, action: allow}}
budgets:
- {{name: few, match: {{users: [careful], verbs: [delete], resources: [configmaps]}}, deletes: 2, action: hold, hold: {{approvers: {{users: [{APPROVER}]}}}}}}
- {{name: strict, match: {{users: [hasty], verbs: [delete], resources: [configmaps]}}, deletes: 2, action: freeze}}
"""
LEAVERS = ("leaver-oldest", "leaver-newest")
ENDS = {"oldest": 0, "newest": -1}
LOST_IS_AN_ERROR_SINCE = 27
"""An older kubectl says that a port-forward lost its connection, and exits with 0."""
TOLD_WITHIN_NS = 1_000_000_000
GRANT_S = 6
"""Long enough for two short commands on a busy machine."""


class Room:
    """The gateway and its desk; a client for each person."""

    def __init__(self, scene: Scene, front: Front) -> None:
        self.scene, self.front, self.desk = scene, front, Desk(front.data_dir)

    def rig(self, scratch: Path, person: str = "member", at: int = -1) -> ClientRig:
        return self.front.rig(ClientRig(find_kubectls()[at], self.front.member, scratch), person)


@pytest.fixture(scope="module")
def room(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    people = (*LEAVERS, "guest", "careful", "hasty")
    directory = tmp_path_factory.mktemp("streams") / "gateway"
    with run_gateway(scene, directory, "shared", policy=POLICY, people=people) as front:
        yield Room(scene, front)


# --- inside ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ENDS)
def test_a_typed_line_is_denied_before_it_runs_and_the_shell_goes_on(
    room: Room, tmp_path: Path, end: str
) -> None:
    rig = room.rig(tmp_path, at=ENDS[end])
    room.scene.admin.run("exec", "web", "--", "mkdir", "-p", f"/tmp/precious-{end}")
    with rig.terminal("exec", "-it", "web", "--", "sh", columns=132, rows=40) as terminal:
        terminal.read_until("/ # ")
        terminal.type(f"rm -rX\x7ff /tmp/precious-{end}".encode())
        terminal.read_until(f"precious-{end}")  # what was never echoed is judged, too, but not written down
        terminal.type(b"\r")
        terminal.read_until("[kubetape] denied by kubetape policy inside/typed: not from here\r\n")
        terminal.read_until("/ # ")
        terminal.type(b"curl --version\r")
        terminal.read_until("not found\r\n/ # ")
        terminal.type(b"exit 5\r")
        assert terminal.wait() == 5
    assert room.scene.admin.run("exec", "web", "--", "ls", "-d", f"/tmp/precious-{end}").code == 0
    seen = [
        (one.line, one.action) for one in read_records(room.front.data_dir) if isinstance(one, CommandSeen)
    ]
    assert (f"rm -rf /tmp/precious-{end}", "deny") in seen
    assert ("curl --version", "alert") in seen


@pytest.mark.parametrize("end", ENDS)
def test_copied_files_are_recorded_by_hash_and_refused_by_name(room: Room, tmp_path: Path, end: str) -> None:
    rig, content = room.rig(tmp_path, at=ENDS[end]), f"{end} ".encode() * 50_000
    (tmp_path / "report.txt").write_bytes(content)
    (tmp_path / "id_rsa").write_bytes(b"a key")
    rig.run("cp", "report.txt", f"web:/tmp/report-{end}.txt")
    rig.run("cp", f"web:/tmp/report-{end}.txt", "back.txt")
    assert (tmp_path / "back.txt").read_bytes() == content
    refused = rig.run("cp", "id_rsa", "web:/tmp/id_rsa", code=None)
    assert refused.code != 0
    assert "keys stay where they are" in refused.stderr
    room.scene.admin.run("exec", "web", "--", "sh", "-c", "mkdir -p /tmp/home && echo key > /tmp/home/id_rsa")
    for source in ("web:/tmp/home/id_rsa", "web:/tmp/home"):
        assert "keys stay where they are" in rig.run("cp", source, "stolen", code=None).stderr
    assert not (tmp_path / "stolen").exists() or not any((tmp_path / "stolen").rglob("id_rsa"))
    assert room.scene.admin.run("exec", "web", "--", "ls", "/tmp/id_rsa", code=None).code != 0
    copied = [
        (one.direction, one.size, one.sha256)
        for one in read_records(room.front.data_dir)
        if isinstance(one, FileCopied) and f"report-{end}" in one.name and one.kind == "file"
    ]
    digest = hashlib.sha256(content).digest()
    # each by a worker of its own, maybe, and so in logs of their own
    assert sorted(copied) == [("down", len(content), digest), ("up", len(content), digest)]


# --- how access ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ENDS)
def test_a_revocation_ends_every_stream_of_a_person_within_a_second_and_says_why(
    room: Room, tmp_path: Path, end: str
) -> None:
    person = f"leaver-{end}"
    rig = room.rig(tmp_path, person, ENDS[end])
    with ExitStack() as stack:
        watch = stack.enter_context(rig.start("get", "pods", "-w"))
        logs = stack.enter_context(rig.start("logs", "-f", "web"))
        shell = stack.enter_context(rig.start("exec", "-i", "web", "--", "sh", "-c", "echo begun; cat"))
        forward = stack.enter_context(rig.start("port-forward", "pod/web", ":7", "--address=127.0.0.1"))
        port = local_port(forward, 7)
        assert converse(port, b"before") == b"before"
        watch.read_until("web")
        logs.read_until("line=")
        shell.read_until("begun\n")
        said_ns = room.desk.revoke_user(person, "left the company")
        assert "left the company" in watch.read_rest()
        assert "left the company" in shell.read_rest()
        assert shell.wait() != 0
        logs.read_rest()  # in text there is no room for a reason
        assert "lost connection" in forward.read_rest()
        assert (forward.wait() != 0) is (rig.kubectl.minor >= LOST_IS_AN_ERROR_SINCE)
    refused = rig.run("get", "pods", code=1).stderr
    assert f"access revoked by {APPROVER}: left the company" in refused
    ended = _ends_of(room.front.data_dir, person)
    cut = {kind: at_ns for kind, (result, at_ns) in ended.items() if result == "cut"}
    assert set(cut) == {"watch", "log", "exec", "portforward"}
    assert {kind: at_ns - said_ns for kind, at_ns in cut.items() if at_ns - said_ns > TOLD_WITHIN_NS} == {}


def test_a_grant_lets_in_and_ends_to_the_second_with_the_session_it_allowed(
    room: Room, tmp_path: Path
) -> None:
    guest = room.rig(tmp_path, "guest")
    assert "Forbidden" in guest.run("exec", "web", "--", "true", code=1).stderr
    began_ns = time.time_ns()
    identifier = room.desk.grant("guest", "shell", GRANT_S)
    assert guest.run("exec", "web", "--", "echo", "in").text == "in\n"
    with guest.start("exec", "-i", "web", "--", "sh", "-c", "echo begun; cat") as shell:
        shell.read_until("begun\n")
        shell.read_until(f"grant {identifier} expired")
        assert shell.wait() != 0
    result, at_ns = _ends_of(room.front.data_dir, "guest")["exec"]
    assert result == "cut"
    assert GRANT_S * 10**9 <= at_ns - began_ns < (GRANT_S + 2) * 10**9, (
        "from before it was asked for to its end"
    )
    assert "Forbidden" in guest.run("exec", "web", "--", "true", code=1).stderr


# --- budgets ---------------------------------------------------------------------------------------------


def test_a_third_delete_waits_for_people_who_raise_the_budget(room: Room, tmp_path: Path) -> None:
    careful = room.rig(tmp_path, "careful")
    names = [careful.name(what) for what in ("a", "b", "c", "d")]
    for name in names:
        room.scene.admin.run("create", "configmap", name)
    # over one connection, so by one worker: of another's deletes it hears within a second (docs/budgets.md)
    careful.run("delete", "configmap", *names[:2])
    with careful.start("delete", "configmap", names[2]) as third:
        hold = room.desk.next_hold()
        assert hold.name == names[2]
        assert room.scene.admin.run("get", "configmap", names[2]).code == 0
        room.desk.vote(hold)
        third.read_until("deleted")
        assert third.wait() == 0
    careful.run("delete", "configmap", names[3])
    crossed = [one for one in read_records(room.front.data_dir) if isinstance(one, BudgetCrossed)]
    assert ("inside/few", "deletes", 2, 2, "hold") in [
        (one.rule, one.counter, one.used, one.limit, one.action) for one in crossed
    ]


def test_a_third_delete_freezes_the_session(room: Room, tmp_path: Path) -> None:
    hasty = room.rig(tmp_path, "hasty")
    names = [hasty.name(what) for what in ("x", "y", "z")]
    for name in names:
        room.scene.admin.run("create", "configmap", name)
    with hasty.start("logs", "-f", "web") as following:
        following.read_until("line=")
        hasty.run("delete", "configmap", *names[:2])
        refused = hasty.run("delete", "configmap", names[2], code=1).stderr
        assert "the budget of 2 deletes for this session is used up" in refused
        following.wait()
    assert "used up" in hasty.run("get", "pods", code=1).stderr
    assert room.scene.admin.run("get", "configmap", names[2]).code == 0


def _ends_of(data_dir: Path, user: str) -> dict[str, tuple[str, int]]:
    """verb or stream of a person's last call of each kind -> how it ended and when, UTC nanoseconds."""
    begun: dict[bytes, Intent] = {}
    ends: dict[str, tuple[str, int]] = {}
    for record in read_records(data_dir):
        if isinstance(record, Intent) and record.principal is not None and record.principal.user == user:
            begun[record.exchange] = record
        elif isinstance(record, Outcome) and (intent := begun.get(record.exchange)) is not None:
            assert intent.call is not None
            kind = intent.call.subresource or intent.call.verb
            if ends.get(kind, ("", 0))[0] != "cut":
                ends[kind] = (record.result, intent.at_ns + record.at_us * 1000)
    return ends
