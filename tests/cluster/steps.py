"""What every kubectl must be able to do on a real cluster, one function a step; each takes a ClientRig.

They rely on the scene: the pod `web` and a kubeconfig that names its namespace. Steps of the stand-in's
matrix that rely on nothing more are used as they are.
"""

import contextlib
import hashlib
import json
import random
import re
from collections.abc import Callable

import pytest
import yaml

from tests.clients import steps
from tests.clients.rig import ClientRig, Terminal
from tests.cluster.forwarded import converse, converse_at_once, get, local_port
from tests.cluster.scene import LARGE_BYTES, container_of, pod
from tests.cluster.surroundings import IMAGE

Step = Callable[[ClientRig], None]
MIB = 1 << 20
FOREVER = ["sh", "-c", "sleep 100000"]
EPHEMERAL_SINCE = 25  # 1.25: ephemeral containers are on and stable


def get_and_list(rig: ClientRig) -> None:
    assert re.search(r"^web +1/1 +Running", rig.run("get", "pods", "-o", "wide").text, re.MULTILINE)
    found = json.loads(rig.run("get", "pod", "web", "-o", "json").stdout)
    assert found["spec"]["containers"][0]["image"] == IMAGE
    assert rig.run("get", "pods", "-l", "app=web", "-o", "name").text == "pod/web\n"
    names = rig.run("get", "serviceaccounts", "-o", "name", "--chunk-size=1").text.split()
    assert {"serviceaccount/shared", "serviceaccount/impersonator"} <= set(names)
    missing = rig.run("get", "pod", "no-such-pod", code=1)
    assert missing.stderr == 'Error from server (NotFound): pods "no-such-pod" not found\n'


def describe_and_events(rig: ClientRig) -> None:
    assert "Started container web" in rig.run("describe", "pod", "web").text
    assert "pod/web" in rig.run("get", "events", "--field-selector=involvedObject.name=web").text
    if rig.kubectl.minor >= 27:
        assert "Started container web" in rig.run("events", "--for=pod/web").text
    assert "configmaps" in rig.run("api-resources").text
    assert "FIELDS:" in rig.run("explain", "pod.spec").text
    assert json.loads(rig.run("version", "-o", "json").stdout)["serverVersion"]["major"] == "1"


def watch_and_wait(rig: ClientRig) -> None:
    name = rig.name("watched")
    with rig.start("get", "configmaps", "-w", "-l", f"of={name}", "-o", "name") as running:
        for number in range(3):
            rig.run("create", "-f", "-", stdin=_config_map(f"{name}-{number}", name))
        for number in range(3):
            running.read_until(f"configmap/{name}-{number}\n")
    rig.run("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    # -v=6 shows the requests: what is deleted before kubectl watches is not waited for
    with rig.start("wait", "--for=delete", f"configmap/{name}-0", "--timeout=30s", "-v=6") as waiting:
        waiting.read_until("watch=true")
        rig.run("delete", "configmap", "-l", f"of={name}")
        waiting.read_until("condition met")
        assert waiting.wait() == 0


def deploy(rig: ClientRig) -> None:
    """A deployment from its creation to its end."""
    name = rig.name("deployed")
    target = f"deployment/{name}"
    assert "created" in rig.run("apply", "-f", "-", stdin=_deployment(name)).text
    rig.run("rollout", "status", target, "--timeout=50s")
    rig.run("patch", "deployment", name, "-p", '{"metadata":{"labels":{"tier":"front"}}}')
    rig.run("patch", "deployment", name, "--type=merge", "-p", '{"metadata":{"annotations":{"note":"kept"}}}')
    change = '[{"op":"replace","path":"/metadata/labels/tier","value":"back"}]'
    rig.run("patch", "deployment", name, "--type=json", "-p", change)
    rig.run("scale", target, "--replicas=2")
    rig.run("set", "env", target, "COLOUR=red")
    rig.run("rollout", "status", target, "--timeout=50s")
    assert len(rig.run("rollout", "history", target).text.split("\n1 ")) == 2
    rig.run("rollout", "undo", target)
    rig.run("rollout", "status", target, "--timeout=50s")
    rig.run("label", target, "owner=me")
    rig.run("annotate", target, "by=hand")
    found = json.loads(rig.run("get", target, "-o", "json").stdout)
    assert found["metadata"]["labels"] == {"tier": "back", "owner": "me"}
    assert found["metadata"]["annotations"].items() >= {"note": "kept", "by": "hand"}.items()
    assert (found["spec"]["replicas"], found["status"]["readyReplicas"]) == (2, 2)
    assert "env" not in found["spec"]["template"]["spec"]["containers"][0]
    rig.run("delete", target)
    assert "NotFound" in rig.run("get", target, code=1).stderr


def create_and_delete(rig: ClientRig) -> None:
    """Typed generators; from some release on they send protobuf."""
    name = rig.name("typed")
    rig.run("create", "secret", "generic", name, "--from-literal=password=hunter2")
    stored = json.loads(rig.run("get", "secret", name, "-o", "json").stdout)
    assert stored["data"] == {"password": "aHVudGVyMg=="}
    assert "already exists" in rig.run("create", "secret", "generic", name, code=1, stdin=b"").stderr
    rig.run("delete", "secret", name)
    assert "NotFound" in rig.run("delete", "secret", name, code=1).stderr


def logs(rig: ClientRig) -> None:
    assert rig.run("logs", "web", "--tail=3").stdout.count(b"\n") == 3
    with rig.start("logs", "-f", "web", "--tail=2") as running:
        lines = running.read_until("\n", count=10).splitlines()
    numbers = [int(line.removeprefix("line=")) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 10))


