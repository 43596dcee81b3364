"""S1: `Connection: Impersonate-User` asks the next hop to remove the identity we set (CVE-2021-31999,
CVE-2022-23652, GHSA-2vjp-5q24-hqjv)."""

from pathlib import Path

from gateway.upstream.request import IdentityMode
from tests.bypass.attack import answer_to, attack, recorded, refused
from tests.bypass.h2 import open_h2_wire
from tests.kit.gateway_rig import Rig
from tests.kit.orc import UPSTREAM_TOKEN

PODS = b"/api/v1/namespaces/default/pods"
LISTED = [
    (b"Connection: Impersonate-User",),
    (b"Connection: close, impersonate-group",),
    (b"Connection: keep-alive", b"connection: IMPERSONATE-USER"),
    (b"Connection: Authorization",),
    (b"Connection: Audit-ID,X-Forwarded-For",),
    (b"Connection: ,,Impersonate-User ,",),
]


def assert_identity_is_ours(rig: Rig) -> None:
    for seen in rig.orc.requests:
        assert {b"impersonate-user", b"authorization", b"audit-id", b"x-forwarded-for"} <= seen.names(), (
            "a header of ours was removed at the client's wish"
        )
        assert seen.header(b"authorization") == b"Bearer " + UPSTREAM_TOKEN.encode()


@attack(identity=IdentityMode.IMPERSONATE)
async def list_our_headers_in_connection(rig: Rig) -> None:
    assert (await rig.ask(b"GET", PODS, b"Connection: keep-alive")).status == 200
    for fields in LISTED:
        response = await answer_to(rig, rig.request(b"GET", PODS, *fields))
        assert_identity_is_ours(rig)
        assert refused(response), "a Connection that names a header of ours was obeyed"
    await recorded(rig)


@attack(identity=IdentityMode.IMPERSONATE)
async def send_connection_over_http_2(rig: Rig) -> None:
    async with open_h2_wire(rig) as client:
        assert await client.ask(client.head(b"GET", PODS)) == 200
        status = await client.ask(client.head(b"GET", PODS, (b"connection", b"impersonate-user")))
        assert status in (0, 400), "HTTP/2 has no Connection, and one was taken"
    assert_identity_is_ours(rig)
    await recorded(rig)


async def test_S01_no_client_can_list_our_headers_away(tmp_path: Path) -> None:
    await list_our_headers_in_connection.against(tmp_path)


async def test_S01_http_2_takes_no_connection_header(tmp_path: Path) -> None:
    await send_connection_over_http_2.against(tmp_path)
