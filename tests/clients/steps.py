"""What every kubectl must be able to do, one function a step; each takes a ClientRig and asserts.

The same steps run against the stand-in directly and against whatever else targets.py names. They rely on the
toy cluster of the stand-in: pod `web` in `default` with a toy shell, `payments`, `prod`, ports 7 and 80.
"""

import hashlib
import json
import random
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.clients.rig import ClientRig, Running, Terminal

MIB = 1 << 20


def get_and_list(rig: ClientRig) -> None:
    pods = rig.run("get", "pods", "--all-namespaces").text
    assert re.search(r"^payments +api +1/1 +Running", pods, re.MULTILINE)
    pod = json.loads(rig.run("get", "pod", "api", "-n", "payments", "-o", "json").stdout)
    assert pod["spec"]["containers"][0]["name"] == "api"
    assert rig.run("get", "pods", "-A", "-l", "app=shop", "-o", "name").text == "pod/shop\n"
    assert len(rig.run("get", "pods", "-A", "-o", "name", "--chunk-size=2").text.split()) >= 5
    assert "node1" in rig.run("get", "nodes", "-o", "wide").text
    assert "customer-cards" in rig.run("get", "secrets", "-n", "payments").text


def describe_and_explain(rig: ClientRig) -> None:
    assert "Started container web" in rig.run("describe", "pod", "web").text
    if rig.kubectl.minor >= 27:
        assert "KIND:" in rig.run("explain", "pod").text
    assert "configmaps" in rig.run("api-resources").text


def missing_objects_are_not_found(rig: ClientRig) -> None:
    missing = rig.run("get", "pod", "no-such-pod", code=1)
    assert missing.stderr == 'Error from server (NotFound): pods "no-such-pod" not found\n'
    assert "NotFound" in rig.run("delete", "configmap", "no-such-map", code=1).stderr


def watch(rig: ClientRig) -> None:
    first, second = rig.name("watch-a"), rig.name("watch-b")
    rig.run("create", "configmap", first)
    with rig.start("get", "configmaps", "-w") as running:
        running.read_until(first)
        rig.run("create", "configmap", second)
        running.read_until(second)
        rig.run("patch", "configmap", first, "-p", '{"data":{"seen":"yes"}}')
        running.read_until(first)
    rig.run("delete", "configmap", first, second)


def wait_for_condition(rig: ClientRig) -> None:
    assert "condition met" in rig.run("wait", "--for=condition=Ready", "pod/web", "--timeout=20s").text


def create_typed(rig: ClientRig) -> None:
    """Typed generators; from some release on they send protobuf."""
    name = rig.name("typed")
    rig.run("create", "configmap", name, "--from-literal=a=b", "--from-literal=c=d e")
    assert json.loads(rig.run("get", "configmap", name, "-o", "json").stdout)["data"] == {
        "a": "b",
        "c": "d e",
    }
    rig.run("create", "secret", "generic", name, "--from-literal=password=hunter2")
    stored = json.loads(rig.run("get", "secret", name, "-o", "json").stdout)
    assert stored["data"] == {"password": "aHVudGVyMg=="}
    rig.run("create", "namespace", name)
    rig.run("create", "serviceaccount", "robot", "-n", name)
    rig.run("create", "deployment", "app", "--image=example.com/app:1", "-n", name)
    assert rig.run("get", "deploy", "app", "-n", name, "-o", "jsonpath={..image}").text == "example.com/app:1"
    again = rig.run("create", "configmap", name, code=1)
    assert "already exists" in again.stderr
    rig.run("delete", "configmap,secret", name)
    rig.run("delete", "namespace", name)
    assert "NotFound" in rig.run("get", "deploy", "app", "-n", name, code=1).stderr


def apply_client_side(rig: ClientRig) -> None:
    name = rig.name("applied")
    assert "created" in rig.run("apply", "-f", "-", stdin=_config_map(name, colour="red")).text
    assert "unchanged" in rig.run("apply", "-f", "-", stdin=_config_map(name, colour="red")).text
    assert "configured" in rig.run("apply", "-f", "-", stdin=_config_map(name, shape="round")).text
    assert json.loads(rig.run("get", "configmap", name, "-o", "json").stdout)["data"] == {"shape": "round"}
    assert "shape" in rig.run("diff", "-f", "-", stdin=_config_map(name, shape="square"), code=1).text
    rig.run("delete", "-f", "-", stdin=_config_map(name))


def apply_server_side(rig: ClientRig) -> None:
    name = rig.name("applied-by-server")
    for colour in ("red", "blue"):
        done = rig.run("apply", "--server-side", "-f", "-", stdin=_config_map(name, colour=colour))
        assert "serverside-applied" in done.text
    assert json.loads(rig.run("get", "configmap", name, "-o", "json").stdout)["data"] == {"colour": "blue"}
    rig.run("delete", "configmap", name)


def create_invalid(rig: ClientRig) -> None:
    refused = rig.run("create", "-f", "-", stdin=_config_map("Not_A_Name"), code=1)
    assert "is invalid" in refused.stderr
    assert "metadata.name" in refused.stderr