def execute(rig: ClientRig) -> None:
    done = rig.run("exec", "web", "--", "sh", "-c", 'echo "to stdout"; echo "to stderr" >&2')
    assert (done.text, done.stderr) == ("to stdout\n", "to stderr\n")
    for code in (1, 42, 255):
        failed = rig.run("exec", "web", "--", "sh", "-c", f"exit {code}", code=code)
        assert f"command terminated with exit code {code}" in failed.stderr
    missing = rig.run("exec", "web", "--", "no-such-command", code=None)
    assert missing.code in (1, 126), "which of them depends on the container runtime"
    assert "executable file not found" in missing.stderr
    assert "nope" in rig.run("exec", "nope", "--", "true", code=1).stderr


def execute_with_stdin(rig: ClientRig) -> None:
    """Input that is never read is left out: without a gateway, a cluster of 1.20 hangs on it or says EOF."""
    assert rig.run("exec", "-i", "web", "--", "cat", stdin=b"hello\n").stdout == b"hello\n"
    data = random.Random(1).randbytes(3 * MIB + 17)
    assert rig.run("exec", "-i", "web", "--", "cat", stdin=data).stdout == data
    digest = rig.run("exec", "-i", "web", "--", "sha256sum", stdin=data).text.split()[0]
    assert digest == hashlib.sha256(data).hexdigest()


def execute_large_output(rig: ClientRig) -> None:
    body = rig.run("exec", "web", "--", "cat", "/www/large").stdout
    said = rig.run("exec", "web", "--", "sha256sum", "/www/large").text.split()[0]
    assert (len(body), hashlib.sha256(body).hexdigest()) == (LARGE_BYTES, said)


def execute_in_terminal(rig: ClientRig) -> None:
    with rig.terminal("exec", "-it", "web", "--", "sh", columns=120, rows=40) as terminal:
        terminal.read_until("/ # ")
        _expect_size(terminal, "40 120")
        terminal.resize(132, 50)
        _expect_size(terminal, "50 132")
        # Only once the line runs: what is typed while the shell still edits is a key to it, not a signal.
        terminal.type(b"echo sta''rted; sleep 1000\r")
        terminal.read_until("started\r\n")
        terminal.type(b"\x03")
        terminal.read_until("^C\r\n/ # ")
        terminal.type(b"echo abX\x7fc; exit 7\r")
        terminal.read_until("\r\nabc\r\n")
        assert terminal.wait() == 7


def attach(rig: ClientRig) -> None:
    name = rig.name("attached")
    talk = ["sh", "-c", 'while read line; do echo "you said: $line"; [ "$line" = bye ] && exit 3; done']
    alone = pod(name, talk, stdin=True)
    alone["spec"]["restartPolicy"] = "Never"
    rig.run("create", "-f", "-", stdin=yaml.safe_dump(alone).encode())
    rig.run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=50s")
    with rig.start("attach", "-i", name) as running:
        running.type(b"hello there\n")
        running.read_until("you said: hello there\n")
        running.type(b"bye\n")
        running.read_until("you said: bye\n")
        running.wait()
    rig.run("delete", "pod", name, "--wait=false")


