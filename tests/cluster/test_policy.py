"""What policy refuses on a real cluster, as kubectl shows it: denials, `auth can-i` and `auth whoami`, in either identity
mode. The other halves of policy have files of their own (README)."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import yaml

from tests.clients.programs import Kubectl, find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.audit import AuditTail
from tests.cluster.gateways import MODES, Front, run_gateway
from tests.cluster.scene import Scene, pod
from tests.cluster.surroundings import audit_log, why_not
from tests.kit.tape_reading import read_exchanges

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

ENDS = tuple(dict.fromkeys(find_kubectls()[at] for at in (0, -1))) if find_kubectls() else ()

POLICY = """
apiVersion: kubetape/v1
kind: Policy
metadata: {name: team}
rules:
- {name: discovery, match: {paths: ["*"]}, action: allow}
- name: look
  match: {verbs: [get, list, watch], resources: [pods, pods/log, configmaps, nodes]}
  action: allow
- name: run
  match: {verbs: [create, patch], resources: [pods, pods/exec]}
  action: allow
- name: no-privileges
  match: {verbs: [create], resources: [pods]}
  when: >-
    object.spec.containers.exists(one, has(one.securityContext) && has(one.securityContext.privileged)
    && one.securityContext.privileged)
  action: {deny: privileged pods leave the cage}
