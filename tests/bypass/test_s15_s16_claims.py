"""S15: headers that lie about who and where from (X-Remote-User, X-Forwarded-For, CVE-2026-63329), on every way in.
S16: a client that chooses its own Audit-ID, so that two logs no longer join; what it says of itself is a claim."""

import uuid
from pathlib import Path

from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.h2 import open_h2_wire
from tests.bypass.shells import EXEC, V5, carries_all, talk
from tests.kit.gateway_rig import Rig
from tests.kit.tunnel_ends import websocket_fields

PODS = b"/api/v1/namespaces/default/pods"
LIES = [
    (b"X-Remote-User", b"evil"),
    (b"X-Remote-Group", b"system:masters,evil"),
    (b"X-Remote-Extra-Scopes", b"evil"),
    (b"X-Forwarded-For", b"66.66.66.66, evil"),
    (b"X-Forwarded-Host", b"evil"),
    (b"X-Forwarded-Uri", b"/evil"),
    (b"X-Forwarded-Access-Token", b"evil"),
    (b"Forwarded", b"for=66.66.66.66;by=evil"),
    (b"X-Real-IP", b"66.66.66.66"),
    (b"X-Client-IP", b"66.66.66.66"),
    (b"True-Client-IP", b"66.66.66.66"),
    (b"X-Original-URL", b"/evil"),
    (b"X-Rewrite-URL", b"/evil"),
    (b"X-HTTP-Method-Override", b"EVIL"),
    (b"X-Warpgate-Username", b"evil"),
    (b"X-Kubetape-User", b"evil"),
    (b"X-Kubetape-Session", b"evil"),
    (b"Proxy-Authorization", b"Basic evil"),
    (b"Cookie", b"session=evil"),
    (b"Via", b"1.1 evil"),
]
OURS = {b"host", b"accept-encoding", b"audit-id", b"x-forwarded-for", b"authorization"}
OF_A_HANDSHAKE = {
    b"connection",
    b"upgrade",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"sec-websocket-protocol",
}


async def assert_nothing_is_believed(rig: Rig) -> None:
    for seen in rig.orc.requests:
        heard = b"\n".join(name + b": " + value for name, value in seen.headers).lower()
        assert b"evil" not in heard, "the cluster heard a lie of the client"
        assert b"66.66.66.66" not in heard, "the cluster was told where a client says it is"
        assert seen.header(b"x-forwarded-for") == b"127.0.0.1"
        assert seen.names() <= OURS | OF_A_HANDSHAKE, "the cluster got a header that nobody chose to forward"
    for exchange in await recorded(rig):
        assert exchange.intent.source.startswith("127.0.0.1:"), (
            "the record believes where a client says it is"
        )
        principal = exchange.intent.principal
        assert principal is not None
        assert principal.user != "evil", "the record believes who a client says it is"
        assert not any("masters" in group for group in principal.groups)
        assert exchange.intent.session != "evil"
        assert exchange.intent.method == "GET"


@attack()
async def lie_over_http_1(rig: Rig) -> None:
    fields = [name + b": " + value for name, value in LIES]
    assert (await rig.ask(b"GET", PODS, *fields)).status == 200
    await assert_nothing_is_believed(rig)


@attack()
async def lie_over_http_2(rig: Rig) -> None:
    async with open_h2_wire(rig) as client:
        head = client.head(b"GET", PODS, *((name.lower(), value) for name, value in LIES))
        assert await client.ask(head) == 200
    await assert_nothing_is_believed(rig)


@attack(script=carries_all)
async def lie_in_an_upgrade(rig: Rig) -> None:
    fields = [name + b": " + value for name, value in LIES]
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5), *fields))
        assert (await client.head()).status == 101
        await talk(client)
    await assert_nothing_is_believed(rig)


@attack()
async def choose_the_audit_id(rig: Rig) -> None:
    chosen = str(uuid.UUID(int=66)).encode()
    claims = (b"Kubectl-Session: forged", b"Kubectl-Command: kubectl get pods", b"User-Agent: kubectl/v1.36")
    for fields in ((b"Audit-ID: " + chosen,), (b"audit-id: " + chosen, b"Audit-Id: " + chosen), ()):
        await answer_to(rig, rig.request(b"GET", PODS, *fields, *claims))
    ids = [request.header(b"audit-id") for request in rig.orc.requests]
    assert chosen not in ids, "a client chose the id under which the cluster audits its call"
    exchanges = await recorded(rig)
    assert ids == [str(uuid.UUID(bytes=e.intent.exchange)).encode() for e in exchanges]
    assert len(set(ids)) == 3
    for intent in (e.intent for e in exchanges):
        claimed = (intent.kubectl_session, intent.kubectl_command, intent.user_agent)
        assert claimed == ("forged", "kubectl get pods", "kubectl/v1.36")
        assert intent.session not in claimed, "what a client says of itself became our session"
        assert intent.call is not None
        assert intent.call.verb == "list"


async def test_S15_no_header_says_who_or_where_from(tmp_path: Path) -> None:
    await lie_over_http_1.against(tmp_path)


async def test_S15_nor_over_http_2(tmp_path: Path) -> None:
    await lie_over_http_2.against(tmp_path)


async def test_S15_nor_in_an_upgrade(tmp_path: Path) -> None:
    await lie_in_an_upgrade.against(tmp_path)


async def test_S16_the_audit_id_is_ours_and_claims_are_only_claims(tmp_path: Path) -> None:
    await choose_the_audit_id.against(tmp_path)
