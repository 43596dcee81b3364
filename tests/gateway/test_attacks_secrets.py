"""N6 and D9: credentials a client sends, and ours, are in no record, no index, no log line and no answer."""

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from gateway.first_user import KUBECONFIG, TOKENS_FILE
from gateway.keys.opening import open_key_ring
from storage.index import Indexer
from storage.sources import SegmentLogs
from tests.kit.gateway_rig import open_rig
from tests.kit.orc import UPSTREAM_TOKEN, OrcConnection, SeenRequest, answer

PODS = b"/api/v1/namespaces/default/pods"
CANARIES = [b"canary%dQx7" % number for number in range(20)]


async def test_no_secret_is_in_anything_we_write_or_send(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    c = iter(CANARIES)
    in_subprotocol = urlsafe_b64encode(next(c)).rstrip(b"=")

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        if request.target.endswith(b"/broken"):
            await connection.send(b"HTTP/1.1 999 broken\r\n\r\n")
        else:
            await connection.send(answer())

    received = b""
    async with open_rig(tmp_path, script) as rig:
        requests = [
            rig.request(b"GET", PODS),
            rig.request(b"POST", PODS, body=b"{}"),
            rig.request(b"GET", PODS, token=next(c)),
            rig.request(b"GET", PODS, b"Cookie: session=" + next(c)),
            rig.request(b"GET", PODS, b"Proxy-Authorization: Basic " + next(c)),
            rig.request(b"GET", PODS, b"X-Auth-Token: " + next(c)),
            rig.request(b"GET", PODS + b"?access_token=" + next(c)),
            rig.request(b"GET", PODS + b"/x/../y?access_token=" + next(c)),
            rig.request(b"GET", PODS, b"Authorization: Basic " + next(c), token=b""),
            rig.request(b"GET", PODS, b"Authorization: " + next(c), token=b""),
            rig.request(b"GET", PODS, b"Authorization: Bearer " + next(c) + b" x", token=b""),
            rig.request(b"GET", PODS, b"Authorization: Bearer " + next(c)),  # a second one
            rig.request(b"GET", PODS + b"/broken"),
            rig.request(
                b"GET",
                PODS + b"/p/exec?command=sh&stdout=1",
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io."
                + in_subprotocol
                + b", v4.channel.k8s.io",
                token=b"",
            ),
            b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + next(c) + b"\r\nbad line\r\n\r\n",
        ]
        for request in requests:
            async with rig.client() as client:
                await client.send(request)
                try:
                    response = await client.response()
                    received += response.wire + response.body
                except EOFError:
                    pass
        await rig.ended()
        assert len(await rig.exchanges()) == len(requests)
        token = rig.token
        upstream = b"".join(bytes(c.received) for c in rig.orc.connections)
    secrets = [*CANARIES, in_subprotocol, token, UPSTREAM_TOKEN.encode()]
    data_dir = tmp_path / "data"
    source = SegmentLogs(data_dir, keys=open_key_ring(data_dir, [], use_kms=False))
    records = b"".join(bytes(raw) for _, raw in source.records("0", None))
    indexer = Indexer(data_dir, source=source)
    while indexer.run_once():
        pass
    indexer.close()
    files = [p for p in data_dir.rglob("*") if p.is_file() and p.name not in (KUBECONFIG, TOKENS_FILE)]
    assert any(path.suffix == ".sqlite" or "index" in str(path) for path in files)
    out, err = capfd.readouterr()
    places = {str(path): path.read_bytes() for path in files}
    places |= {"records": records, "stdout": out.encode(), "stderr": err.encode(), "answers": received}
    for secret in secrets:
        assert [place for place, content in places.items() if secret in content] == [], secret
        assert secret is secrets[-1] or secret not in upstream, secret
    assert (data_dir / KUBECONFIG).stat().st_mode & 0o077 == 0
    assert (data_dir / TOKENS_FILE).stat().st_mode & 0o077 == 0
