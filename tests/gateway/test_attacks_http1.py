"""HTTP/1.1 attacks over real TLS: the oracle sees nothing, or exactly what is in the record.

Letters name the classes: H framing (CVE-2025-55315, CVE-2025-43859 and relatives), N headers and identity,
P targets, U upgrades.
"""

import uuid
from pathlib import Path

import pytest
import trio

from tests.kit.gateway_rig import Exchange, Rig, open_rig
from tests.kit.http1_messages import REFUSED_REQUESTS, REFUSED_RESPONSES, Refused
from tests.kit.orc import CHUNKED, LAST_CHUNK, OrcConnection, SeenRequest, answer, chunk, says
from tests.kit.raw_client import Response

PODS = b"/api/v1/namespaces/default/pods"
EXEC = PODS + b"/p/exec?command=sh&stdin=true&stdout=true"
SMUGGLED = b"GET /api/v1/secrets HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def response_to(rig: Rig, wire: bytes) -> tuple[Response | None, bytes]:
    """What came for these bytes, and what came after it until the gateway closed (or fell silent)."""
    async with rig.client() as client:
        try:
            await client.send(wire)
            response = await client.response()
        except (EOFError, trio.BrokenResourceError):
            return None, b""
        rest = b""
        with trio.move_on_after(0.05):
            rest = await client.rest()
        return response, rest


def with_credentials(rig: Rig, wire: bytes) -> bytes:
    """The same attack by somebody who may come in, at our own host."""
    authorized = b"\r\nAuthorization: Bearer " + rig.token + b"\r\n"
    return wire.replace(b"Host: k8s.example\r\n", b"Host: " + rig.host + authorized, 1)


async def assert_one_story(rig: Rig) -> None:
    """Every exchange has one Intent and one Outcome, and those that went upstream are those the oracle saw."""
    await rig.ended()
    exchanges = await rig.exchanges()
    for exchange in exchanges:
        assert exchange.intent
        assert exchange.outcome
    went_up = [
        e.intent.upstream_target
        for e in exchanges
        if e.intent.upstream_target and e.outcome.result == "completed"
    ]
    seen = [request.target for request in rig.orc.requests if request.complete]
    assert sorted(went_up) == sorted(seen)
    assert rig.orc.failures == []


def _no_head_end(case: Refused) -> bool:
    return b"\r\n\r\n" not in case.wire


async def test_h1_to_h16_no_malformed_request_reaches_the_cluster_nor_does_what_follows_it(
    tmp_path: Path,
) -> None:
    async with open_rig(tmp_path, deadline_s=60) as rig:
        strange = []
        for case in REFUSED_REQUESTS:
            waits = 0.3 if _no_head_end(case) else 5
            with trio.move_on_after(waits):
                response, rest = await response_to(rig, with_credentials(rig, case.wire) + SMUGGLED)
                if response is not None and (response.status < 400 or b"HTTP/1.1" in rest):
                    strange.append((case.label, response.status, rest))
        assert strange == []
        assert rig.orc.requests == []
        assert (await rig.ask(b"GET", PODS)).status == 200, "the victim is still served"
        assert len(rig.orc.requests) == 1
        await assert_one_story(rig)


async def test_h12_poison_behind_a_good_request_is_not_forwarded(tmp_path: Path) -> None:
    poisons = [case.wire for case in REFUSED_REQUESTS[::17]]
    async with open_rig(tmp_path) as rig:
        for poison in poisons:
            async with rig.client() as client:
                await client.send(rig.request(b"GET", PODS) + with_credentials(rig, poison))
                assert (await client.response()).status == 200
        assert [request.target for request in rig.orc.requests] == [PODS] * len(poisons)
        await assert_one_story(rig)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE"])
async def test_h11_a_body_where_none_belongs_never_becomes_the_next_request(
    tmp_path: Path, method: bytes
) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        await client.send(rig.request(method, PODS, body=SMUGGLED) + rig.request(b"GET", PODS + b"/after"))
        await client.response(to_head=method == b"HEAD")
        await client.response()
        assert {request.target for request in rig.orc.requests} == {PODS, PODS + b"/after"}
        assert rig.orc.requests[0].body == SMUGGLED
        assert (await rig.exchanges())[0].request_body == SMUGGLED
        await assert_one_story(rig)


async def test_h11_what_follows_an_early_refusal_is_read_from_the_right_byte_or_not_at_all(
    tmp_path: Path,
) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        refused = rig.request(b"POST", PODS, b"Content-Encoding: gzip", body=SMUGGLED)
        await client.send(refused + rig.request(b"GET", PODS + b"/after"))
        assert (await client.response()).status == 415
        assert (await client.response()).status == 200
        assert [request.target for request in rig.orc.requests] == [PODS + b"/after"]


