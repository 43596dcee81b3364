"""S7: an upgrade that was refused leaves no pipe behind (CVE-2018-1002105), nor does a 101 that answers something
else. S8: redirects are followed by nobody and lead nobody away (CVE-2020-8559, CVE-2018-1002102, CVE-2022-3172)."""

from pathlib import Path

from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.shells import EXEC, V5
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer, open_orc
from tests.kit.tunnel_ends import spdy_fields, websocket_fields
from tests.kit.websocket_bytes import frame

PODS = b"/api/v1/namespaces/default/pods"
PROXIED = b"/api/v1/namespaces/default/services/s/proxy/x"
SMUGGLED = b"DELETE /api/v1/namespaces/prod HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
REFUSALS = [
    answer(403, b"no"),
    answer(400, b"bad"),
    answer(200, b"ok"),
    answer(404, b"gone") + b"garbage",
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(400, b"bad"),
    b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"
    b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
]


def refuses_each() -> Script:
    wires = iter(REFUSALS * 2)

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(next(wires))
        connection.raw = True
        while await connection.receive():
            pass

    return script


@attack(script=refuses_each)
async def go_on_after_a_refused_upgrade(rig: Rig) -> None:
    for method, fields in ((b"GET", websocket_fields(V5)), (b"POST", spdy_fields(b"v4.channel.k8s.io"))):
        for _ in REFUSALS:
            async with rig.client() as client:
                await client.send(rig.request(method, EXEC, *fields))
                response = await client.head()
                assert response.status != 101, "a refused upgrade became a pipe"
                assert response.status >= 400
                await client.send(frame(2, SMUGGLED) + SMUGGLED)
                await client.rest()
    for connection in rig.orc.connections:
        assert SMUGGLED not in connection.received, "the cluster got what followed a refused upgrade"
        assert bytes(connection.received).endswith(b"\r\n\r\n") or not connection.received
    await recorded(rig)


def redirects() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        where = dict(request.headers)[b"user-agent"]
        await connection.send(answer(int(where[:3]), b"", b"Location: " + where[4:]))

    return script


@attack(script=redirects)
async def redirect_elsewhere(rig: Rig) -> None:
    async with open_orc() as elsewhere:
        places = (
            b"https://127.0.0.1:%d/x" % elsewhere.port,
            b"//127.0.0.1:%d/x" % elsewhere.port,
            b"/\\evil/x",
        )
        for status in (b"301", b"302", b"303", b"307", b"308"):
            for place in places:
                agent = b"User-Agent: " + status + b" " + place
                for target, upgrade in (
                    (PODS, ()),
                    (PROXIED, ()),
                    (EXEC, websocket_fields(V5)),
                ):
                    response = await answer_to(rig, rig.request(b"GET", target, agent, *upgrade))
                    assert response is not None
                    assert response.header(b"location") is None, "a client was sent to another host"
                    assert response.status == 502, "an answer that means nothing was handed on"
        assert elsewhere.received_bytes == 0, "a redirect was followed"
    assert len(rig.orc.requests) == 45, "a redirect was followed"
    await recorded(rig)


async def test_S07_what_follows_a_refused_upgrade_goes_nowhere(tmp_path: Path) -> None:
    await go_on_after_a_refused_upgrade.against(tmp_path)


async def test_S08_no_redirect_leaves_the_gateway(tmp_path: Path) -> None:
    await redirect_elsewhere.against(tmp_path)
