"""S6: a bearer token among the WebSocket subprotocols (kubernetes#47740; capsule-proxy PR#533): it is whose it is,
it goes nowhere, it comes back nowhere, an empty one is none, and beside another credential it is refused."""

from base64 import urlsafe_b64encode
from pathlib import Path

from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.shells import EXEC, V5, carries_all, talk
from tests.kit.gateway_rig import Rig
from tests.kit.tunnel_ends import websocket_fields

PREFIX = b"base64url.bearer.authorization.k8s.io."


def encoded(token: bytes) -> bytes:
    return urlsafe_b64encode(token).rstrip(b"=")


@attack(script=carries_all)
async def carry_the_token_in_a_subprotocol(rig: Rig) -> None:
    secret = encoded(rig.token)
    async with rig.client() as client:
        offers = websocket_fields(PREFIX + secret, V5)
        await client.send(rig.request(b"GET", EXEC, *offers, token=b""))
        head = await client.head()
        assert head.status == 101
        assert secret not in head.wire, "the client's token was echoed"
        assert head.header(b"sec-websocket-protocol") == V5
        await talk(client)
    received = b"".join(bytes(connection.received) for connection in rig.orc.connections)
    assert secret not in received, "the cluster saw the client's token"
    assert rig.token not in received, "the cluster saw the client's token"
    (exchange,) = await recorded(rig)
    assert secret not in b"".join(value for _, value in exchange.intent.headers), "the record holds the token"
    assert exchange.intent.principal is not None


@attack(script=carries_all)
async def offer_an_empty_token(rig: Rig) -> None:
    for offers in ((PREFIX, V5), (V5, PREFIX), (PREFIX + b"=", V5), (PREFIX,), (PREFIX + b"AA", V5)):
        response = await answer_to(rig, rig.request(b"GET", EXEC, *websocket_fields(*offers), token=b""))
        assert rig.orc.requests == [], "an empty token opened a shell"
        assert response is not None
        assert response.status == 401, "an empty token was answered"
    await recorded(rig)


@attack(script=carries_all)
async def offer_a_second_credential(rig: Rig) -> None:
    for secret in (encoded(rig.token), encoded(b"other")):
        response = await answer_to(rig, rig.request(b"GET", EXEC, *websocket_fields(PREFIX + secret, V5)))
        assert rig.orc.requests == [], "two credentials were taken for one"
        assert response is not None
        assert response.status == 401
    twice = websocket_fields(PREFIX + encoded(rig.token), PREFIX + encoded(b"other"), V5)
    response = await answer_to(rig, rig.request(b"GET", EXEC, *twice, token=b""))
    assert response is not None
    assert response.status == 401, "two credentials were taken for one"
    await recorded(rig)


async def test_S06_a_token_among_subprotocols_is_used_and_goes_nowhere(tmp_path: Path) -> None:
    await carry_the_token_in_a_subprotocol.against(tmp_path)


async def test_S06_an_empty_token_is_none(tmp_path: Path) -> None:
    await offer_an_empty_token.against(tmp_path)


async def test_S06_beside_another_credential_it_is_refused(tmp_path: Path) -> None:
    await offer_a_second_credential.against(tmp_path)