def patch_scale_and_delete(rig: ClientRig) -> None:
    name = rig.name("patched")
    rig.run("create", "deployment", name, "--image=example.com/app:1")
    rig.run("patch", "deployment", name, "-p", '{"metadata":{"labels":{"tier":"front"}}}')
    rig.run("patch", "deployment", name, "--type=merge", "-p", '{"metadata":{"annotations":{"note":"kept"}}}')
    change = '[{"op":"replace","path":"/metadata/labels/tier","value":"back"}]'
    rig.run("patch", "deployment", name, "--type=json", "-p", change)
    rig.run("set", "image", f"deployment/{name}", "*=example.com/app:2")
    rig.run("scale", "deployment", name, "--replicas=3")
    rig.run("rollout", "status", f"deployment/{name}", "--timeout=20s")
    rig.run("label", "deployment", name, "owner=me")
    found = json.loads(rig.run("get", "deployment", name, "-o", "json").stdout)
    assert found["metadata"]["labels"] == {"app": name, "tier": "back", "owner": "me"}
    assert found["metadata"]["annotations"] == {"note": "kept"}
    assert found["spec"]["replicas"] == 3
    assert [one["image"] for one in found["spec"]["template"]["spec"]["containers"]] == ["example.com/app:2"]
    rig.run("delete", "deployment", name)
    rig.run("get", "deployment", name, code=1)


def large_object(rig: ClientRig) -> None:
    """More than the 128 KiB above which servers compress."""
    name, text = rig.name("large"), "".join(random.Random(7).choices("abcdefgh", k=400_000))
    rig.run(
        "create",
        "-f",
        "-",
        stdin=json.dumps(json.loads(_config_map(name)) | {"data": {"text": text}}).encode(),
    )
    assert json.loads(rig.run("get", "configmap", name, "-o", "json").stdout)["data"] == {"text": text}
    rig.run("delete", "configmap", name)


def logs(rig: ClientRig) -> None:
    assert rig.run("logs", "web", "--tail=3").stdout.count(b"\n") == 3
    with rig.start("logs", "-f", "web", "--tail=2") as running:
        lines = running.read_until("\n", count=8).splitlines()
    numbers = [int(found[1]) for line in lines if (found := re.search(r"line=(\d+)", line))]
    assert numbers == list(range(numbers[0], numbers[0] + 8))


def execute(rig: ClientRig) -> None:
    done = rig.run("exec", "web", "--", "sh", "-c", 'echo "to stdout"; echo "to stderr" >&2')
    assert (done.text, done.stderr) == ("to stdout\n", "to stderr\n")
    for code in (1, 42, 255):
        failed = rig.run("exec", "web", "--", "sh", "-c", f"exit {code}", code=code)
        assert f"command terminated with exit code {code}" in failed.stderr
    assert "executable file not found" in rig.run("exec", "web", "--", "no-such-command", code=1).stderr
    assert "nope" in rig.run("exec", "nope", "--", "true", code=1).stderr


def execute_with_stdin(rig: ClientRig) -> None:
    assert rig.run("exec", "-i", "web", "--", "cat", stdin=b"hello\n").stdout == b"hello\n"
    data = random.Random(1).randbytes(3 * MIB + 17)
    assert rig.run("exec", "-i", "web", "--", "cat", stdin=data).stdout == data
    digest = rig.run("exec", "-i", "web", "--", "sha256sum", stdin=data).text.split()[0]
    assert digest == hashlib.sha256(data).hexdigest()
    unread = rig.run("exec", "-i", "web", "--", "sh", "-c", "echo bye", stdin=data)
    assert unread.stdout == b"bye\n"


def execute_large_output(rig: ClientRig) -> None:
    done = rig.run("exec", "web", "--", "cat", "/big/64MiB.bin")
    said = rig.run("exec", "web", "--", "sha256sum", "/big/64MiB.bin").text.split()[0]
    assert (len(done.stdout), hashlib.sha256(done.stdout).hexdigest()) == (64 * MIB, said)


def execute_in_terminal(rig: ClientRig) -> None:
    with rig.terminal("exec", "-it", "web", "--", "sh", columns=120, rows=40) as terminal:
        terminal.read_until("# ")
        _expect_size(terminal, "40 120")
        terminal.resize(132, 50)
        _expect_size(terminal, "50 132")
        terminal.type(b"sleep 1000\r")
        terminal.read_until("sleep 1000\r\n")
        terminal.type(b"\x03")
        terminal.read_until("^C\r\n/ # ")
        terminal.type(b"echo abX\x7fc; exit 7\r")
        terminal.read_until("\r\nabc\r\n")
        assert terminal.wait() == 7


