"""S11: a shell that is not pods/exec: nodes/proxy, pods and services behind proxy, aggregated consoles (KEP-2862).
S12: an upgrade spelled or asked for differently (Tailscale compared the token exactly). Any 101 is carried with
all its bytes recorded, or there is none."""

from pathlib import Path

from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.shells import EXEC, POD, V5, Cluster, carries_all, message, talk
from tests.kit.gateway_rig import Rig
from tests.kit.orc import Script
from tests.kit.tunnel_ends import spdy_fields, websocket_fields

ELSEWHERE = [
    b"/api/v1/nodes/n/proxy/exec/default/p/c?command=sh&output=1",
    b"/api/v1/nodes/n/proxy/run/default/p/c?cmd=sh",
    b"/api/v1/nodes/n:10250/proxy/attach/default/p/c",
    b"/api/v1/nodes/n/proxy/portForward/default/p",
    b"/api/v1/proxy/nodes/n/exec/default/p/c",
    b"/api/v1/namespaces/default/pods/p:10250/proxy/exec",
    b"/api/v1/namespaces/default/services/https:s:443/proxy/ws",
    b"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/v/console",
    b"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/v/exec",
    b"/apis/example.com/v1/namespaces/default/pods/p/exec",
    b"/api/v1/namespaces/default/podsx/p/exec",
    b"/api/v1/namespaces/default/pods/p/log?follow=true",
    b"/api/v1/namespaces/default/pods?watch=true",
    b"/openapi/v2",
    b"/",
]


@attack(script=carries_all)
async def upgrade_elsewhere(rig: Rig) -> None:
    for target in ELSEWHERE:
        for method, fields in (
            (b"GET", websocket_fields(V5)),
            (b"GET", spdy_fields(b"v4.channel.k8s.io")),
            (b"POST", spdy_fields(b"v4.channel.k8s.io")),
        ):
            response = await answer_to(rig, rig.request(method, target, *fields))
            assert response is not None
            assert response.status != 101, "a stream was opened that nobody here can read"
            assert response.status == 403, "what nobody here can read was not refused before it was asked for"
    assert rig.orc.requests == [], "the cluster was asked for a stream that nobody here can read"
    assert len(await recorded(rig)) == len(ELSEWHERE) * 3


def listens() -> Script:
    return Cluster(wanted=5)


@attack(script=listens)
async def spell_the_upgrade_differently(rig: Rig) -> None:
    for token in (b"websocket", b"WebSocket", b"WEBSOCKET", b"webSocket"):
        fields = [f.replace(b"Upgrade: websocket", b"upgrade:" + token) for f in websocket_fields(V5)]
        for connection in (b"Connection: Upgrade", b"connection: keep-alive, UPGRADE"):
            async with rig.client() as client:
                await client.send(rig.request(b"GET", EXEC, connection, *fields[1:]))
                assert (await client.head()).status == 101, "an upgrade in another case was not understood"
                channels = await talk(client, message(0, b"typed"))
                assert channels[1] == b"from the shell"
    for exchange in await recorded(rig):
        typed = exchange.channel(0, from_client=True)
        assert (typed, exchange.channel(1, from_client=False)) == (b"typed", b"from the shell"), (
            "not recorded"
        )


UNKNOWN = [
    b"h2c",
    b"TLS/1.0",
    b"websocket, h2c",
    b"websocket/13",
    b"SPDY/3",
    b"spdy/3.1x",
    b"web socket",
    b"",
    b"*",
]
KEEP = b"Connection: Upgrade"


@attack(script=carries_all)
async def ask_for_an_unknown_upgrade(rig: Rig) -> None:
    for token in UNKNOWN:
        for connection in (KEEP, b"Connection: keep-alive"):
            fields = [connection, b"Upgrade: " + token, *websocket_fields(V5)[2:]]
            response = await answer_to(rig, rig.request(b"GET", EXEC, *fields))
            assert rig.orc.requests == [], "an upgrade that nobody understood was forwarded as a plain call"
            assert response is None or response.status == 400
    await recorded(rig)


@attack(script=carries_all)
async def upgrade_with_another_method(rig: Rig) -> None:
    for method in (b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"):
        transports = [websocket_fields(V5)]
        if method != b"POST":
            transports.append(spdy_fields(b"v4.channel.k8s.io"))
        for fields in transports:
            async with rig.client() as client:
                await client.send(
                    rig.request(method, POD + b"/exec?command=sh&stdout=1", *fields, b"Content-Length: 0")
                )
                assert (await client.head()).status == 405, "a stream was opened by a method that opens none"
    assert rig.orc.requests == []
    await recorded(rig)


async def test_S11_no_stream_is_opened_where_none_can_be_read(tmp_path: Path) -> None:
    await upgrade_elsewhere.against(tmp_path)


async def test_S12_the_token_has_no_case_and_all_is_recorded(tmp_path: Path) -> None:
    await spell_the_upgrade_differently.against(tmp_path)


async def test_S12_an_unknown_token_is_refused(tmp_path: Path) -> None:
    await ask_for_an_unknown_upgrade.against(tmp_path)


async def test_S12_other_methods_open_no_stream(tmp_path: Path) -> None:
    await upgrade_with_another_method.against(tmp_path)
