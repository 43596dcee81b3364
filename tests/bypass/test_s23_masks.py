"""S23: a secret that a mask hides in one form and shows in another, or that escapes with the end of a session. What
every encoding does is in tests/gateway/policy/masking; here the data path: the same masked bytes for client and record,
nothing that was typed missing in the record however a session ends, and what cannot be masked refused."""

from pathlib import Path

import trio

from tests.bypass.attack import attack, recorded
from tests.bypass.policies import under_policy
from tests.bypass.shells import EXEC, V5, Cluster, message, talk
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer
from tests.kit.tunnel_ends import switching, websocket_fields

CANARY = b"c2VjcmV0LWNhbmFyeQ=="
SECRET = (
    b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"type":"Opaque","data":{"a":"'
    + CANARY
    + b'"}}'
)
KEY = b"AKIAIOSFODNN7EXAMPLE"
MASKED = under_policy(
    "{name: all, match: {}, action: allow}",
    '{name: hide, match: {resources: [secrets]}, action: {mask: {paths: ["data.*"]}}}',
    "{name: keys, match: {resources: [pods/exec, pods/log]}, action: {mask: {detectors: [aws-key]}}}",
)


def answers_with_a_secret() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        kind = dict(request.headers).get(b"user-agent", b"")
        if kind == b"protobuf":
            wire = answer(200, b"k8s\0" + SECRET).replace(
                b"application/json", b"application/vnd.kubernetes.protobuf"
            )
        elif kind == b"gzip":
            wire = answer(200, SECRET, b"Content-Encoding: gzip")
        else:
            wire = answer(200, SECRET)
        await connection.send(wire)

    return script


@attack(script=answers_with_a_secret, change=MASKED)
async def read_a_masked_secret(rig: Rig) -> None:
    heard = b""
    for agent in (b"json", b"protobuf", b"gzip"):
        response = await rig.ask(b"GET", b"/api/v1/namespaces/a/secrets/s", b"User-Agent: " + agent)
        heard += response.body
        assert response.status == 200 or agent != b"json"
    assert CANARY not in heard, "a masked value reached the client"
    for exchange in await recorded(rig):
        assert CANARY not in exchange.response_body, "a masked value is in the record"


@attack(script=lambda: Cluster(output=b"key " + KEY[:9] + b""), change=MASKED)
async def show_half_a_key(rig: Rig) -> None:
    """It may still become one when the session ends: then it is shown, and recorded, like any other output."""
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
        assert (await client.head()).status == 101
        shown = (await talk(client)).get(1, b"")
    (exchange,) = await recorded(rig)
    assert exchange.channel(1, from_client=False) == shown, "record and client saw different output"


TYPED = b"export KEY=" + KEY[:12]


def listens_for_ever() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.send(switching(request, V5))
        while await connection.receive():
            pass

    return script


@attack(script=listens_for_ever, change=MASKED)
async def vanish_after_typing(rig: Rig) -> None:
    """What was typed went to the cluster at once; the record held it back, for it could become a secret."""
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
        assert (await client.head()).status == 101
        before = len(rig.orc.connections[-1].received)
        await client.send(message(0, TYPED))
        while not any(len(c.received) > before and c.raw for c in rig.orc.connections):
            await trio.sleep(0.002)
        await client.vanish()
    (exchange,) = await recorded(rig)
    typed = exchange.channel(0, from_client=True)
    assert typed.startswith(b"export KEY="), "what was typed at the end of a session is in no record"


async def test_S23_client_and_record_get_the_same_masked_bytes(tmp_path: Path) -> None:
    await read_a_masked_secret.against(tmp_path)


async def test_S23_half_a_secret_is_shown_and_recorded_alike(tmp_path: Path) -> None:
    await show_half_a_key.against(tmp_path)


async def test_S23_what_was_typed_last_is_recorded(tmp_path: Path) -> None:
    await vanish_after_typing.against(tmp_path)