async def test_h13_a_head_that_drips_is_given_up_however_steadily(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.http1.HEADER_TIMEOUT_S", 0.3)
    async with open_rig(tmp_path) as rig, rig.client() as client, trio.open_nursery() as nursery:

        async def drip() -> None:
            for byte in rig.request(b"GET", PODS + b"/" + b"a" * 1000):
                try:
                    await client.send(bytes([byte]))
                except trio.BrokenResourceError:
                    return
                await trio.sleep(0.02)

        nursery.start_soon(drip)
        with trio.fail_after(2):
            assert await client.rest() == b""
        nursery.cancel_scope.cancel()


async def test_h11_a_body_that_stands_still_is_given_up_with_408(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.http1.BODY_TIMEOUT_S", 0.2)
    async with open_rig(tmp_path) as rig, rig.client() as client:
        response = await client.ask(rig.request(b"POST", PODS, b"Content-Length: 10") + b"half")
        assert response.status == 408
        assert rig.orc.requests == []


async def test_h16_a_request_for_another_host_is_misdirected(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        wire = rig.request(b"GET", PODS).replace(b"Host: 127.0.0.1", b"Host: evil.example")
        assert (await client.ask(wire)).status == 421
        assert rig.orc.requests == []


async def test_h17_h18_no_malformed_answer_reaches_a_client_nor_the_next_one(tmp_path: Path) -> None:
    """Each bad answer is followed by a whole one that a desynchronised reader would give to somebody else."""
    wires = {b"/x%d" % number: case for number, case in enumerate(REFUSED_RESPONSES)}
    poison = answer(200, b"poison")

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        case = wires.get(request.target.removeprefix(PODS))
        if case is None:
            await connection.send(answer(200, request.target))
            return
        try:
            await connection.send(case.wire + poison)
        except trio.BrokenResourceError:
            pass

    async with open_rig(tmp_path, script, deadline_s=60) as rig:
        for target, case in wires.items():
            async with rig.client() as client:
                try:
                    response = await client.ask(rig.request(b"GET", PODS + target))
                    # A fault behind a good head breaks the body off: EOFError. Before it, it is our 502.
                    assert response.status == 502, case.label
                    assert b"poison" not in response.body
                except EOFError as broken:
                    cut_off = bytes(broken.args[0])
                    assert b"poison" not in cut_off, case.label
            victim = await rig.ask(b"GET", PODS + b"/victim")
            assert (victim.status, victim.body) == (200, PODS + b"/victim"), case.label
        used = [c for c in rig.orc.connections if any(r.target.startswith(PODS + b"/x") for r in c.requests)]
        assert all(c.requests[-1].target.startswith(PODS + b"/x") for c in used), (
            "a connection was used again"
        )


@pytest.mark.parametrize(
    "extra",
    [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
async def test_h17_bytes_after_an_answer_retire_the_connection(tmp_path: Path, extra: bytes) -> None:
    async with open_rig(tmp_path, says(answer(200, b"mine") + extra)) as rig, rig.client() as client:
        for _ in range(3):
            assert (await client.ask(rig.request(b"GET", PODS))).body == b"mine"
        assert [len(c.requests) for c in rig.orc.connections if c.requests] == [1, 1, 1]


async def test_h17_late_bytes_after_an_answer_retire_the_connection(tmp_path: Path) -> None:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(200, b"mine"))
        await trio.sleep(0.05)
        await connection.send(answer(200, b"poison"))

    async with open_rig(tmp_path, script) as rig, rig.client() as client:
        await client.ask(rig.request(b"GET", PODS))
        await trio.sleep(0.15)
        assert (await client.ask(rig.request(b"POST", PODS, body=b"{}"))).body == b"mine"


async def test_h19_nothing_a_client_sends_can_write_a_line_of_our_answer(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        for target in (
            b"/api/v1/%0d%0aX-Evil:%201",
            b"/api/v1/pods?labelSelector=%0d%0aX-Evil:%201",
            b"/%0a",
            b"/a%00",
        ):
            response = await rig.ask(b"GET", target)
            assert response.header(b"x-evil") is None
        upstream = [request.target for request in rig.orc.requests]
        assert all(b"\r" not in target and b"\n" not in target for target in upstream)
        await assert_one_story(rig)


# --- N: headers and identity --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"Impersonate-User", b"impersonate-group", b"IMPERSONATE-UID", b"Impersonate-Extra-a%2fb"]
)
async def test_n1_a_client_that_impersonates_is_refused(tmp_path: Path, name: bytes) -> None:
    async with open_rig(tmp_path) as rig:
        response = await rig.ask(b"GET", PODS, name + b": system:admin")
        assert response.status == 400
        assert rig.orc.requests == []
        await assert_one_story(rig)


async def test_n3_n4_n8_headers_that_lie_about_who_where_or_what_go_nowhere(tmp_path: Path) -> None:
    lies = [
        b"X-Remote-User: root", b"X-Remote-Group: system:masters", b"X-Remote-Extra-Scopes: all", b"X-Forwarded-For: 6.6.6.6",
        b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: http", b"Forwarded: for=6.6.6.6", b"X-Real-IP: 6.6.6.6", b"X-User: root",
        b"X-Original-URL: /api/v1/secrets", b"X-Rewrite-URL: /api/v1/secrets", b"X-HTTP-Method-Override: DELETE", b"X-HTTP-Method: DELETE",
        b"X-Method-Override: DELETE", b"Via: 1.1 evil", b"Audit-ID: 0000", b"Accept-Encoding: gzip", b"TE: trailers", b"Cookie: a=b",
        b"Proxy-Authorization: Basic eA==",
    ]  # fmt: skip
    async with open_rig(tmp_path) as rig:
        await rig.ask(b"POST", PODS, *lies, body=b"{}")
        (seen,) = rig.orc.requests
        allowed = {
            b"host",
            b"accept-encoding",
            b"audit-id",
            b"x-forwarded-for",
            b"authorization",
            b"content-length",
        }
        assert seen.names() == allowed
        assert seen.header(b"x-forwarded-for") == b"127.0.0.1"
        assert seen.header(b"accept-encoding") == b"identity"
        assert seen.method == b"POST"
        exchange = await rig.exchange()
        assert exchange.intent.call
        assert exchange.intent.call.verb == "create"
        assert exchange.intent.source.startswith("127.0.0.1:")


async def test_n7_two_credentials_are_none(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        again = b"Authorization: Bearer " + rig.token
        assert (await rig.ask(b"GET", PODS, again)).status in (400, 401)
        protocols = b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.YWJj, v4.channel.k8s.io"
        upgrade = (
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: " + b"A" * 22 + b"==",
        )
        assert (await rig.ask(b"GET", EXEC, *upgrade, protocols)).status == 401
        assert rig.orc.requests == []
        await assert_one_story(rig)


async def test_n9_a_compressed_body_is_refused(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        assert (await rig.ask(b"POST", PODS, b"Content-Encoding: gzip", body=b"\x1f\x8b")).status == 415
        assert rig.orc.requests == []


# --- P: targets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        b"/api/v1/../secrets", b"/api/v1/%2e%2e/secrets", b"//evil/path", b"/api//v1/pods", b"/api/v1\\pods", b"/api/v1/namespaces/a;b/pods",
        b"/api/v1/namespaces/%00/pods", b"/api/v1/namespaces/a%2fb/pods", b"/api/v1/namespaces/%c0%ae/pods", b"/api/v1/namespaces/%252e/pods",
        b"/api/v1/pods?watch=1;x", b"/api/v1/pods?a=%zz", b"/api/v1/pods?watch=1&watch=0", b"/api/v1/%", b"/./api",
    ],
)  # fmt: skip
async def test_p1_p4_p5_a_target_with_two_readings_goes_nowhere_and_is_recorded(
    tmp_path: Path, target: bytes
) -> None:
    async with open_rig(tmp_path) as rig:
        response = await rig.ask(b"GET", target)
        assert response.status == 400
        assert rig.orc.requests == []
        exchange = await rig.exchange()
        assert (exchange.intent.call, exchange.intent.target) == (None, target)
        assert exchange.outcome.result == "refused"


async def test_p3_encoded_names_of_real_clients_arrive(tmp_path: Path) -> None:
    target = b"/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"
    async with open_rig(tmp_path) as rig:
        assert (await rig.ask(b"GET", target)).status == 200
        (exchange,) = await rig.exchanges()
        assert exchange.intent.call
        assert exchange.intent.call.name == "system:node"
        assert exchange.intent.upstream_target == rig.orc.requests[0].target


async def test_d1_p7_every_kind_of_call_is_recorded_exactly_once(tmp_path: Path) -> None:
    targets = [
        b"/healthz", b"/livez", b"/readyz?verbose", b"/metrics", b"/version", b"/api", b"/apis", b"/apis/apps/v1", b"/openapi/v2",
        b"/openapi/v3", b"/logs/kubelet.log", b"/nothing/here", b"/", b"/.well-known/openid-configuration", b"/debug/pprof/", PODS,
        PODS + b"/p", PODS + b"/p/status", PODS + b"/p/log", b"/api/v1/nodes/n/proxy/metrics", b"/api/v1/namespaces/a/services/s/proxy/x",
        b"/api/v1/secrets", b"/apis/example.com/v1/widgets", b"/api/v1/watch/pods", EXEC, b"/api/v1/%2e",
    ]  # fmt: skip
    methods = [b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"PATCH", b"DELETE"]
    asked = 0

    async def status_of_target(connection: OrcConnection, request: SeenRequest) -> None:
        status = {b"/nothing/here": 404, b"/metrics": 403, b"/": 500}.get(request.target, 200)
        body = b"" if request.method == b"HEAD" else b"{}"
        await connection.send(answer(status, body))

    async with open_rig(tmp_path, status_of_target, deadline_s=40) as rig:
        async with rig.client() as client:
            for method in methods:
                for target in targets:
                    await client.ask(rig.request(method, target), to_head=method == b"HEAD")
                    asked += 1
            for method in methods:  # nobody knows who they are
                await client.ask(rig.request(method, PODS, token=b"nobody"), to_head=method == b"HEAD")
                asked += 1
        await rig.ended()
        exchanges = await rig.exchanges()
        assert len(exchanges) == asked
        assert [e.intent.method for e in exchanges] == [m.decode() for m in methods for _ in targets] + [
            m.decode() for m in methods
        ]
        assert all(e.outcome.status for e in exchanges)
        went_up = [e.intent.upstream_target for e in exchanges if e.intent.upstream_target]
        assert went_up == [request.target for request in sorted_by_audit(rig, exchanges)]


def sorted_by_audit(rig: Rig, exchanges: list[Exchange]) -> list[SeenRequest]:
    order = {str(uuid.UUID(bytes=e.intent.exchange)).encode(): index for index, e in enumerate(exchanges)}
    return sorted(rig.orc.requests, key=lambda request: order[request.header(b"audit-id") or b""])


# --- U: upgrades -----------------------------------------------------------------------------------------------

WEBSOCKET = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Protocol: v5.channel.k8s.io",
)
SPDY = (b"Connection: Upgrade", b"Upgrade: SPDY/3.1", b"X-Stream-Protocol-Version: v4.channel.k8s.io")


@pytest.mark.parametrize(
    "wire",
    [
        answer(200, b"ok"), answer(400, b"bad"), answer(500, b"oops"), answer(403, b"no"),
        CHUNKED + chunk(b"ok") + LAST_CHUNK, answer(404, b"gone") + b"garbage",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(400, b"bad"), answer(302, b"", b"Location: /api/v1/secrets"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("upgrade", [WEBSOCKET, SPDY])
async def test_u1_an_answer_other_than_101_never_opens_a_pipe(
    tmp_path: Path, wire: bytes, upgrade: tuple[bytes, ...]
) -> None:
    """CVE-2018-1002105: the connection upstream must not carry what the client sends next."""
    async with open_rig(tmp_path, says(wire)) as rig, rig.client() as client:
        await client.send(rig.request(b"GET" if upgrade is WEBSOCKET else b"POST", EXEC, *upgrade) + SMUGGLED)
        response = await client.response()
        assert response.status >= 400
        await client.rest()
        await rig.ended()
        assert len(rig.orc.requests) == 1
        assert SMUGGLED not in b"".join(bytes(c.received) for c in rig.orc.connections)
        first = (await rig.exchanges())[0]
        assert first.outcome.status == response.status
        assert first.response_body == response.body


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n",
        b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\n",
    ],
)
async def test_u5_a_101_that_does_not_prove_itself_is_refused(tmp_path: Path, head: bytes) -> None:
    async with open_rig(tmp_path, says(head + b"\r\n")) as rig, rig.client() as client:
        assert (await client.ask(rig.request(b"GET", EXEC, *WEBSOCKET))).status == 502
        await rig.ended()
        assert (await rig.exchange()).outcome.result == "failed"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_u2_u3_an_upgrade_elsewhere_or_to_something_else_is_refused(
    tmp_path: Path, method: bytes
) -> None:
    async with open_rig(tmp_path) as rig:
        for target in (
            PODS,
            b"/api/v1/nodes/n/proxy/exec/a/b/c",
            b"/api/v1/namespaces/a/services/s/proxy/ws",
            b"/",
        ):
            response = await rig.ask(method, target, *WEBSOCKET)
            assert response.status >= 400, target
        assert rig.orc.requests == []
        await assert_one_story(rig)


@pytest.mark.parametrize(("method", "upgrade"), [(b"GET", WEBSOCKET), (b"POST", SPDY), (b"GET", SPDY)])
async def test_u4_exec_is_connect_whatever_the_method(
    tmp_path: Path, method: bytes, upgrade: tuple[bytes, ...]
) -> None:
    async with open_rig(tmp_path, says(answer(403, b"no"))) as rig:
        await rig.ask(method, EXEC, *upgrade)
        intent = (await rig.exchange()).intent
        assert intent.call
        assert (intent.call.subresource, intent.call.argv, intent.durability) == (
            "exec",
            ("sh",),
            1,
        )
