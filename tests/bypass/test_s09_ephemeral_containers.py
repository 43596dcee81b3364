"""S9: `kubectl debug` puts a container of one's own beside the one that is watched (Teleport PR#40792): the patch
and every byte of the attach that follows are in the record."""

from pathlib import Path

from tests.bypass.attack import attack, recorded
from tests.bypass.shells import POD, V5, Cluster, message, talk
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer
from tests.kit.tunnel_ends import websocket_fields

PATCH = b'{"spec":{"ephemeralContainers":[{"name":"debugger","image":"busybox","stdin":true,"tty":true}]}}'
TYPED = b"nsenter -t 1\n"


def patches_and_attaches() -> Script:
    cluster = Cluster(wanted=len(TYPED))

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        if request.method == b"PATCH":
            await connection.send(answer(200, request.body))
        else:
            await cluster(connection, request)

    return script


@attack(script=patches_and_attaches)
async def debug_a_pod(rig: Rig) -> None:
    kind = b"Content-Type: application/strategic-merge-patch+json"
    assert (await rig.ask(b"PATCH", POD + b"/ephemeralcontainers", kind, body=PATCH)).status == 200
    async with rig.client() as client:
        target = POD + b"/attach?container=debugger&stdin=true&stdout=true&tty=true"
        await client.send(rig.request(b"GET", target, *websocket_fields(V5)))
        assert (await client.head()).status == 101
        await talk(client, message(0, TYPED))
    patch, attach = await recorded(rig)
    assert patch.intent.call is not None
    assert (patch.intent.call.subresource, patch.intent.durability) == ("ephemeralcontainers", 1)
    assert (patch.request_body, patch.response_body) == (PATCH, PATCH), "the patch is not in the record"
    assert attach.channel(0, from_client=True) == TYPED, "an attach went on unrecorded"
    assert attach.channel(1, from_client=False) == b"from the shell", "an attach went on unrecorded"
    assert attach.intent.call is not None
    assert attach.intent.call.container == "debugger"


async def test_S09_a_debugging_container_is_recorded_from_its_patch_to_its_last_byte(tmp_path: Path) -> None:
    await debug_a_pod.against(tmp_path)
