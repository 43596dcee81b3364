"""S5: a credential that is none, and an error path that forwards all the same (CVE-2023-48312, CVE-2023-46254):
every one of them ends the request, whatever the way in."""

from pathlib import Path

from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.h2 import open_h2_wire
from tests.kit.gateway_rig import Rig
from tests.kit.orc import UPSTREAM_TOKEN
from tests.kit.tunnel_ends import websocket_fields

PODS = b"/api/v1/namespaces/default/pods"
EXEC = PODS + b"/p/exec?command=sh&stdin=true&stdout=true"
NO_CREDENTIALS = [
    (),
    (b"Authorization:",),
    (b"Authorization: ",),
    (b"Authorization: Bearer",),
    (b"Authorization: Bearer ",),
    (b"Authorization: Bearer  ",),
    (b"Authorization: Bearer null",),
    (b"Authorization: Bearer =",),
    (b"Authorization: Basic ",),
    (b"Authorization: Basic Og==",),
    (b"Authorization: Negotiate x",),
    (b"Authorization: Bearer " + UPSTREAM_TOKEN.encode(),),
    (b"X-Remote-User: admin",),
    (b"Cookie: token=admin",),
]


@attack()
async def come_without_a_credential(rig: Rig) -> None:
    assert (await rig.ask(b"GET", PODS)).status == 200
    for fields in NO_CREDENTIALS:
        for method, target, upgrade in (
            (b"GET", PODS, ()),
            (b"DELETE", PODS, ()),
            (b"GET", EXEC, websocket_fields(b"v5.channel.k8s.io")),
        ):
            response = await answer_to(rig, rig.request(method, target, *fields, *upgrade, token=b""))
            assert len(rig.orc.requests) == 1, "the cluster was asked for somebody without a credential"
            assert response is not None
            assert response.status == 401, "somebody without a credential was answered"
    exchanges = await recorded(rig)
    assert [e.intent.principal for e in exchanges[1:]] == [None] * (len(NO_CREDENTIALS) * 3)


@attack()
async def send_two_credentials(rig: Rig) -> None:
    ours = b"Authorization: Bearer " + rig.token
    for pair in ((ours, b"Authorization: Bearer x"), (b"authorization: Basic eA==", ours), (ours, ours)):
        response = await answer_to(rig, rig.request(b"GET", PODS, *pair, token=b""))
        assert response is not None
        assert response.status in (400, 401), "two credentials were taken for one"
    async with open_h2_wire(rig) as client:
        head = client.head(b"GET", PODS, (b"authorization", b"Bearer x"))
        assert await client.ask(head) in (0, 400, 401), "two credentials were taken for one"
    assert rig.orc.requests == []
    await recorded(rig)


async def test_S05_who_has_no_credential_gets_401_and_nothing_else(tmp_path: Path) -> None:
    await come_without_a_credential.against(tmp_path)


async def test_S05_two_credentials_are_none(tmp_path: Path) -> None:
    await send_two_credentials.against(tmp_path)