- name: no-shadow
  match: {resources: [pods/exec], argv: ["cat /etc/shadow*"]}
  action: {deny: that file is nobody's business}
- name: locked
  match: {verbs: [patch], resources: [pods], labels: {app: [web]}}
  action: {deny: web is looked after by somebody else}
- name: soon
  match: {verbs: [get], resources: [pods], names: [web]}
  mode: shadow
  action: {deny: soon nobody may look}
"""


@pytest.fixture(scope="module")
def open_front(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Front]]:
    opened: dict[str, Front] = {}
    with ExitStack() as stack:

        def open_by_mode(mode: str) -> Front:
            if mode not in opened:
                directory = tmp_path_factory.mktemp(mode) / "gateway"
                opened[mode] = stack.enter_context(run_gateway(scene, directory, mode, policy=POLICY))
            return opened[mode]

        yield open_by_mode


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kubectl", ENDS, ids=lambda kubectl: kubectl.name)
def test_what_no_rule_allows_is_denied_and_says_who_asked_for_what(
    scene: Scene, make_rig: Callable[..., ClientRig], mode: str, kubectl: Kubectl
) -> None:
    rig = make_rig(mode, kubectl)
    rig.run("get", "pods")
    refused = rig.run("get", "secret", "any", code=1).stderr
    assert refused.startswith('Error from server (Forbidden): secrets "any" is forbidden: kubetape policy')
    assert f'User "{scene.member}" cannot get resource "secrets"' in refused
    assert re.search(r"\(request [0-9a-f-]{36}\)\n$", refused)
    assert "Forbidden" in rig.run("delete", "pod", "web", code=1).stderr
    assert "Forbidden" in rig.run("get", "secrets", "-w", code=1).stderr


@pytest.mark.parametrize("mode", MODES)
def test_a_rule_denies_a_create_by_what_is_in_it(make_rig: Callable[..., ClientRig], mode: str) -> None:
    rig = make_rig(mode)
    caged = pod(rig.name("caged"), ["true"], securityContext={"privileged": True})
    refused = rig.run("create", "-f", "-", stdin=yaml.safe_dump(caged).encode(), code=1).stderr
    assert "kubetape policy team/no-privileges: privileged pods leave the cage." in refused
    assert "NotFound" in rig.run("get", "pod", rig.name("caged"), code=1).stderr
    dry = rig.run("create", "-f", "-", "--dry-run=server", stdin=yaml.safe_dump(caged).encode(), code=1)
    assert "team/no-privileges" in dry.stderr


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kubectl", ENDS, ids=lambda kubectl: kubectl.name)
def test_an_exec_is_denied_by_its_command_line_over_either_transport(
    make_rig: Callable[..., ClientRig], mode: str, kubectl: Kubectl
) -> None:
    rig = make_rig(mode, kubectl)
    assert rig.run("exec", "web", "--", "echo", "fine").text == "fine\n"
    for argv in (
        ["cat", "/etc/shadow"],
        ["sh", "-c", "true; cat /etc/shadow"],
        ["env", "a=b", "cat", "/etc/shadow"],
    ):
        refused = rig.run("exec", "web", "--", *argv, code=1)
        assert refused.text == ""
        assert "kubetape policy team/no-shadow: that file is nobody's business." in refused.stderr
    tty = rig.run("exec", "-i", "web", "--", "cat", "/etc/shadow", code=1)
    assert "team/no-shadow" in tty.stderr


@pytest.mark.parametrize("mode", MODES)
def test_a_label_of_the_object_in_the_cluster_protects_it(
    scene: Scene, make_rig: Callable[..., ClientRig], mode: str
) -> None:
    rig = make_rig(mode)
    for patch in ('{"metadata":{"labels":{"app":"other"}}}', '{"metadata":{"annotations":{"a":"b"}}}'):
        refused = rig.run("patch", "pod", "web", "-p", patch, code=1).stderr
        assert "kubetape policy team/locked: web is looked after by somebody else." in refused
    stored = json.loads(scene.admin.run("get", "pod", "web", "-o", "json").stdout)
    assert stored["metadata"]["labels"] == {"app": "web"}


def test_a_rule_in_shadow_mode_warns_and_lets_pass(make_rig: Callable[..., ClientRig]) -> None:
    looked = make_rig("impersonate").run("get", "pod", "web", "-o", "name")
    assert looked.text == "pod/web\n"
    assert "team/soon" in looked.stderr
    assert looked.stderr.startswith("Warning: ")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kubectl", ENDS, ids=lambda kubectl: kubectl.name)
def test_can_i_answers_for_the_person_and_needs_both_to_agree(
    make_rig: Callable[..., ClientRig], mode: str, kubectl: Kubectl
) -> None:
    rig = make_rig(mode, kubectl)
    assert rig.run("auth", "can-i", "list", "configmaps").text == "yes\n"
    denied = rig.run("auth", "can-i", "delete", "pods", code=1)
    assert denied.text.startswith("no")
    may_see_nodes = rig.run("auth", "can-i", "list", "nodes", code=None)
    assert (may_see_nodes.code == 0) == (mode == "shared"), "policy allows it; a member's own rights do not"
    rights = rig.run("auth", "can-i", "--list").text
    assert "pods/exec" in rights or mode == "impersonate"


def test_whoami_names_the_person_though_the_cluster_has_never_heard_of_the_question(
    scene: Scene, make_rig: Callable[..., ClientRig]
) -> None:
    rig = make_rig("shared")
    if rig.kubectl.minor < 28:
        pytest.skip("this kubectl has no stable `auth whoami`")
    said = json.loads(rig.run("auth", "whoami", "-o", "json").stdout)
    assert said["status"]["userInfo"]["username"] == scene.member


def test_what_was_denied_never_reached_the_cluster(
    open_front: Callable[[str], Front], make_rig: Callable[..., ClientRig]
) -> None:
    log = audit_log()
    if log is None:
        pytest.skip("KUBETAPE_TEST_AUDIT_LOG names no audit log")
    tail, rig = AuditTail(log), make_rig("impersonate")
    rig.run("exec", "web", "--", "cat", "/etc/shadow", code=1)
    rig.run("delete", "pod", "web", code=1)
    rig.run("get", "pods")
    exchanges = read_exchanges(open_front("impersonate").data_dir)
    denied = {key: one for key, one in exchanges.items() if one.intent.verdict.action == "deny"}
    newest = max(exchanges, key=lambda key: exchanges[key].intent.at_ns)
    audited = {event.audit_id for event in tail.read_until_over({newest})}
    assert newest in audited
    assert not set(denied) & audited
    verdicts = [one.intent.verdict for one in denied.values()]
    assert any("team/no-shadow" in verdict.rules for verdict in verdicts)
    assert any(not verdict.rules for verdict in verdicts), "what no rule is about"
    assert {(verdict.mode, len(verdict.policy_sha256)) for verdict in verdicts} == {("enforce", 64)}
