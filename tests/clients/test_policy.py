"""What a person sees of a policy through kubectl: refusals in its own words, masks, waiting, and the end of access."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients.policy_gateway import Decider, PolicyTarget, run_policy_gateway
from tests.clients.policy_rules import POLICY
from tests.clients.programs import Kubectl, find_kubectls
from tests.clients.rig import ClientRig, Result

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    pytest.mark.skipif(not find_kubectls(), reason="no kubectl here: run tests/clients/install"),
]
MASKED_BASE64 = "W21hc2tlZCBieSBob3VzZS9oaWRlLXNlY3JldHNd"
"""Base64 of `[masked by house/hide-secrets]`."""
CONNECTION_S = 20.0
SAYS_ITS_COMMAND = 22
"""From this minor version on kubectl sends Kubectl-Command and Kubectl-Session."""


def _chosen() -> tuple[Kubectl, ...]:
    """The oldest and 1.30, which speak SPDY unasked, and the newest, which speaks WebSocket."""
    everyone = find_kubectls()
    middle = [one for one in everyone if one.minor == 30][:1]
    return tuple(dict.fromkeys([*everyone[:1], *middle, *everyone[-1:]]))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyTarget]:
    with run_policy_gateway(tmp_path_factory.mktemp("policy"), POLICY) as running:
        yield running


@pytest.fixture(params=_chosen(), ids=lambda kubectl: kubectl.name)
def rig(request: pytest.FixtureRequest, target: PolicyTarget, tmp_path: Path) -> ClientRig:
    return ClientRig(request.param, target.kubeconfig, tmp_path)


@pytest.fixture
def bob(target: PolicyTarget) -> Iterator[Decider]:
    with Decider(target) as decider:
        yield decider


@pytest.fixture
def newest_over(tmp_path: Path) -> Callable[[PolicyTarget], ClientRig]:
    return lambda target: ClientRig(find_kubectls()[-1], target.kubeconfig, tmp_path)


# --- refused ------------------------------------------------------------------------------------------


def test_a_denied_delete_says_which_rule_why_and_what_is_allowed(rig: ClientRig) -> None:
    refused = rig.run("delete", "pod", "shop", "-n", "prod", code=1)
    assert refused.stderr.startswith(
        'Error from server (Forbidden): pods "shop" is forbidden: kubetape policy house/no-deletes-in-prod: '
        "production is only changed by the pipeline. You may get, list, watch"
    )
    assert re.search(r"\(request [0-9a-f-]{36}\)\n$", refused.stderr)


def test_what_no_rule_allows_is_refused_in_the_words_of_rbac(rig: ClientRig) -> None:
    refused = rig.run("create", "namespace", "mine", code=1)
    assert (
        "(Forbidden): namespaces is forbidden: kubetape policy: no rule allows this: User" in refused.stderr
    )
    assert 'cannot create resource "namespaces"' in refused.stderr


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_a_denied_exec_is_refused_alike_over_websocket_and_spdy(rig: ClientRig, websockets: str) -> None:
    rig.environ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = websockets
    refused = rig.run("exec", "-n", "prod", "shop", "--", "ls", code=1)
    # kubectl 1.36 shows what it could not do before what it was told.
    assert refused.stderr.startswith(
        ("Error from server (Forbidden): ", "error: unable to upgrade connection: ")
    )
    assert (
        'pods "shop" is forbidden: kubetape policy house/no-exec-in-prod: nobody enters production.'
        in refused.stderr
    )
    assert refused.stdout == b""


def test_can_i_is_answered_for_the_person_and_not_for_the_gateway(rig: ClientRig) -> None:
    assert rig.run("auth", "can-i", "list", "pods", "-n", "prod").text == "yes\n"
    no = rig.run("auth", "can-i", "delete", "pods", "-n", "prod", code=1)
    assert no.text.startswith("no - kubetape policy house/no-deletes-in-prod: production is only changed")
    assert "configmaps" in rig.run("auth", "can-i", "--list").text


def test_whoami_names_the_person(rig: ClientRig) -> None:
    _needs(rig, 27, "auth whoami came with it")
    said = rig.run("auth", "whoami", "-o", "json").stdout
    assert json.loads(said)["status"]["userInfo"]["groups"] == ["kubetape:first-user"]


def test_a_rule_in_shadow_mode_only_warns(rig: ClientRig) -> None:
    done = rig.run("get", "services", "-n", "prod")
    assert "Warning: kubetape: policy house/soon-forbidden (shadow) would deny or hold this\n" in done.stderr
    assert "shop" in done.text


# --- masked -------------------------------------------------------------------------------------------


def test_a_masked_secret_stays_a_secret_that_every_command_can_read(rig: ClientRig) -> None:
    read = ("get", "secret", "database", "-n", "payments")
    assert f"password: {MASKED_BASE64}\n" in rig.run(*read, "-o", "yaml").text
    assert rig.run(*read, "-o", "jsonpath={.data.password}").text == MASKED_BASE64
    assert "password:  30 bytes" in rig.run("describe", *read[1:]).text
    assert re.search(r"^database +Opaque +2 ", rig.run("get", "secrets", "-n", "payments").text, re.MULTILINE)


def test_what_apply_remembers_and_dry_runs_echo_is_masked(rig: ClientRig) -> None:
    name = rig.name("applied")
    rig.run("apply", "-f", "-", stdin=_secret(name, "hunter2"))
    echoed = rig.run("apply", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=_secret(name, "hunter3"))
    seen = rig.run("get", "secret", name, "-o", "yaml").text + echoed.text
    seen += rig.run("patch", "secret", name, "-o", "json", "-p", '{"metadata":{"labels":{"a":"b"}}}').text
    assert "hunter" not in seen
    assert "aHVudGVy" not in seen
    assert "[masked by house/hide-secrets]" in seen
    rig.run("delete", "secret", name)


def test_a_watch_is_masked_event_by_event(rig: ClientRig) -> None:
    name = rig.name("watched")
    with rig.start("get", "secrets", "-w", "-o", "yaml") as running:
        rig.run("create", "secret", "generic", name, "--from-literal=password=hunter2")
        seen = running.read_until(f"name: {name}\n")
    assert f"password: {MASKED_BASE64}" in seen
    assert "aHVudGVyMg" not in seen
    rig.run("delete", "secret", name)


def test_a_masked_object_cannot_be_written_back(rig: ClientRig) -> None:
    name = rig.name("replaced")
    rig.run("create", "secret", "generic", name, "--from-literal=password=hunter2")
    shown = rig.run("get", "secret", name, "-o", "yaml").stdout
    for write in (("replace", "-f", "-"), ("apply", "-f", "-")):
        refused = rig.run(*write, stdin=shown, code=1)
        assert "contains a value that kubetape had masked" in refused.stderr
    rig.run("label", "secret", name, "kept=yes")  # what does not touch the value goes on
    rig.run("delete", "secret", name)


def test_edit_of_a_masked_object_changes_only_what_was_edited(rig: ClientRig) -> None:
    name = rig.name("edited")
    rig.run("create", "secret", "generic", name, "--from-literal=password=hunter2")
    rig.environ["EDITOR"] = "sed -i s/Opaque/Other/"
    assert "edited" in rig.run("edit", "secret", name).text
    assert "type: Other\n" in rig.run("get", "secret", name, "-o", "yaml").text
    rig.run("delete", "secret", name)


def test_edit_that_moves_a_masked_value_is_refused_and_says_why_in_the_editor(rig: ClientRig) -> None:
    name, shown = rig.name("moved"), rig.scratch / "shown"
    rig.run("create", "secret", "generic", name, "--from-literal=password=hunter2")
    editor = rig.scratch / "editor"
    editor.write_text(f'#!/bin/sh\ncat "$1" >> {shown}\nsed -i s/password:/renamed:/ "$1"\n')
    editor.chmod(0o700)
    rig.environ["EDITOR"] = str(editor)
    refused = rig.run("edit", "secret", name, code=1)
    assert f'secrets "{name}" is invalid' in refused.stderr
    assert "masked value: this body contains a value that kubetape had masked" in shown.read_text()
    rig.run("delete", "secret", name)


def test_detectors_hide_in_objects_descriptions_and_streams(rig: ClientRig) -> None:
    name = rig.name("staff")
    rig.run("create", "configmap", name, "--from-literal=owner=by EMP-123456 in May")
    masked = "by [masked by house/hide-staff] in May"
    assert f"owner: {masked}\n" in rig.run("get", "configmap", name, "-o", "yaml").text
    assert masked in rig.run("describe", "configmap", name).text
    script = "echo by EMP-123456 in May; echo EMP-654321 >&2; exit 3"
    done = rig.run("exec", "web", "--", "sh", "-c", script, code=3)
    assert done.text == "by [masked by house/hide-staff] in May\n"
    assert done.stderr.startswith("[masked by house/hide-staff]\n")
    copied = rig.run("exec", "-i", "web", "--", "cat", stdin=b"EMP-123456\n" * 3)
    assert copied.text == "[masked by house/hide-staff]\n" * 3
    rig.run("delete", "configmap", name)


def test_a_followed_log_is_masked_and_still_flows(rig: ClientRig) -> None:
    with rig.start("logs", "-f", "web", "--tail=2") as running:
        lines = running.read_until("\n", count=5).splitlines()
    assert all(line.endswith("msg=[masked by house/hide-in-logs] status=200") for line in lines)


# --- waiting ------------------------------------------------------------------------------------------


def test_a_held_delete_waits_and_succeeds_once_it_is_approved(rig: ClientRig, bob: Decider) -> None:
    name = _held(rig)
    with rig.start("delete", "configmap", name) as running:
        request = bob.next_request()
        assert (request.verb, request.name) == ("delete", name)
        assert request.kubectl_command == ("kubectl delete" if rig.kubectl.minor >= SAYS_ITS_COMMAND else "")
        assert f'-    "name": "{name}"' in request.diff
        assert running.process.poll() is None
        bob.approve(request)
        running.read_until(f'configmap "{name}" deleted')
        assert running.wait() == 0


def test_one_command_that_fans_out_needs_one_approval(rig: ClientRig, bob: Decider) -> None:
    _needs(rig, SAYS_ITS_COMMAND, "kubectl says with it which of its calls belong together")
    names = [_held(rig, suffix) for suffix in ("-a", "-b", "-c", "-d", "-e")]
    before = len(bob.requests())
    with rig.start("delete", "configmap", *names) as running:
        bob.approve(bob.next_request())
        running.read_until("deleted", count=5)
        assert running.wait() == 0
    assert len(bob.requests()) == before + 1


def test_a_denial_is_told_with_the_approvers_note(rig: ClientRig, bob: Decider) -> None:
    name = _held(rig)
    with rig.start("delete", "configmap", name) as running:
        bob.deny(bob.next_request(), "not on a Friday")
        said = running.read_until('denied by bob: "not on a Friday"')
        assert running.wait() == 1
    assert said.startswith(f'Error from server (Forbidden): configmaps "{name}" is forbidden: ')
    rig.run("get", "configmap", name)


def test_a_held_exec_says_what_it_waits_for_on_stderr_and_then_runs(rig: ClientRig, bob: Decider) -> None:
    done = _exec_held(rig, bob.approve, bob, "echo out; exit 4")
    assert (done.code, done.text) == (4, "out\n")
    assert re.match(
        r"\[kubetape\] waiting for approval (\w{8}) by group sre: kubetape approvals approve \1\n",
        done.stderr,
    )


def test_a_denied_exec_exits_1_with_the_note_and_runs_nothing(rig: ClientRig, bob: Decider) -> None:
    done = _exec_held(rig, lambda request: bob.deny(request, "no way"), bob, "echo out")
    assert (done.code, done.text) == (1, "")
    assert 'denied by bob: "no way"' in done.stderr


def test_a_held_terminal_is_told_on_its_screen(rig: ClientRig, bob: Decider) -> None:
    words = ("exec", "-it", "-n", "kube-system", "coredns", "--", "sh")
    with rig.terminal(*words, columns=120, rows=40) as terminal:
        terminal.read_until("[kubetape] waiting for approval ")
        bob.approve(bob.next_request())
        terminal.read_until("/ # ")
        terminal.type(b"stty size; exit 6\r")
        terminal.read_until("40 120")
        assert terminal.wait() == 6


def test_a_held_port_forward_begins_once_it_is_approved(rig: ClientRig, bob: Decider) -> None:
    with rig.start("port-forward", "-n", "kube-system", "pod/coredns", ":80") as running:
        bob.approve(bob.next_request())
        running.read_until(" -> 80\n")


def test_a_denied_port_forward_asks_nobody_a_second_time(rig: ClientRig, bob: Decider) -> None:
    """kubectl tries SPDY when it is refused over WebSocket."""
    before = len(bob.requests())
    with rig.start("port-forward", "-n", "kube-system", "pod/coredns", ":80") as running:
        bob.deny(bob.next_request(), "use the dashboard")
        running.read_until("use the dashboard")
        assert running.wait() == 1
    assert len(bob.requests()) == before + 1


def test_a_held_exec_reaches_a_server_that_only_speaks_spdy(
    tmp_path: Path, newest_over: Callable[[PolicyTarget], ClientRig]
) -> None:
    with run_policy_gateway(tmp_path, POLICY, "--old") as old, Decider(old) as bob:
        rig = newest_over(old)
        done = _exec_held(rig, bob.approve, bob, "echo out; echo err >&2; exit 5")
        assert (done.code, done.text) == (5, "out\n")
        assert "\nerr\n" in done.stderr
        words = ("exec", "-it", "-n", "kube-system", "coredns", "--", "sh")
        with rig.terminal(*words, columns=120, rows=40) as terminal:
            bob.approve(bob.next_request())
            terminal.read_until("/ # ")
            terminal.type(b"stty size; exit 7\r")
            terminal.read_until("40 120")
            assert terminal.wait() == 7


# --- what is inside streams -----------------------------------------------------------------------------


def test_cp_is_refused_by_the_name_of_the_file(rig: ClientRig) -> None:
    (rig.scratch / "key.pem").write_text("k")
    (rig.scratch / "notes.txt").write_text("n")
    up = rig.run("cp", "key.pem", "web:/tmp/key.pem", code=1)
    assert "kubetape policy house/no-keys-copied: /tmp/key.pem: may not be copied" in up.stderr
    assert "No such file" in rig.run("exec", "web", "--", "cat", "/tmp/key.pem", code=1).stderr
    down = rig.run("cp", "payments/api:/data/customers.csv", "back.csv", code=1)
    assert "/data/customers.csv: may not be copied" in down.stderr
    assert not (rig.scratch / "back.csv").exists() or (rig.scratch / "back.csv").read_bytes() == b""
    rig.run("cp", "notes.txt", "web:/tmp/notes.txt")
    rig.run("cp", "web:/tmp/notes.txt", "notes-back.txt")
    assert (rig.scratch / "notes-back.txt").read_text() == "n"


def test_a_port_that_no_rule_opens_is_refused_when_it_is_used(rig: ClientRig) -> None:
    with rig.start("port-forward", "pod/web", ":7", ":80", "--address=127.0.0.1") as running:
        said = running.read_until(" -> 80\n")
        closed, opened = (int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", said))
        assert _ask(opened, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert _ask(closed, b"x") == b""
        running.read_until("kubetape policy: port 7 may not be forwarded; allowed here: 80")


def test_typed_lines_are_denied_and_held_on_a_terminal(rig: ClientRig, bob: Decider) -> None:
    with rig.terminal("exec", "-it", "web", "--", "sh", columns=120, rows=40) as terminal:
        terminal.read_until("/ # ")
        terminal.type(b"drop table x\r")
        terminal.read_until("[kubetape] denied by kubetape policy house/typed-lines: not by hand")
        terminal.read_until("^C\r\n/ # ")
        terminal.type(b"echo careful\r")
        request = bob.next_request()
        assert request.argv == ("echo careful",)
        terminal.read_until("[kubetape] waiting for approval ")
        bob.approve(request)
        terminal.read_until("\r\ncareful\r\n/ # ")
        terminal.type(b"exit 5\r")
        assert terminal.wait() == 5


def test_a_piped_line_that_is_denied_ends_the_session_before_it_runs(rig: ClientRig) -> None:
    refused = rig.run("exec", "-i", "web", "--", "sh", stdin=b"drop table x\necho after\n", code=1)
    assert "kubetape policy house/typed-lines: not by hand" in refused.stderr
    assert refused.stdout == b""


# --- the end of access ------------------------------------------------------------------------------------


def test_revoking_a_person_ends_watches_shells_and_forwards_with_the_reason(
    rig: ClientRig, target: PolicyTarget, bob: Decider
) -> None:
    _needs(rig, 27, "kubectl 1.20 ends a port-forward with 0, and now and then says only that it timed out")
    me = target.user
    with (
        rig.start("get", "configmaps", "-w") as watch,
        rig.start("exec", "web", "--", "sleep", "1000") as shell,
        rig.start("port-forward", "pod/web", ":80") as forward,
    ):
        watch.read_until("kube-root-ca.crt")
        forward.read_until(" -> 80\n")
        target.wait_for_streams(3)
        revocation = bob.revoke("user", me, "laptop lost")
        try:
            watch.read_until("access revoked by bob: laptop lost")
            shell.read_until("access revoked by bob: laptop lost")
            assert shell.wait() == 1
            assert forward.wait() == 1
            refused = rig.run("get", "pods", code=1)
            assert "(Forbidden): access revoked by bob: laptop lost" in refused.stderr
        finally:
            bob.reinstate(revocation)


def _needs(rig: ClientRig, minor: int, why: str) -> None:
    if rig.kubectl.minor < minor:
        pytest.skip(f"1.{minor}: {why}")


def _secret(name: str, password: str) -> bytes:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    return json.dumps(secret | {"stringData": {"password": password}}).encode()


def _held(rig: ClientRig, suffix: str = "") -> str:
    """A new object whose deletion is held."""
    name = rig.name("held") + suffix
    rig.run("create", "configmap", name)
    return name


def _exec_held(rig: ClientRig, decide: Callable[..., None], bob: Decider, script: str) -> Result:
    """Run a script where exec is held, decide on it, and wait for its end."""
    words = ["exec", "-n", "kube-system", "coredns", "--", "sh", "-c", script]
    with rig.popen(*words) as process:
        decide(bob.next_request())
        stdout, stderr = process.communicate(timeout=CONNECTION_S)
    return Result(process.returncode, stdout, stderr.decode())


def _ask(port: int, data: bytes) -> bytes:
    """What comes back on one connection. kubectl resets it where it leaves bytes unread."""
    answer = bytearray()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=CONNECTION_S) as connection,
        suppress(ConnectionResetError),
    ):
        connection.sendall(data)
        while piece := connection.recv(65536):
            answer += piece
    return bytes(answer)
