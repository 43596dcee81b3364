"""The Python client, one step a run: `run.py KUBECONFIG STEP`. Exits 0 if the step did what it should.

A process of its own, so that the client's threads, sockets and warnings stay out of the test's.
"""

import random
import sys
import threading
import uuid
from collections.abc import Callable

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

OWN = f"python-{uuid.uuid4().hex[:8]}"


def rest(core: client.CoreV1Api) -> None:
    pods = core.list_pod_for_all_namespaces(label_selector="app=api")
    assert [(pod.metadata.namespace, pod.metadata.name) for pod in pods.items] == [("payments", "api")]
    first = core.list_pod_for_all_namespaces(limit=2)
    rest_of_them = core.list_pod_for_all_namespaces(limit=500, _continue=first.metadata._continue)
    assert len(first.items) == 2
    assert len(rest_of_them.items) >= 3
    made = core.create_namespaced_config_map(
        "default", client.V1ConfigMap(metadata={"name": OWN}, data={"a": "1"})
    )
    assert made.metadata.uid
    core.patch_namespaced_config_map(OWN, "default", {"data": {"b": "2"}})
    found = core.read_namespaced_config_map(OWN, "default")
    assert found.data == {"a": "1", "b": "2"}
    found.data = {"c": "3"}
    core.replace_namespaced_config_map(OWN, "default", found)
    assert _status_of(lambda: core.replace_namespaced_config_map(OWN, "default", found)) == 409, (
        "an old version"
    )
    core.delete_namespaced_config_map(OWN, "default")
    assert _status_of(lambda: core.read_namespaced_config_map(OWN, "default")) == 404
    assert client.VersionApi().get_code().major == "1"
    assert {group.name for group in client.ApisApi().get_api_versions().groups} >= {
        "apps",
        "authorization.k8s.io",
    }


def _status_of(call: Callable[[], object]) -> int:
    """The HTTP status a call fails with, 200 if it does not."""
    try:
        call()
    except ApiException as error:
        return int(error.status or 0)
    return 200


def watching(core: client.CoreV1Api) -> None:
    seen: list[str] = []
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_config_map, "default", timeout_seconds=30):
        if not seen:  # the stream is open
            threading.Thread(target=_come_and_go, args=(core,)).start()
            seen.append("started")
        if event["object"].metadata.name == OWN:
            seen.append(event["type"])
            if event["type"] == "DELETED":
                watcher.stop()
    assert seen == ["started", "ADDED", "MODIFIED", "DELETED"], seen


def _come_and_go(core: client.CoreV1Api) -> None:
    core.create_namespaced_config_map("default", client.V1ConfigMap(metadata={"name": OWN}))
    core.patch_namespaced_config_map(OWN, "default", {"data": {"b": "2"}})
    core.delete_namespaced_config_map(OWN, "default")


def logs(core: client.CoreV1Api) -> None:
    assert core.read_namespaced_pod_log("web", "default", tail_lines=3).count("\n") == 3
    follow = core.read_namespaced_pod_log("web", "default", follow=True, tail_lines=1, _preload_content=False)
    read = b""
    while read.count(b"\n") < 5:
        read += follow.read1()
    follow.close()


def execute(core: client.CoreV1Api) -> None:
    command = ["sh", "-c", "echo out; echo err >&2; exit 42"]
    run = stream(
        core.connect_get_namespaced_pod_exec,
        "web",
        "default",
        command=command,
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
        _preload_content=False,
    )
    run.run_forever(timeout=30)
    assert (run.read_stdout(), run.read_stderr(), run.returncode) == ("out\n", "err\n", 42)
    whole = stream(
        core.connect_get_namespaced_pod_exec,
        "web",
        "default",
        command=["echo", "hi"],
        stdout=True,
        stderr=True,
    )
    assert whole == "hi\n"


def execute_with_stdin(core: client.CoreV1Api) -> None:
    run = stream(
        core.connect_get_namespaced_pod_exec,
        "web",
        "default",
        command=["sh"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    run.write_stdin("echo first\n")
    assert run.readline_stdout(timeout=30) == "first"
    run.write_stdin("exit 5\n")
    run.run_forever(timeout=30)
    assert run.returncode == 5
    run.close()


def forward(core: client.CoreV1Api) -> None:
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports="7,80")
    echo = forwarded.socket(7)
    data = random.Random(5).randbytes(200_000)
    threading.Thread(target=echo.sendall, args=(data,)).start()
    answer = b""
    while len(answer) < len(data):
        answer += echo.recv(65536)
    assert answer == data
    http = forwarded.socket(80)
    http.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    page = b""
    while not page.endswith(b"hello from pod web: a stand-in, not Kubernetes\n"):
        piece = http.recv(65536)  # this protocol cannot half-close: there is no end to wait for
        assert piece, page
        page += piece
    assert forwarded.error(7) is None


STEPS = {
    "rest": rest,
    "watch": watching,
    "logs": logs,
    "exec": execute,
    "exec-stdin": execute_with_stdin,
    "port-forward": forward,
}

if __name__ == "__main__":
    config.load_kube_config(sys.argv[1])
    STEPS[sys.argv[2]](client.CoreV1Api())
    sys.exit(0)
