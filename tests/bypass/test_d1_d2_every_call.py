"""D1: a kind of call that nobody records (health, discovery, errors, HEAD, what was refused). D2: what goes behind
a `proxy`: the kubelet's own API, which no audit of the cluster sees."""

import uuid
from pathlib import Path

from storage.records import RequestBody
from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.h2 import open_h2_wire
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer

PODS = b"/api/v1/namespaces/default/pods"
TARGETS = [
    b"/", b"/healthz", b"/livez?verbose", b"/readyz", b"/metrics", b"/version", b"/api", b"/apis", b"/apis/apps/v1", b"/openapi/v2",
    b"/openapi/v3/api/v1", b"/logs/x", b"/debug/pprof/", b"/.well-known/openid-configuration", b"/nothing/here", b"/favicon.ico",
    PODS, PODS + b"/p", PODS + b"/p/log", PODS + b"/p/exec?command=sh", b"/api/v1/watch/pods", b"/api/v1/secrets", b"/api/v1/%2e",
]  # fmt: skip
METHODS = [b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"PATCH", b"DELETE"]


def answers_as_asked() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        status = {b"/nothing/here": 404, b"/metrics": 403, b"/": 500}.get(request.target, 200)
        await connection.send(answer(status, b"" if request.method == b"HEAD" else b"{}"))

    return script


@attack(script=answers_as_asked, deadline_s=15)
async def ask_for_everything(rig: Rig) -> None:
    asked = []
    async with rig.client() as client:
        for target in TARGETS:
            for method in METHODS:
                await client.ask(rig.request(method, target), to_head=method == b"HEAD")
                asked.append((method.decode(), target))
    async with open_h2_wire(rig) as h2:
        for target in TARGETS:
            await h2.ask(h2.head(b"GET", target))
            asked.append(("GET", target))
    exchanges = await recorded(rig)
    told = [(e.intent.method, e.intent.target) for e in exchanges]
    assert told == asked, "a call is not in the record"
    by_id = {str(uuid.UUID(bytes=e.intent.exchange)).encode() for e in exchanges if e.intent.upstream_target}
    assert by_id == {r.header(b"audit-id") for r in rig.orc.requests}


@attack(script=answers_as_asked)
async def be_refused(rig: Rig) -> None:
    nobody = rig.request(b"GET", PODS, token=b"nobody")
    wires = [
        nobody,
        rig.request(b"GET", PODS).replace(b"Host: ", b"Host: x"),
        rig.request(b"GET", PODS, b"Impersonate-User: a"),
        rig.request(b"POST", PODS, b"Content-Encoding: gzip", body=b"x"),
        b"GET " + PODS + b" HTTP/1.0\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
        rig.request(b"GET", PODS, b"Bad Name: x"),
    ]
    for wire in wires:
        response = await answer_to(rig, wire)
        assert response is None or response.status >= 400
    exchanges = await recorded(rig)
    assert len(exchanges) == len(wires), "a refusal left no trace"
    assert {e.outcome.result for e in exchanges} == {"refused"}
    assert rig.orc.requests == []


PROXIED = [
    b"/api/v1/nodes/n/proxy/exec/default/p/c?command=sh",
    b"/api/v1/nodes/n/proxy/run/default/p/c",
    b"/api/v1/nodes/n:10250/proxy/containerLogs/default/p/c",
    b"/api/v1/proxy/nodes/n/pods",
    PODS + b"/p:10250/proxy/runningpods/",
    b"/api/v1/namespaces/default/services/https:s:443/proxy/a/../b//c?x=1;y=%zz",
]


@attack(script=answers_as_asked)
async def go_behind_the_api(rig: Rig) -> None:
    body = b"cmd=cat%20/etc/shadow"
    for target in PROXIED:
        for method in (b"GET", b"POST", b"PUT"):
            response = await answer_to(rig, rig.request(method, target, body=body))
            assert response is not None
            assert response.status == 200
    exchanges = await recorded(rig)
    assert len(exchanges) == len(PROXIED) * 3
    for exchange in exchanges:
        assert exchange.intent.durability == 1, "what goes behind a proxy need not be durable first"
        assert exchange.request_body == body, "what was sent behind a proxy is not in the record"
        assert exchange.all(RequestBody)
        assert exchange.response_body == b"{}", "what came from behind a proxy is not in the record"


async def test_D1_there_is_no_call_that_is_not_recorded(tmp_path: Path) -> None:
    await ask_for_everything.against(tmp_path)


async def test_D1_what_is_refused_leaves_a_trace(tmp_path: Path) -> None:
    await be_refused.against(tmp_path)


async def test_D2_what_goes_behind_a_proxy_is_recorded_in_full(tmp_path: Path) -> None:
    await go_behind_the_api.against(tmp_path)
