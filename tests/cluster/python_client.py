"""The Python client, one step a run: `python_client.py KUBECONFIG NAMESPACE STEP`. Exits 0 if all went well.

A process of its own, so that the client's threads, sockets and warnings stay out of the test's.
"""

import sys
import threading
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

OWN = f"python-{uuid.uuid4().hex[:8]}"


def rest(core: Any, namespace: str) -> None:
    pods = core.list_namespaced_pod(namespace, label_selector="app=web")
    assert [pod.metadata.name for pod in pods.items] == ["web"]
    first = core.list_namespaced_service_account(namespace, limit=1)
    others = core.list_namespaced_service_account(namespace, _continue=first.metadata._continue)
    assert (len(first.items), len(others.items) >= 2) == (1, True)
    core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata={"name": OWN}, data={"a": "1"}))
    core.patch_namespaced_config_map(OWN, namespace, {"data": {"b": "2"}})
    found = core.read_namespaced_config_map(OWN, namespace)
    assert found.data == {"a": "1", "b": "2"}
    found.data = {"c": "3"}
    core.replace_namespaced_config_map(OWN, namespace, found)
    assert _status_of(partial(core.replace_namespaced_config_map, OWN, namespace, found)) == 409
    core.delete_namespaced_config_map(OWN, namespace)
    assert _status_of(partial(core.read_namespaced_config_map, OWN, namespace)) == 404


def watching(core: Any, namespace: str) -> None:
    seen: list[str] = []
    version = core.list_namespaced_config_map(namespace).metadata.resource_version
    changes = threading.Thread(target=_come_and_go, args=(core, namespace))
    changes.start()
    watcher = watch.Watch()
    for event in watcher.stream(
        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=30
    ):
        if event["object"].metadata.name == OWN:
            seen.append(event["type"])
            if event["type"] == "DELETED":
                watcher.stop()
    assert seen == ["ADDED", "MODIFIED", "DELETED"], seen
    changes.join()


def logs(core: Any, namespace: str) -> None:
    assert core.read_namespaced_pod_log("web", namespace, tail_lines=3).count("\n") == 3
    follow = core.read_namespaced_pod_log("web", namespace, follow=True, tail_lines=1, _preload_content=False)
    read = b""
    while read.count(b"\n") < 5:
        read += follow.read1()
    follow.close()


def execute(core: Any, namespace: str) -> None:
    run = _exec(core, namespace, ["sh", "-c", "echo out; echo err >&2; exit 42"])
    run.run_forever(timeout=30)
    assert (run.read_stdout(), run.read_stderr(), run.returncode) == ("out\n", "err\n", 42)


def execute_with_stdin(core: Any, namespace: str) -> None:
    run = _exec(core, namespace, ["sh"], stdin=True)
    run.write_stdin("echo first\n")
    assert run.readline_stdout(timeout=30) == "first"
    run.write_stdin("exit 5\n")
    run.run_forever(timeout=30)
    assert run.returncode == 5
    run.close()


def forward(core: Any, namespace: str) -> None:
    http = portforward(core.connect_get_namespaced_pod_portforward, "web", namespace, ports="80").socket(80)
    http.sendall(b"GET / HTTP/1.0\r\n\r\n")
    page = b""
    while not page.endswith(b"hello from web\n"):
        piece = http.recv(65536)  # this protocol cannot half-close: there is no end to wait for
        assert piece, page
        page += piece


def _come_and_go(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata={"name": OWN}))
    core.patch_namespaced_config_map(OWN, namespace, {"data": {"b": "2"}})
    core.delete_namespaced_config_map(OWN, namespace)


def _exec(core: Any, namespace: str, command: list[str], *, stdin: bool = False) -> Any:
    return stream(
        core.connect_get_namespaced_pod_exec,
        "web",
        namespace,
        command=command,
        stdout=True,
        stderr=True,
        stdin=stdin,
        tty=False,
        _preload_content=False,
    )


def _status_of(call: Callable[[], object]) -> int:
    """The HTTP status a call fails with, 200 if it does not."""
    try:
        call()
    except ApiException as error:
        return int(error.status or 0)
    return 200


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
    STEPS[sys.argv[3]](client.CoreV1Api(), sys.argv[2])
