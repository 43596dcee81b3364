"""S11, S9 under a policy: who may only read gets no shell by asking for it with GET (KEP-4006), none behind a proxy,
and none beside a container. (A GET behind a proxy is a `get`, as for RBAC: no stream is carried there, and it is for a
pack to deny.)"""

from pathlib import Path

from tests.bypass.attack import attack, recorded
from tests.bypass.policies import under_policy
from tests.bypass.shells import EXEC, POD, V5, carries_all
from tests.kit.gateway_rig import Rig
from tests.kit.tunnel_ends import spdy_fields, websocket_fields

READ_ONLY = under_policy("{name: read, match: {verbs: [get, list, watch]}, action: allow}")
SOCKET, SPDY = websocket_fields(V5), spdy_fields(b"v4.channel.k8s.io")
WAYS_IN = [
    (b"GET", EXEC, SOCKET),
    (b"GET", EXEC, SPDY),
    (b"POST", EXEC, SPDY),
    (b"GET", EXEC, ()),
    (b"GET", POD + b"/attach?stdin=1", SOCKET),
    (b"GET", POD + b"/portforward?ports=80", websocket_fields(b"v4.channel.k8s.io")),
    (b"POST", b"/api/v1/nodes/n/proxy/run/default/p/c", ()),
    (b"GET", b"/api/v1/proxy/nodes/n/pods", ()),
    (b"PATCH", POD + b"/ephemeralcontainers", ()),
    (b"PUT", POD + b"/ephemeralcontainers", ()),
    (b"POST", b"/api/v1/namespaces/default/pods", ()),
    (b"POST", b"/api/v1/namespaces/default/serviceaccounts/default/token", ()),
]


@attack(script=carries_all, change=READ_ONLY)
async def get_a_shell_as_a_reader(rig: Rig) -> None:
    for method, target, fields in WAYS_IN:
        async with rig.client() as client:
            response = await client.ask(rig.request(method, target, *fields), to_head=method == b"HEAD")
        assert response.status == 403, f"who may only read got in by {method.decode()} {target.decode()}"
    assert rig.orc.requests == [], "the cluster was asked for a shell by who may only read"
    exchanges = await recorded(rig)
    assert {e.intent.verdict.action for e in exchanges} == {"deny"}


async def test_S11_S09_who_may_only_read_gets_no_shell(tmp_path: Path) -> None:
    await get_a_shell_as_a_reader.against(tmp_path)