def copy_both_ways(rig: ClientRig) -> None:
    sent, back = rig.scratch / "sent.bin", rig.scratch / "back.bin"
    sent.write_bytes(random.Random(2).randbytes(5 * MIB + 3))
    place = f"/tmp/{rig.name('copy')}"
    rig.run("cp", "sent.bin", f"web:{place}")
    said = rig.run("exec", "web", "--", "sha256sum", place).text.split()[0]
    assert said == hashlib.sha256(sent.read_bytes()).hexdigest()
    rig.run("cp", f"web:{place}", "back.bin")
    assert back.read_bytes() == sent.read_bytes()
    tree = rig.scratch / "tree" / "inner"
    tree.mkdir(parents=True)
    (tree / "a.txt").write_text("a\n")
    (tree.parent / "empty").write_text("")
    rig.run("cp", "tree", f"web:{place}-tree")
    rig.run("cp", f"web:{place}-tree", "tree-back")
    assert (rig.scratch / "tree-back" / "inner" / "a.txt").read_text() == "a\n"
    assert (rig.scratch / "tree-back" / "empty").read_bytes() == b""


def attach(rig: ClientRig) -> None:
    with rig.start("attach", "-i", "web") as running:
        running.read_until("line=")
        running.type(b"hello there\n")
        running.read_until("you said: hello there\n")
        running.read_until("line=", count=2)
        running.type(b"exit 3\n")
        assert running.wait() == 3


def port_forward(rig: ClientRig) -> None:
    with rig.start("port-forward", "pod/web", ":7", ":80", "--address=127.0.0.1") as running:
        echo, http = _forwarded(running, 7), _forwarded(running, 80)
        data = random.Random(3).randbytes(MIB + 5)
        assert _send_and_read(echo, data) == data
        both = [_Exchange(echo, random.Random(seed).randbytes(300_000)) for seed in (4, 5)]
        for one in both:
            one.join()
        assert all(one.answer == one.data for one in both)
        page = _send_and_read(http, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert page.endswith(b"hello from pod web: a stand-in, not Kubernetes\n")
        head, _, body = _send_and_read(http, b"GET /bytes/5000000 HTTP/1.1\r\nHost: x\r\n\r\n").partition(
            b"\r\n\r\n"
        )
        assert b"200" in head
        assert len(body) == 5_000_000


def port_forward_to_a_closed_port(rig: ClientRig) -> None:
    with rig.start("port-forward", "pod/web", ":81", "--address=127.0.0.1") as running:
        # kubectl closes the connection, whether it has read our byte or not: an end, or a reset
        with suppress(ConnectionResetError, BrokenPipeError):
            assert _send_and_read(_forwarded(running, 81), b"x") == b""
        running.read_until("connection refused")


def may_i(rig: ClientRig) -> None:
    assert rig.run("auth", "can-i", "list", "pods").text == "yes\n"
    assert rig.run("auth", "can-i", "list", "pods", "-n", "forbidden", code=1).text.startswith("no")


Step = Callable[[ClientRig], None]

STREAMS: tuple[Step, ...] = (
    execute,
    execute_with_stdin,
    execute_in_terminal,
    copy_both_ways,
    attach,
    port_forward,
)
"""What upgrades the connection; run again where clients fall back to older protocols."""

SHORT: tuple[Step, ...] = (
    get_and_list,
    create_typed,
    apply_client_side,
    logs,
    execute,
    execute_with_stdin,
    port_forward,
)
"""One of each kind, for releases between those that run everything."""

ALL: tuple[Step, ...] = (
    *STREAMS,
    get_and_list,
    describe_and_explain,
    missing_objects_are_not_found,
    watch,
    wait_for_condition,
    create_typed,
    apply_client_side,
    apply_server_side,
    create_invalid,
    patch_scale_and_delete,
    large_object,
    logs,
    execute_large_output,
    port_forward_to_a_closed_port,
    may_i,
)


def _config_map(name: str, **data: str) -> bytes:
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    ).encode()


def _forwarded(running: Running, port: int) -> int:
    """The local port kubectl chose for a remote one."""
    said = running.read_until(f" -> {port}\n")
    return int(re.findall(r"127\.0\.0\.1:(\d+)", said)[-1])


def _send_and_read(port: int, data: bytes) -> bytes:
    """Send all, half-close, read to the end, over one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        sender = threading.Thread(target=_send, args=(connection, data))
        sender.start()
        answer = bytearray()
        while piece := connection.recv(65536):
            answer += piece
        sender.join()
    return bytes(answer)


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # what was not taken is missing from the answer
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def _expect_size(terminal: Terminal, size: str) -> None:
    """Ask until the terminal has it: sizes travel beside the keystrokes, not in front of them."""
    for _ in range(100):
        terminal.type(b"stty size\r")
        if size in terminal.read_until("/ # "):
            return
    raise AssertionError(f"the terminal size {size} never arrived")


class _Exchange(threading.Thread):
    """One connection in a thread of its own."""

    def __init__(self, port: int, data: bytes) -> None:
        super().__init__()
        self.port, self.data, self.answer = port, data, b""
        self.start()

    def run(self) -> None:
        self.answer = _send_and_read(self.port, self.data)
