"""A terminal dashboard's load on a real cluster: thirty watches, lists and logs at once, and nothing is dropped.

The admin changes config maps without a gateway, numbered; every watch through the gateway must see every
number, in order, and every log follower every line.
"""

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.clients.rig import ClientRig
from tests.cluster.gateways import Front
from tests.cluster.scene import Scene
from tests.cluster.surroundings import why_not

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

WATCHES, LISTERS, FOLLOWERS = 30, 3, 3
LOAD_S = 20.0
PACE_S = 0.05
"""Between two changes: some twenty a second, six hundred events a second down thirty watches."""


def test_thirty_watches_lists_and_logs_drop_nothing(
    scene: Scene, open_front: Callable[[str], Front], make_rig: Callable[..., ClientRig]
) -> None:
    pytest.importorskip("kubernetes", reason="the Python client is not installed")
    make_rig("impersonate").run("create", "configmap", "load", "--from-literal=number=-1")
    through, direct = _core(str(open_front("impersonate").member)), _core(str(scene.admin.kubeconfig))
    start = through.read_namespaced_config_map("load", scene.namespace).metadata.resource_version
    over = threading.Event()
    with ThreadPoolExecutor(WATCHES + LISTERS + FOLLOWERS) as pool:
        watches = [pool.submit(_watch, through, scene.namespace, start) for _ in range(WATCHES)]
        lists = [pool.submit(_list, through, scene.namespace, over) for _ in range(LISTERS)]
        follows = [pool.submit(_follow, through, scene.namespace, over) for _ in range(FOLLOWERS)]
        try:
            last = _change(direct, scene.namespace)
        finally:
            over.set()
            direct.delete_namespaced_config_map("load", scene.namespace)
    seen = _results(watches)
    assert seen == [list(range(last + 1))] * WATCHES
    assert min(_results(lists)) > 10
    for lines in _results(follows):
        assert len(lines) > LOAD_S
        assert lines == list(range(lines[0], lines[0] + len(lines)))


def _core(kubeconfig: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client's own imports
        from kubernetes import client, config

        settings = client.Configuration()
        config.load_kube_config(kubeconfig, client_configuration=settings)
        settings.connection_pool_maxsize = WATCHES + LISTERS + FOLLOWERS
        return client.CoreV1Api(client.ApiClient(settings))


def _change(core: Any, namespace: str) -> int:
    """Number the object upwards until the time is over; the last number."""
    end, number, pause = time.monotonic() + LOAD_S, 0, threading.Event()
    while time.monotonic() < end:
        core.patch_namespaced_config_map("load", namespace, {"data": {"number": str(number)}})
        number += 1
        pause.wait(PACE_S)
    return number - 1


def _watch(core: Any, namespace: str, version: str) -> list[int]:
    """Every number seen until the object is deleted."""
    answer = core.list_namespaced_config_map(
        namespace,
        watch=True,
        resource_version=version,
        field_selector="metadata.name=load",
        _preload_content=False,
    )
    numbers: list[int] = []
    for line in _lines(answer):
        event = json.loads(line)
        if event["type"] == "DELETED":
            answer.close()
            return numbers
        numbers.append(int(event["object"]["data"]["number"]))
    raise AssertionError(f"the watch ended by itself after {numbers[-1:]}")


def _list(core: Any, namespace: str, over: threading.Event) -> int:
    """How often a list with the pod in it came back."""
    times = 0
    while not over.is_set():
        assert "web" in [pod.metadata.name for pod in core.list_namespaced_pod(namespace).items]
        times += 1
    return times


def _follow(core: Any, namespace: str, over: threading.Event) -> list[int]:
    answer = core.read_namespaced_pod_log("web", namespace, follow=True, tail_lines=1, _preload_content=False)
    numbers: list[int] = []
    for line in _lines(answer):
        numbers.append(int(line.removeprefix(b"line=")))
        if over.is_set():
            break
    answer.close()
    return numbers


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    while piece := answer.read1():
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def _results(futures: list["Future[Any]"]) -> list[Any]:
    return [future.result() for future in futures]
