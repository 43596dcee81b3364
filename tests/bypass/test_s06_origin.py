"""S6, the Origin rule: a browser adds a client certificate to whatever a page asks for, a WebSocket to exec
included. Pages of other origins get nothing with it; a token is in no browser's keeping, so Origin says nothing there."""

import ssl
from contextlib import ExitStack
from pathlib import Path

import msgspec
import trustme

from gateway.config import Settings
from gateway.identity.settings import CertificateRules, IdentitySettings
from tests.bypass.attack import OwnScene, answer_to, attack, recorded
from tests.bypass.shells import EXEC, V5, carries_all, talk
from tests.kit.gateway_rig import Rig, open_rig
from tests.kit.orc import answer, says
from tests.kit.raw_client import Response, open_client
from tests.kit.tunnel_ends import websocket_fields

PODS = b"/api/v1/namespaces/default/pods"
FOREIGN = (
    b"https://evil.example",
    b"null",
    b"https://127.0.0.1.evil.example",
    b"https://evil.example:6443",
    b"",
    b"evil",
)


def with_certificate(rig: Rig, authority: trustme.CA) -> ssl.SSLContext:
    context = rig.context()
    with ExitStack() as stack:
        certificate = authority.issue_cert("ann@example.com", common_name="ann")
        chain = stack.enter_context(certificate.private_key_and_cert_chain_pem.tempfile())
        context.load_cert_chain(chain)
    return context


@OwnScene
async def let_a_page_use_the_certificate(directory: Path) -> None:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    ca = directory / "clients.crt"
    authority.cert_pem.write_to_path(ca)

    def trust(settings: Settings) -> Settings:
        rules = CertificateRules(ca_file=str(ca))
        return msgspec.structs.replace(settings, identity=IdentitySettings(certificates=rules))

    served, refused, seen = list[int](), list[int](), 0
    async with open_rig(directory, says(answer()), change=trust) as rig:
        context = with_certificate(rig, authority)

        async def ask(method: bytes, target: bytes, *fields: bytes) -> Response:
            async with open_client(rig.gateway.port, context) as client:
                return await client.ask(rig.request(method, target, *fields, token=b""))

        ours = ((), (b"Origin: https://" + rig.host,), (b"Origin: https://localhost",))
        served = [(await ask(b"GET", PODS, *origin)).status for origin in ours]
        for origin in FOREIGN:
            for method, target, upgrade in (
                (b"GET", EXEC, websocket_fields(V5)),
                (b"POST", PODS, ()),
                (b"GET", PODS, ()),
            ):
                refused.append((await ask(method, target, b"Origin: " + origin, *upgrade)).status)
        seen = len(rig.orc.requests)
        await recorded(rig)
    assert seen == 3, "a page of another origin used a client certificate"
    assert served == [200] * 3
    assert refused == [403] * len(refused)


@attack(script=carries_all)
async def send_an_origin_with_a_token(rig: Rig) -> None:
    async with rig.client() as client:
        fields = (*websocket_fields(V5), b"Origin: https://anywhere.example")
        await client.send(rig.request(b"GET", EXEC, *fields))
        assert (await client.head()).status == 101, "a client library that sends Origin is shut out"
        await talk(client)
    refusal = await answer_to(rig, rig.request(b"GET", PODS, b"Origin: null", token=b""))
    assert refusal is not None
    assert refusal.status == 401
    await recorded(rig)


async def test_S06_no_page_of_another_origin_uses_a_client_certificate(tmp_path: Path) -> None:
    await let_a_page_use_the_certificate.against(tmp_path)


async def test_S06_with_a_token_an_origin_says_nothing(tmp_path: Path) -> None:
    await send_an_origin_with_a_token.against(tmp_path)
