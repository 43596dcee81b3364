"""S10: a path that the record reads in one way and the API server in another (recording or policy keyed on the text
of a URL): what is recorded is what the server read, and what has two readings goes nowhere."""

from pathlib import Path

from tests.bypass.attack import answer_to, attack, recorded, refused
from tests.bypass.shells import V5, carries_all, talk
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer
from tests.kit.tunnel_ends import websocket_fields

POD = b"/api/v1/namespaces/default/pods/p"
QUERY = b"?command=sh&stdin=true&stdout=true"
ENCODED = [
    POD + b"/%65xec",
    POD + b"/%65%78%65%63",
    b"/%61pi/v1/namespaces/default/p%6Fds/p/exec",
    POD + b"/exec/x",
]
"""Exec to the server's authorizer: carried in the one canonical spelling and recorded, or refused."""
AMBIGUOUS = [
    POD + b"/exec/",
    POD + b"//exec",
    b"//api/v1/namespaces/default/pods/p/exec",
    b"/api/v1/namespaces/default/pods/./p/exec",
    b"/api/v1/namespaces/default/pods/x/../p/exec",
    b"/api/v1/namespaces/default/pods/%2e%2e/pods/p/exec",
    b"/api/v1/namespaces/default/pods/x%2f..%2fp/exec",
    b"/api/v1/namespaces/default%2fpods%2fp%2fexec",
    b"/api/v1/namespaces/a%2Fb/pods/p/exec",
    POD + b"%2fexec",
    POD + b"/exec%2f",
    POD + b"/exec;x",
    POD + b"/exec%3bx",
    POD + b"/exec%00",
    POD + b"/exec%0a",
    POD + b"\\exec",
    POD + b"/%5cexec",
    POD + b"/%2565xec",
    POD + b"/%c0%afexec",
    POD + b"/e%xec",
]
OTHERS = [POD + b"/EXEC", POD + b"/exec2", POD + b"/Exec", b"/api/v1/namespaces/default/PODS/p/exec"]
"""Not exec to the server either: nothing to carry, or an ordinary call that it will not find."""
QUERIES = [
    b"/api/v1/pods?watch=1;x=2",
    b"/api/v1/pods?watch=0&watch=1",
    b"/api/v1/pods?watch=%zz",
    b"/api/v1/pods?%77atch=true",
    b"/api/v1/pods?watch=False",
    b"/api/v1/pods?watch",
    b"/api/v1/secrets?fieldSelector=metadata.name%3Dtls",
    b"/api/v1/watch/namespaces/default/pods/p",
    b"/api/v1/namespaces/default",
    b"/api/v1/namespaces/default/status",
    b"/apis/apps/v1/namespaces/default/deployments/d/scale",
]


@attack(script=carries_all, deadline_s=10)
async def spell_exec_differently(rig: Rig) -> None:
    for path in [POD + b"/exec", *ENCODED, *AMBIGUOUS, *OTHERS]:
        async with rig.client() as client:
            await client.send(rig.request(b"GET", path + QUERY, *websocket_fields(V5)))
            head = await client.head()
            assert path not in AMBIGUOUS or head.status == 400, "a target with two readings was let through"
            if head.status == 101:
                assert path not in OTHERS, "a stream was opened on what is not exec"
                channels = await talk(client)
                assert channels[1] == b"from the shell"
    exchanges = await recorded(rig)
    assert len(exchanges) == 1 + len(ENCODED) + len(AMBIGUOUS) + len(OTHERS)
    for exchange in exchanges:
        went_up = exchange.outcome.status == 101
        assert exchange.channel(1, from_client=False) == (b"from the shell" if went_up else b"")


def ok() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(200, b"" if request.method == b"HEAD" else b"{}"))

    return script


@attack(script=ok, deadline_s=10)
async def spell_plain_calls_differently(rig: Rig) -> None:
    for method in (b"GET", b"DELETE"):
        for target in [*AMBIGUOUS, *ENCODED, *OTHERS, *QUERIES]:
            response = await answer_to(rig, rig.request(method, target))
            assert target not in AMBIGUOUS or refused(response), "a target with two readings was let through"
    await recorded(rig)


async def test_S10_however_exec_is_spelled_it_is_recorded_or_refused(tmp_path: Path) -> None:
    await spell_exec_differently.against(tmp_path)


async def test_S10_record_and_cluster_read_the_same_call(tmp_path: Path) -> None:
    await spell_plain_calls_differently.against(tmp_path)
