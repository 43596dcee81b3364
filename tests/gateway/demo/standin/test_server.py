import gzip
import hashlib
import json
from pathlib import Path

import trio

from gateway.demo.standin.server import WRITE_BUFFER_BYTES, Standin
from gateway.demo.standin.settings import ADMIN, StandinSettings
from tests.kit.standin_client import ask, connect

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def test_who_has_no_known_credential_is_told_401(standin: Standin) -> None:
    for token in ("", "some-other-token"):
        answer = await ask(standin, "GET", "/api/v1/pods", token=token)
        assert (answer.status, answer.json["reason"], answer.json["kind"]) == (401, "Unauthorized", "Status")


async def test_a_bearer_token_names_its_user(standin: Standin) -> None:
    answer = await ask(standin, "POST", WHOAMI, body={}, token="bobs-token")
    assert answer.json["status"]["userInfo"] == {"username": "bob", "groups": ["devs"]}


async def test_a_client_certificate_names_its_user(standin: Standin, tmp_path: Path) -> None:
    chain, key = standin.credentials.issue_client_certificate(ADMIN)
    (tmp_path / "chain").write_bytes(chain)
    (tmp_path / "key").write_bytes(key)
    async with await connect(standin, (bytes(tmp_path / "chain"), bytes(tmp_path / "key"))) as stream:
        await stream.send_all(f"POST {WHOAMI} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        received = b""
        while b'"groups"' not in received:
            piece = await stream.receive_some()
            assert piece, received
            received += piece
    assert b'{"username":"admin","groups":["system:masters"]}' in received


async def test_impersonation_is_honoured_and_recorded(standin: Standin, settings: StandinSettings) -> None:
    headers = {"impersonate-user": "alice", "impersonate-group": "sre"}
    answer = await ask(standin, "POST", WHOAMI, body={}, headers=headers)
    assert answer.json["status"]["userInfo"] == {"username": "alice", "groups": ["sre"]}
    seen = await _seen(settings, WHOAMI)
    assert (seen["user"], seen["impersonating"]) == ("alice", "admin")


async def test_impersonation_without_a_user_is_an_error(standin: Standin) -> None:
    assert (await ask(standin, "GET", "/api/v1/pods", headers={"impersonate-group": "sre"})).status == 500


async def test_a_missing_object_is_a_404_status(standin: Standin) -> None:
    answer = await ask(standin, "GET", "/api/v1/namespaces/default/pods/nope")
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "kind": "pods"},
        "code": 404,
    }


async def test_unknown_paths_and_methods_are_refused(standin: Standin) -> None:
    for method, target, status in (
        ("GET", "/nope", 404),
        ("GET", "/api/v1/widgets", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("HEAD", "/api/v1/pods", 405),
        ("OPTIONS", "/api/v1/pods", 405),
        ("POST", "/version", 405),
        ("GET", "/api/v1/namespaces/default/pods/web/exec?command=ls&stdout=true", 400),
        ("GET", "/api/v1/%zz", 400),
    ):
        assert (await ask(standin, method, target)).status == status, target


async def test_bytes_that_are_no_request_get_400(standin: Standin) -> None:
    async with await connect(standin) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        assert b" 400 " in await stream.receive_some()


async def test_a_body_above_3_mib_gets_413_and_not_a_reset(standin: Standin) -> None:
    answer = await ask(standin, "POST", CONFIG_MAPS, body=bytes(3 * 1024 * 1024 + 1))
    assert (answer.status, answer.json["reason"]) == (413, "RequestEntityTooLarge")


async def test_large_answers_are_compressed_only_for_those_who_ask(standin: Standin) -> None:
    obj = {"metadata": {"name": "large"}, "data": {"text": "x" * 200_000}}
    assert (await ask(standin, "POST", CONFIG_MAPS, body=obj)).status == 201
    plain = await ask(standin, "GET", f"{CONFIG_MAPS}/large")
    packed = await ask(standin, "GET", f"{CONFIG_MAPS}/large", headers={"accept-encoding": "gzip"})
    assert b"content-encoding" not in plain.headers
    assert packed.headers[b"content-encoding"] == b"gzip"
    assert gzip.decompress(packed.body) == plain.body


async def test_answers_are_written_in_the_pieces_of_a_real_api_server(standin: Standin) -> None:
    large = {"metadata": {"name": "large"}, "data": {"text": "x" * 10_000}}
    assert (await ask(standin, "POST", CONFIG_MAPS, body=large)).status == 201
    lines = f"host: x\r\nauthorization: Bearer {standin.credentials.admin_token}\r\n\r\n"
    async with await connect(standin) as stream:
        await stream.send_all(f"GET /healthz HTTP/1.1\r\n{lines}".encode())
        assert (await stream.receive_some()).endswith(b"\r\n\r\nok")
        await stream.send_all(f"GET {CONFIG_MAPS}/large HTTP/1.1\r\n{lines}".encode())
        assert len(await stream.receive_some(65536)) == WRITE_BUFFER_BYTES
        assert (await stream.receive_some(65536)).endswith(b"}\n")


async def test_a_request_is_recorded_with_what_was_answered(
    standin: Standin, settings: StandinSettings
) -> None:
    body = b'{"metadata":{"name":"noted"}}'
    answer = await ask(standin, "POST", f"{CONFIG_MAPS}?fieldManager=me", body=body, headers={"X-Odd": "yes"})
    seen = await _seen(settings, "fieldManager=me")
    assert (seen["method"], seen["target"], seen["status"]) == ("POST", f"{CONFIG_MAPS}?fieldManager=me", 201)
    assert ["x-odd", "yes"] in seen["headers"]
    assert seen["request_body"] == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert seen["response_body"] == {
        "bytes": len(answer.body),
        "sha256": hashlib.sha256(answer.body).hexdigest(),
    }


async def test_a_watch_ends_when_its_client_leaves(standin: Standin, settings: StandinSettings) -> None:
    async with await connect(standin) as stream:
        head = f"GET /api/v1/nodes?watch=1&mark=left HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {standin.credentials.admin_token}\r\n\r\n"
        await stream.send_all(head.encode())
        received = b""
        while b"node1" not in received:
            received += await stream.receive_some()
    assert not (await _seen(settings, "mark=left"))["complete"]


async def test_two_requests_sent_at_once_are_answered_in_order(standin: Standin) -> None:
    authorization = f"authorization: Bearer {standin.credentials.admin_token}"
    async with await connect(standin) as stream:
        await stream.send_all(
            f"GET /version HTTP/1.1\r\nhost: x\r\n{authorization}\r\n\r\n"
            f"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\r\n\r\n".encode()
        )
        received = b""
        while piece := await stream.receive_some():
            received += piece
    assert received.count(b"HTTP/1.1 200") == 2
    assert received.index(b"gitVersion") < received.rindex(b"HTTP/1.1 200")
    assert received.endswith(b"ok")


async def _seen(settings: StandinSettings, part: str) -> dict[str, object]:
    """The recorded request with `part` in its target, as soon as it is there."""
    assert settings.directory
    with trio.fail_after(10):
        while True:
            for line in (settings.directory / "seen.jsonl").read_bytes().splitlines():
                seen: dict[str, object] = json.loads(line)
                if part in str(seen["target"]):
                    return seen
            await trio.sleep(0.01)
