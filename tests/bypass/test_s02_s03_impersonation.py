"""S2, S3: headers that choose whom the cluster sees (CVE-2021-36776, CVE-2026-17107; lists that forgot
`Impersonate-Uid`): every name with the prefix, in every spelling, on every way in, in every identity mode (S26)."""

from pathlib import Path

import pytest

from gateway.upstream.request import IdentityMode
from tests.bypass.attack import answer_to, attack, recorded, refused
from tests.bypass.h2 import open_h2_wire
from tests.kit import h2_wire
from tests.kit.gateway_rig import Rig
from tests.kit.tunnel_ends import websocket_fields

PODS = b"/api/v1/namespaces/default/pods"
EXEC = PODS + b"/p/exec?command=sh&stdin=true&stdout=true"
NAMES = [
    b"Impersonate-User", b"impersonate-group", b"IMPERSONATE-UID", b"Impersonate-Extra-Scopes", b"impersonate-extra-a%2fb",
    b"Impersonate-Extra-", b"Impersonate_User", b"impersonate_uid", b"Impersonate-Anything-New",
]  # fmt: skip


def assert_identity_is_ours(rig: Rig) -> None:
    for seen in rig.orc.requests:
        told = [(n, v) for n, v in seen.headers if n.startswith((b"impersonate-", b"impersonate_"))]
        assert not any(b"evil" in value for _, value in told), "the cluster heard an identity a client chose"
        assert not any(name == b"impersonate-uid" for name, _ in told), "the cluster heard a uid of nobody"


@attack()
async def impersonate_over_http_1(rig: Rig) -> None:
    for name in NAMES:
        for fields in ((name + b": evil",), (name + b": evil", name + b": evil2")):
            for target, upgrade in ((PODS, ()), (EXEC, websocket_fields(b"v5.channel.k8s.io"))):
                response = await answer_to(rig, rig.request(b"GET", target, *fields, *upgrade))
                assert_identity_is_ours(rig)
                assert refused(response), "a call as somebody else was served as if nothing had been asked"
    await recorded(rig)


@attack()
async def impersonate_over_http_2(rig: Rig) -> None:
    for name in NAMES:
        async with open_h2_wire(rig) as client:
            status = await client.ask(client.head(b"GET", PODS, (name.lower(), b"evil")))
            assert_identity_is_ours(rig)
            assert status in (0, 400), "a call as somebody else was served over HTTP/2"
    await recorded(rig)


@attack()
async def impersonate_in_trailers(rig: Rig) -> None:
    head = rig.request(b"POST", PODS, b"Transfer-Encoding: chunked")
    trailers = b"2\r\n{}\r\n0\r\nImpersonate-User: evil\r\n\r\n"
    response = await answer_to(rig, head + trailers)
    assert_identity_is_ours(rig)
    assert refused(response), "trailers of a client were taken"
    assert not any(request.complete for request in rig.orc.requests), "a call with trailers was carried out"
    await recorded(rig)


@attack()
async def impersonate_in_trailers_of_http_2(rig: Rig) -> None:
    async with open_h2_wire(rig) as client:
        trailers = h2_wire.headers(1, [(b"impersonate-user", b"evil")])
        status = await client.ask(client.head(b"POST", PODS), h2_wire.data(1, b"{}") + trailers)
    assert_identity_is_ours(rig)
    assert status in (0, 400), "trailers of an HTTP/2 client were taken"
    assert not any(request.complete for request in rig.orc.requests), "a call with trailers was carried out"


@pytest.mark.parametrize("identity", list(IdentityMode))
async def test_S02_S03_S26_no_impersonation_header_of_a_client_passes(
    tmp_path: Path, identity: IdentityMode
) -> None:
    await impersonate_over_http_1.under(identity).against(tmp_path)


@pytest.mark.parametrize("identity", list(IdentityMode))
async def test_S02_S03_nor_over_http_2(tmp_path: Path, identity: IdentityMode) -> None:
    await impersonate_over_http_2.under(identity).against(tmp_path)


async def test_S02_nor_in_trailers(tmp_path: Path) -> None:
    await impersonate_in_trailers.against(tmp_path)


async def test_S02_nor_in_trailers_of_http_2(tmp_path: Path) -> None:
    await impersonate_in_trailers_of_http_2.against(tmp_path)
