"""INV13: after a crash no credential is in any file, and the content of calls only where the configuration says so."""

import os
import socket
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable

import pytest
import yaml

from tests.crash.canaries import check_credentials, clear_text_places, in_index, recorded_content
from tests.crash.clients import EXEC
from tests.crash.ledger import ClientCall
from tests.crash.processes import Oracle, eventually
from tests.crash.scene import Scene

pytestmark = [pytest.mark.crash, pytest.mark.slow]

CONFIG_MAPS = "/api/v1/namespaces/prod/configmaps"


def canary() -> str:
    return "canary" + os.urandom(12).hex()


def ask(scene: Scene, *lines: str, body: bytes = b"") -> bytes:
    """One request in raw bytes; the status line and what came with it."""
    head = [*lines, "Host: 127.0.0.1", f"Content-Length: {len(body)}", "Connection: close", "", ""]
    if any("Upgrade:" in line for line in lines):
        head = [*lines, "Host: 127.0.0.1", "", ""]
    raw = socket.create_connection(("127.0.0.1", scene.gateway.port), 10)
    with scene.access.context.wrap_socket(raw, server_hostname="127.0.0.1") as stream:
        stream.sendall("\r\n".join(head).encode() + body)
        return stream.recv(65536)


def upstream_key(oracle: Oracle) -> str:
    """A piece of the private key that we use towards the cluster."""
    user = yaml.safe_load(oracle.kubeconfig.read_text())["users"][0]["user"]
    return b64decode(user["client-key-data"]).decode().splitlines()[2]


def serve_and_kill(
    make_scene: Callable[..., Scene], *, indexed: bool = True, **options: object
) -> tuple[Scene, str, list[str]]:
    """A gateway that has seen every kind of credential and a body, killed; the body's canary, the credentials."""
    scene = make_scene(segment_bytes=64 << 10, **options)
    scene.gateway.start()
    scene.load("read", "secret", "write", "write", "exec", "terminal")
    body, cookie, wrong, basic = canary(), canary(), canary(), canary()
    token = scene.access.token
    bearer = f"Authorization: Bearer {token}"
    content = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"x":"%s"}}'
    content %= (body[-12:].encode(), body.encode())
    answer = ask(
        scene, f"POST {CONFIG_MAPS} HTTP/1.1", bearer, f"Cookie: session={cookie}", "Content-Type: application/json",
        body=content,
    )  # fmt: skip
    assert answer.startswith(b"HTTP/1.1 201"), answer
    protocol = (
        "base64url.bearer.authorization.k8s.io." + urlsafe_b64encode(token.encode()).rstrip(b"=").decode()
    )
    answer = ask(
        scene, f"GET {EXEC} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + b64encode(os.urandom(16)).decode(),
        f"Sec-WebSocket-Protocol: {protocol}, v5.channel.k8s.io",
    )  # fmt: skip
    assert answer.startswith(b"HTTP/1.1 101"), answer
    for refused in (
        f"Authorization: Bearer {wrong}",
        f"Authorization: Basic {basic}",
        f"X-Auth-Token: {basic}",
    ):
        assert ask(scene, "GET /version HTTP/1.1", refused).startswith(b"HTTP/1.1 401")
    eventually(lambda: len(scene.ledger.finished()) > 20, 20.0, "calls are served")
    eventually(lambda: list(scene.gateway.log.glob("*.kseg")), 20.0, "a segment is sealed")
    if indexed:  # then it had every chance to be anywhere
        eventually(lambda: in_index(scene.gateway.data_dir, body), 30.0, "the body is indexed")
    scene.ledger.kills_ns.append(time.time_ns())
    scene.gateway.kill()
    scene.stop_load()
    return scene, body, [token, cookie, wrong, basic]


def test_after_a_crash_no_credential_is_in_any_file_and_no_body_in_clear_but_in_the_index(
    make_scene: Callable[..., Scene], oracle: Oracle
) -> None:
    scene, body, credentials = serve_and_kill(make_scene)
    data_dir = scene.gateway.data_dir
    credentials.append(upstream_key(oracle))
    assert check_credentials(data_dir, credentials) == []
    records = recorded_content(data_dir)
    typed = next(call for call in scene.ledger.calls if call.kind == "exec" and call.received)
    canaries = [body.encode(), typed_line(typed)]
    for one in canaries:
        assert one in records, "it is recorded, or this test looks for nothing"
    assert clear_text_places(data_dir, canaries, outside=("index/",)) == []
    scene.gateway.start()  # recovery copies torn bytes
    scene.gateway.kill()
    assert check_credentials(data_dir, credentials) == []
    assert clear_text_places(data_dir, canaries, outside=("index/",)) == []
    said = scene.gateway.errors.read_text()
    assert not [secret for secret in credentials if secret in said]
    assert body not in said


def test_the_search_for_canaries_finds_them(make_scene: Callable[..., Scene]) -> None:
    """In a log that is not encrypted the body is in the clear, and a token in any file is found."""
    scene, body, _ = serve_and_kill(make_scene, indexed=False, record={"encryption": {"mode": "none"}})
    data_dir = scene.gateway.data_dir
    assert [
        where
        for where in clear_text_places(data_dir, [body.encode()], outside=())
        if where.startswith("log/")
    ]
    (data_dir / "left").write_text(f"token {scene.access.token}")
    assert check_credentials(data_dir, [scene.access.token]) != []


def typed_line(call: ClientCall) -> bytes:
    """What only this terminal said."""
    return bytes(call.received).split(b" ", 1)[0]