def run_and_remove(rig: ClientRig) -> None:
    """`kubectl run -i --rm`: create, watch, attach or logs, delete in one command."""
    done = rig.run(
        "run",
        rig.name("ran"),
        f"--image={IMAGE}",
        "--image-pull-policy=IfNotPresent",
        "--restart=Never",
        "--rm",
        "-i",
        "--",
        "sh",
        "-c",
        "read line; echo got $line",
        stdin=b"a line\n",
    )
    assert "got a line\n" in done.text


def port_forward(rig: ClientRig) -> None:
    with rig.start("port-forward", "pod/web", ":7", ":80", "--address=127.0.0.1") as running:
        echo, http = local_port(running, 7), local_port(running, 80)
        data = random.Random(3).randbytes(MIB + 5)
        assert converse(echo, data) == data
        several = [random.Random(seed).randbytes(300_000) for seed in (4, 5, 6)]
        assert converse_at_once(echo, several) == several
        assert get(http, "/") == b"hello from web\n"
        said = rig.run("exec", "web", "--", "sha256sum", "/www/large").text.split()[0]
        assert hashlib.sha256(get(http, "/large")).hexdigest() == said


def port_forward_to_a_closed_port(rig: ClientRig) -> None:
    with rig.start("port-forward", "pod/web", ":81", "--address=127.0.0.1") as running:
        with contextlib.suppress(ConnectionResetError):  # kubectl may close before it has read what we sent
            assert converse(local_port(running, 81), b"x") == b""
        running.read_until("refused")


def proxy_to_a_pod(rig: ClientRig) -> None:
    namespace = rig.run("config", "view", "--minify", "-o", "jsonpath={..namespace}").text
    path = f"/api/v1/namespaces/{namespace}/pods/web:80/proxy/"
    assert rig.run("get", "--raw", path).text == "hello from web\n"


def may_i(rig: ClientRig) -> None:
    assert rig.run("auth", "can-i", "list", "pods").text == "yes\n"
    rights = rig.run("auth", "can-i", "--list").text
    assert "pods/exec" in rights or "*.*" in rights


def debug_a_copy(rig: ClientRig) -> None:
    name = rig.name("copied")
    rig.run("debug", "web", f"--copy-to={name}", "--container=web", "--", *FOREVER)
    rig.run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=50s")
    assert rig.run("exec", name, "--", "echo", "from the copy").text == "from the copy\n"
    rig.run("delete", "pod", name, "--wait=false")


def debug_in_place(rig: ClientRig) -> None:
    minor = json.loads(rig.run("get", "--raw", "/version").stdout)["minor"]
    if int(re.sub(r"\D", "", minor)) < EPHEMERAL_SINCE:
        pytest.skip(f"this cluster, 1.{minor}, has no ephemeral containers")
    if rig.kubectl.minor < EPHEMERAL_SINCE:
        pytest.skip("this kubectl speaks the alpha of ephemeral containers")
    done = rig.run(
        "debug", "web", f"--image={IMAGE}", "-i", "--", "sh", "-c", "read line; echo got $line", stdin=b"it\n"
    )
    assert "got it" in done.text


STREAMS: tuple[Step, ...] = (
    execute,
    execute_with_stdin,
    execute_in_terminal,
    steps.copy_both_ways,
    attach,
    port_forward,
)
"""What upgrades the connection."""

SHORT: tuple[Step, ...] = (
    get_and_list,
    steps.apply_server_side,
    logs,
    execute,
    execute_in_terminal,
    steps.copy_both_ways,
    port_forward,
)
"""One of each kind, for releases between the oldest and the newest."""

ALL: tuple[Step, ...] = (
    *STREAMS,
    get_and_list,
    describe_and_events,
    watch_and_wait,
    deploy,
    create_and_delete,
    steps.apply_client_side,
    steps.apply_server_side,
    steps.create_invalid,
    steps.large_object,
    logs,
    execute_large_output,
    run_and_remove,
    port_forward_to_a_closed_port,
    proxy_to_a_pod,
    may_i,
    debug_a_copy,
    debug_in_place,
)


def _config_map(name: str, group: str) -> bytes:
    metadata = {"name": name, "labels": {"of": group}}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}).encode()


def _expect_size(terminal: Terminal, size: str) -> None:
    """The size travels beside the keystrokes, not in front of them: ask until it has arrived."""
    for _ in range(50):
        terminal.type(b"stty size\r")
        if f"{size}\r\n" in terminal.read_until("\r\n/ # "):
            return
    raise AssertionError(f"the terminal size {size} never arrived")


def _deployment(name: str) -> bytes:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container_of(FOREVER)]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return json.dumps(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    ).encode()
