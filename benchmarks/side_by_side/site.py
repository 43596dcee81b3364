"""Where the work is done: a namespace of our own with everything in it, gone when the benchmark is over.

Made through the API like anybody's, directly and not through a way that is measured. On a cluster of a user
nothing outside this namespace is touched, and a pod runs only with an image the user named.
"""

import contextlib
import json
import os
import random
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.http_client import BenchmarkFailed, Endpoint, Http1Client, connect
from benchmarks.side_by_side.stream_client import TRANSPORTS, open_exec, spoken_execs, spoken_forwards
from protocol.events import Channel, ChannelData, ChannelEnded

SMALL_BYTES: Final = 3_000
LARGE_BYTES: Final = 30_000
LISTED: Final = 50
LISTED_BYTES: Final = 100_000
FORWARD_PORT: Final = 8080
POD_FILE: Final = "/tmp/bench.bin"
POD_FILE_MIB: Final = 16
POD_TIMEOUT_S: Final = 180
POD_LOOK_S: Final = 0.5
_METADATA_BYTES: Final = 250
"""What an API server adds to an object, about."""


@dataclass(frozen=True)
class Site:
    """pod: path of its pod, "" without one. file, file_mib: what it has to copy.

    asks: its port sends as much as an HTTP request asks for; else the file, to everybody who connects.
    execs, forwards: the transports that the API server takes for them; one of before 1.30 has SPDY alone.
    """

    namespace: str
    pod: str = ""
    file: str = ""
    file_mib: int = 1
    asks: bool = False
    execs: tuple[str, ...] = TRANSPORTS
    forwards: tuple[str, ...] = TRANSPORTS

    @property
    def configmaps(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"


@contextlib.contextmanager
def open_site(direct: Endpoint, *, image: str | None, is_standin: bool) -> Iterator[Site]:
    """Make it, and delete it whatever happens. image: of the pod.

    The stand-in needs no image, and forgets everything anyway: a Ctrl-C at the terminal has ended it by then.
    """
    namespace = f"kubetape-bench-{secrets.token_hex(4)}"
    client = _client(direct)
    _create(client, "/api/v1/namespaces", "Namespace", namespace, {"labels": {"kubetape-bench": "true"}})
    try:
        site = Site(namespace)
        _fill(client, site)
        if is_standin or image:
            pod = _start_pod(client, namespace, image or "example.com/bench:1")
            file, file_mib = ("/big/64MiB.bin", 64) if is_standin else (POD_FILE, POD_FILE_MIB)
            site = Site(namespace, pod, file, file_mib, asks=is_standin)
            if not is_standin:
                _fill_pod(direct, pod)
                execs, forwards = spoken_execs(direct, pod), spoken_forwards(direct, pod, FORWARD_PORT)
                site = replace(site, execs=execs, forwards=forwards)
        yield site
    finally:
        client.close()
        if not is_standin:
            _delete(direct, namespace)


def configmap(name: str, size_bytes: int, labels: dict[str, str] | None = None) -> bytes:
    """A ConfigMap that is about so large as the API server gives it out."""
    chance = random.Random(size_bytes)
    words = [
        f"setting.number.{number:06d}.of.the.service = {chance.getrandbits(64):016x}\n"
        for number in range(max(1, (size_bytes - _METADATA_BYTES) // 60))
    ]
    metadata = {"name": name, "labels": labels or {}}
    data = {"settings": "".join(words)}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).encode()


def _fill(client: Http1Client, site: Site) -> None:
    client.call("POST", site.configmaps, configmap("small", SMALL_BYTES, {"bench": "get"}))
    client.call("POST", site.configmaps, configmap("large", LARGE_BYTES))
    for number in range(LISTED):
        body = configmap(f"listed-{number}", LISTED_BYTES, {"bench": "list"})
        client.call("POST", site.configmaps, body)


def _start_pod(client: Http1Client, namespace: str, image: str) -> str:
    serve = (
        f"-p {FORWARD_PORT} -e cat {POD_FILE}"  # how a busybox says "again and again" depends on its build
    )
    script = f"(nc -lk {serve} || nc -ll {serve}) & exec sleep 7200"
    container = {"name": "bench", "image": image, "command": ["sh", "-c", script]}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    _create(client, pods, "Pod", "bench", {}, spec)
    deadline = time.monotonic() + POD_TIMEOUT_S
    while json.loads(client.fetch(f"{pods}/bench"))["status"].get("phase") != "Running":
        if time.monotonic() > deadline:
            raise BenchmarkFailed(
                f"the pod with image {image} does not run after {POD_TIMEOUT_S} s: try another image"
            )
        time.sleep(POD_LOOK_S)
    return f"{pods}/bench"


def _fill_pod(direct: Endpoint, pod: str) -> None:
    """Give it a file to copy, of random bytes: others would flatter a log that compresses.

    The shell counts afterwards, and so keeps its stdout: containerd ends the input of a command whose output is closed,
    as that of a bare `cat >FILE` is, which the shell becomes.
    """
    tunnel = open_exec(direct, pod, "spdy", ["sh", "-c", f"cat >{POD_FILE} && wc -c <{POD_FILE}"])
    for _ in range(POD_FILE_MIB * 32):
        tunnel.send(ChannelData(Channel.STDIN, os.urandom(32 * 1024)))
    tunnel.send(ChannelEnded(Channel.STDIN))
    _, counted = tunnel.run_to_end(keep=True)
    if counted.strip() != b"%d" % (POD_FILE_MIB << 20):
        said = counted.decode(errors="replace").strip()
        raise BenchmarkFailed(f"the pod was given {POD_FILE_MIB} MiB to copy and has {said[:100]} bytes")


def _create(
    client: Http1Client, path: str, kind: str, name: str, metadata: dict[str, object], spec: object = None
) -> None:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}
    client.call("POST", path, json.dumps(body | ({"spec": spec} if spec else {})).encode())


def _delete(direct: Endpoint, namespace: str) -> None:
    """By a connection of its own: the other may be in the middle of an answer. A second Ctrl-C waits for it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with contextlib.closing(_client(direct)) as client:
            client.call("DELETE", f"/api/v1/namespaces/{namespace}")
    except (BenchmarkFailed, OSError) as error:
        raise BenchmarkFailed(f"namespace {namespace} could not be deleted, do it by hand: {error}") from None
    finally:
        signal.signal(signal.SIGINT, before)


def _client(direct: Endpoint) -> Http1Client:
    client = connect(direct)
    assert isinstance(client, Http1Client)
    return client
