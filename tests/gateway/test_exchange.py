"""One call through a whole gateway: what goes up and down is what is recorded, in the promised order."""

import socket
import struct
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway.durability import Durability
from gateway.request_body import MAX_BODY_BYTES, SMALL_BODY_BYTES
from storage.records import Outcome, RequestBody, RequestEnded, SessionOpened
from tests.kit.blocked_files import BlockedFiles
from tests.kit.gateway_rig import Rig, open_rig, read_log
from tests.kit.h2_client import open_h2
from tests.kit.orc import CHUNKED, LAST_CHUNK, OrcConnection, Script, SeenRequest, answer, chunk, says

PODS = b"/api/v1/namespaces/default/pods"
WATCH = PODS + b"?watch=true"
EVENT = b'{"type":"ADDED","object":{"kind":"Pod"}}\n'
SETTLED_S = 0.05


@asynccontextmanager
async def blocked_rig(
    directory: Path, script: Script | None = None, durability: Durability = Durability.BALANCED
) -> AsyncIterator[tuple[Rig, BlockedFiles]]:
    files = BlockedFiles()
    async with open_rig(directory, script, files=files, durability=durability) as rig:
        try:
            yield rig, files
        finally:
            files.release()


async def until_standing_still(files: BlockedFiles) -> None:
    while not files.waiting.is_set():
        await trio.sleep(0.002)
    await wait_all_tasks_blocked(SETTLED_S)


# --- what is recorded is what went over the wire -----------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "body", "answered"),
    [
        (b"GET", 200, b"", b'{"kind":"PodList"}'),
        (b"GET", 404, b"", b'{"kind":"Status","code":404}'),
        (b"GET", 500, b"", b"boom"),
        (b"OPTIONS", 200, b"", b""),
        (b"POST", 201, b'{"kind":"Pod"}', b'{"kind":"Pod","metadata":{}}'),
        (b"PUT", 409, b"x" * SMALL_BODY_BYTES, b"conflict"),
        (b"PATCH", 200, bytes(range(256)) * 100, b"y" * 300_000),
        (b"DELETE", 200, b'{"kind":"DeleteOptions"}', b"{}"),
        (b"POST", 201, b"z" * (SMALL_BODY_BYTES + 1), b"{}"),
        (b"POST", 201, b"w" * (3 * 1024 * 1024), b"{}"),
    ],
)
@pytest.mark.parametrize("http", ["1.1", "2"])
async def test_bytes_at_the_cluster_in_the_record_and_at_the_client_are_the_same(
    tmp_path: Path, http: str, method: bytes, status: int, body: bytes, answered: bytes
) -> None:
    async with open_rig(tmp_path, says(answer(status, answered))) as rig:
        if http == "1.1":
            response = await rig.ask(method, PODS, body=body)
            got = (response.status, response.body)
        else:
            async with open_h2(rig) as client:
                heard = await client.ask(method, PODS, body=body or None)
                got = (heard.status, bytes(heard.body))
        assert got == (status, answered)
        (seen,) = rig.orc.requests
        assert (seen.method, seen.target, seen.body) == (method, PODS, body)
        await rig.ended()
        exchange = await rig.exchange()
        assert exchange.intent.http_version == http
        assert (exchange.request_body, exchange.response_body) == (body, answered)
        outcome = exchange.outcome
        assert (outcome.result, outcome.status) == ("completed", status)
        assert (outcome.request_bytes, outcome.response_bytes) == (len(body), len(answered))
        assert exchange.records[0] is exchange.intent
        assert isinstance(exchange.records[-1], Outcome)


async def test_the_head_the_cluster_got_is_the_recorded_one_and_our_credential(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        await rig.ask(b"GET", PODS, b"Accept: application/json", b"User-Agent: kubectl/v1.36.4", b"X-Evil: 1")
        (seen,) = rig.orc.requests
        intent = (await rig.exchange()).intent
        framing = {b"host", b"authorization"}
        assert [pair for pair in seen.headers if pair[0] not in framing] == list(intent.upstream_headers)
        assert intent.upstream_target == seen.target
        assert seen.header(b"audit-id") == str_uuid(intent.exchange)
        assert seen.header(b"x-evil") is None
        assert (b"x-evil", b"1") in intent.headers


def str_uuid(raw: bytes) -> bytes:
    return str(uuid.UUID(bytes=raw)).encode()


async def test_of_two_user_agents_call_and_session_name_the_first_as_the_cluster_does(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        await rig.ask(b"GET", PODS, b"User-Agent: kubectl/v1.33", b"User-Agent: other/v1")
        (opened,) = [one for one in await rig.written() if isinstance(one, SessionOpened)]
        assert opened.user_agent == (await rig.exchange()).intent.user_agent == "kubectl/v1.33"


@pytest.mark.parametrize("size", [5, SMALL_BODY_BYTES + 5, 400_000])
async def test_a_chunked_request_arrives_whole(tmp_path: Path, size: int) -> None:
    body = bytes(index % 251 for index in range(size))
    async with open_rig(tmp_path) as rig, rig.client() as client:
        await client.send(rig.request(b"POST", PODS, b"Transfer-Encoding: chunked"))
        for start in range(0, size, 7001):
            await client.send(chunk(body[start : start + 7001]))
        await client.send(LAST_CHUNK)
        assert (await client.response()).status == 200
        (seen,) = rig.orc.requests
        assert seen.body == body
        assert (await rig.exchange()).request_body == body


async def test_a_chunked_answer_stays_one_and_ends(tmp_path: Path) -> None:
    async with open_rig(tmp_path, says(CHUNKED + chunk(b"ab"), chunk(b"cd") + LAST_CHUNK)) as rig:
        response = await rig.ask(b"GET", PODS)
        assert (response.body, response.header(b"transfer-encoding")) == (b"abcd", b"chunked")
        assert (await rig.exchange()).response_body == b"abcd"


async def test_an_answer_without_length_ends_with_the_connection(tmp_path: Path) -> None:
    closing = says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        await closing(connection, request)
        with trio.move_on_after(0.5):
            await connection._stream.aclose()

    async with open_rig(tmp_path, script) as rig:
        assert (await rig.ask(b"GET", PODS)).body == b"all of it"


@pytest.mark.parametrize(
    ("method", "wire", "status"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        (b"DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"GET", b'HTTP/1.1 304 Not Modified\r\nEtag: "a"\r\n\r\n', 304),
    ],
)
async def test_an_answer_without_a_body_leaves_both_connections_usable(
    tmp_path: Path, method: bytes, wire: bytes, status: int
) -> None:
    async with open_rig(tmp_path, says(wire)) as rig, rig.client() as client:
        for _ in range(2):
            response = await client.ask(rig.request(method, PODS), to_head=method == b"HEAD")
            assert response.status == status
        assert len([c for c in rig.orc.connections if c.requests]) == 1, (
            "the upstream connection was not reused"
        )
        assert [e.response_body for e in await rig.exchanges()] == [b"", b""]


async def test_the_error_to_a_head_request_has_no_body_on_the_wire_or_in_the_record(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        response = await client.ask(rig.request(b"HEAD", PODS, token=b"wrong"), to_head=True)
        assert response.status == 401
        assert (await client.ask(rig.request(b"GET", PODS))).status == 200, "the connection is out of step"
        first, _ = await rig.exchanges()
        assert (first.response_body, first.outcome.response_bytes) == (b"", 0)


async def test_a_hundred_pipelined_calls_are_answered_and_recorded_in_order(tmp_path: Path) -> None:
    async def name_back(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(200, request.target))

    async with open_rig(tmp_path, name_back) as rig, rig.client() as client:
        targets = [PODS + b"/p%d" % number for number in range(100)]
        await client.send(b"".join(rig.request(b"GET", target) for target in targets))
        assert [(await client.response()).body for _ in targets] == targets
        assert [e.intent.target for e in await rig.exchanges()] == targets


async def test_a_client_that_waits_for_100_gets_it_and_the_cluster_never_hears_of_it(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        await client.send(rig.request(b"POST", PODS, b"Content-Length: 5", b"Expect: 100-continue"))
        assert (await client.head()).status == 100
        await client.send(b"hello")
        assert (await client.response()).status == 200
        (seen,) = rig.orc.requests
        assert seen.body == b"hello"
        assert b"expect" not in seen.names()


# --- the order of recording and sending ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"POST", PODS),
        (b"DELETE", PODS + b"/p"),
        (b"GET", b"/api/v1/namespaces/default/secrets/s"),
        (b"PATCH", PODS + b"/p"),
    ],
)
async def test_a_mutation_sends_nothing_upstream_before_its_intent_is_durable(
    tmp_path: Path, method: bytes, target: bytes
) -> None:
    async with blocked_rig(tmp_path) as (rig, files), rig.client() as client:
        before = rig.orc.received_bytes
        files.block()
        await client.send(rig.request(method, target))
        await until_standing_still(files)
        assert rig.orc.received_bytes == before
        files.release()
        assert (await client.response()).status == 200
        assert len(rig.orc.requests) == 1


async def test_strict_makes_a_plain_read_wait_too(tmp_path: Path) -> None:
    async with blocked_rig(tmp_path, durability=Durability.STRICT) as (rig, files), rig.client() as client:
        files.block()
        await client.send(rig.request(b"GET", PODS))
        await until_standing_still(files)
        assert rig.orc.received_bytes == 0
        files.release()
        assert (await client.response()).status == 200


async def test_a_read_is_forwarded_at_once_but_answered_only_when_its_intent_is_durable(
    tmp_path: Path,
) -> None:
    async with blocked_rig(tmp_path) as (rig, files), rig.client() as client, trio.open_nursery() as nursery:
        got: list[int] = []

        async def read() -> None:
            got.append((await client.response()).status)

        files.block()
        await client.send(rig.request(b"GET", PODS))
        nursery.start_soon(read)
        await rig.orc.wait(lambda: rig.orc.requests)
        await until_standing_still(files)
        assert client.received_bytes == 0
        files.release()
        await rig.ended(lambda: got)
        assert got == [200]


async def test_the_answer_to_a_mutation_waits_for_its_outcome(tmp_path: Path) -> None:
    files = BlockedFiles()

    async def block_then_answer(connection: OrcConnection, request: SeenRequest) -> None:
        files.block()
        await connection.send(answer())

    async with open_rig(tmp_path, block_then_answer, files=files) as rig, rig.client() as client:
        try:
            await client.send(rig.request(b"POST", PODS, body=b"{}"))
            with trio.move_on_after(0.3) as scope:
                await client.response()
            assert scope.cancelled_caught
            assert files.waiting.is_set()
            assert client.received_bytes == 0
        finally:
            files.release()
        assert (await client.response()).status == 200
        assert (await rig.exchange()).outcome.result == "completed"


async def test_a_small_body_is_durable_together_with_its_intent(tmp_path: Path) -> None:
    files = BlockedFiles()
    seen_in_log: list[bytes] = []

    async def look(connection: OrcConnection, request: SeenRequest) -> None:
        seen_in_log.extend(r.data for r in read_log(tmp_path / "data") if isinstance(r, RequestBody))
        await connection.send(answer())

    async with open_rig(tmp_path, look, files=files) as rig:
        await rig.ask(b"POST", PODS, body=b"small")
        assert seen_in_log == [b"small"]


async def test_the_end_of_a_large_body_goes_upstream_only_when_all_of_it_is_durable(tmp_path: Path) -> None:
    files = BlockedFiles()
    body = b"b" * (SMALL_BODY_BYTES + 60_000)

    async def block(connection: OrcConnection, request: SeenRequest) -> None:
        files.block()

    async with open_rig(tmp_path, files=files) as rig, rig.client() as client:
        rig.orc.on_head = block
        try:
            request = rig.request(b"POST", PODS, body=body)
            await client.send(request[:-1])
            await rig.orc.wait(lambda: rig.orc.requests)
            await client.send(request[-1:])
            await until_standing_still(files)
            (seen,) = rig.orc.requests
            assert not seen.complete
            assert len(seen.body) < len(body)
        finally:
            files.release()
        assert (await client.response()).status == 200
        assert seen.body == body
        (ended,) = (await rig.exchange()).all(RequestEnded)
        assert ended.body_bytes == len(body)


# --- bodies that are too large, too late or not wanted ------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_beyond_the_limit_is_refused_and_never_complete_upstream(
    tmp_path: Path, framing: str
) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                if framing == "length":
                    size = b"Content-Length: %d" % (MAX_BODY_BYTES + 1)
                    await client.send(rig.request(b"POST", PODS, size))
                    return
                await client.send(rig.request(b"POST", PODS, b"Transfer-Encoding: chunked"))
                for _ in range(MAX_BODY_BYTES // 65536 + 2):
                    await client.send(chunk(b"x" * 65536))
            except trio.BrokenResourceError:
                pass

        nursery.start_soon(send)
        response = await client.response()
        assert response.status == 413
        assert b"RequestEntityTooLarge" in response.body
        assert not any(seen.complete for seen in rig.orc.requests)
        await rig.ended()
        assert (await rig.exchange()).outcome.result == "refused"
        nursery.cancel_scope.cancel()


async def test_an_early_answer_reaches_the_client_while_its_body_is_still_coming(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        rig.orc.on_head = says(answer(403, b"no"))
        await client.send(rig.request(b"POST", PODS, b"Content-Length: 1000000") + b"x" * 100_000)
        response = await client.response()
        assert (response.status, response.body) == (403, b"no")
        await rig.ended()
        outcome = (await rig.exchange()).outcome
        assert (outcome.result, outcome.status) == ("completed", 403)
        assert outcome.request_bytes <= 100_000
        # The connection upstream is in the middle of a request and must not carry another one.
        rig.orc.on_head = None
        assert (await rig.ask(b"GET", PODS)).status == 200
        assert len([c for c in rig.orc.connections if c.requests]) == 2


async def test_a_client_that_leaves_in_its_body_is_recorded_as_gone(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        async with rig.client() as client:
            await client.send(rig.request(b"POST", PODS, b"Content-Length: 200000") + b"x" * 100_000)
            await rig.orc.wait(lambda: rig.orc.requests)
        await rig.ended()
        assert (await rig.exchange()).outcome.result == "client-left"
        assert not rig.orc.requests[0].complete


async def test_a_malformed_body_is_answered_and_never_complete_upstream(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        response = await client.ask(rig.request(b"POST", PODS, b"Transfer-Encoding: chunked") + b"zz\r\n")
        assert response.status == 400
        assert rig.orc.requests == []
        assert (await rig.exchange()).outcome.result == "refused"


# --- when the API server misbehaves -----------------------------------------------------------------


def dies_on_second_request() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        if len(connection.requests) == 1:
            await connection.send(answer(200, b"first"))
        else:
            await connection.close()

    return script


async def test_a_read_on_a_dying_kept_connection_is_repeated_once_and_nobody_notices(tmp_path: Path) -> None:
    async with open_rig(tmp_path, dies_on_second_request()) as rig, rig.client() as client:
        for _ in range(2):
            assert (await client.ask(rig.request(b"GET", PODS))).body == b"first"
        assert len(rig.orc.requests) == 3
        assert [e.outcome.result for e in await rig.exchanges()] == ["completed"] * 2


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE"])
async def test_a_mutation_is_never_repeated(tmp_path: Path, method: bytes) -> None:
    async with open_rig(tmp_path, dies_on_second_request()) as rig, rig.client() as client:
        await client.ask(rig.request(b"GET", PODS))
        response = await client.ask(rig.request(method, PODS))
        assert response.status == 502
        assert [seen.method for seen in rig.orc.requests].count(method) == 1
        assert (await rig.exchanges())[-1].outcome.result == "failed"


async def test_a_read_is_repeated_only_once_and_only_without_an_answer(tmp_path: Path) -> None:
    async def dies(connection: OrcConnection, request: SeenRequest) -> None:
        if request.target.endswith(b"/good"):
            await connection.send(answer())
            return
        if request.target.endswith(b"/half"):
            await connection.send(b"HTTP/1.1 200")
        await connection.close()

    async with open_rig(tmp_path, dies) as rig, rig.client() as client:
        await client.ask(rig.request(b"GET", PODS + b"/good"))
        assert (await client.ask(rig.request(b"GET", PODS + b"/never"))).status == 502
        assert [seen.target for seen in rig.orc.requests].count(PODS + b"/never") == 2
        await client.ask(rig.request(b"GET", PODS + b"/good"))
        assert (await client.ask(rig.request(b"GET", PODS + b"/half"))).status == 502
        assert [seen.target for seen in rig.orc.requests].count(PODS + b"/half") == 1


async def test_an_answer_that_ends_behind_its_head_is_answered_with_a_status(tmp_path: Path) -> None:
    script = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", then_close=True)
    async with open_rig(tmp_path, script) as rig:
        for method in (b"GET", b"DELETE"):
            answered = await rig.ask(method, PODS)
            assert answered.status == 502
            assert b"the server ended the connection within a response" in answered.body
        assert [seen.method for seen in rig.orc.requests] == [b"GET", b"DELETE"]
        assert [one.outcome.status for one in await rig.exchanges()] == [502, 502]


async def test_a_connection_closed_while_idle_costs_nobody_a_call(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as client:
        await client.ask(rig.request(b"GET", PODS))
        (used,) = [c for c in rig.orc.connections if c.requests]
        await used.close()
        assert (await client.ask(rig.request(b"POST", PODS, body=b"{}"))).status == 200


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        CHUNKED + chunk(b"only this"),
        CHUNKED + chunk(b"only this") + b"5\r\nab",
    ],
)
@pytest.mark.parametrize("http", ["1.1", "2"])
async def test_an_answer_that_breaks_off_is_never_taken_for_complete(
    tmp_path: Path, wire: bytes, http: str
) -> None:
    go_on = trio.Event()

    async def breaks_off(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(wire)
        await go_on.wait()
        await connection.close()

    async with open_rig(tmp_path, breaks_off) as rig:
        if http == "1.1":
            async with rig.client() as client:
                await client.send(rig.request(b"GET", PODS))
                await client.head()
                go_on.set()
                rest = await client.rest()
                assert b"\r\n0\r\n" not in rest
                assert len(rest) < 100
        else:
            async with open_h2(rig) as h2:
                stream_id = await h2.begin(b"GET", PODS)
                await h2.wait(lambda: h2.answers[stream_id].status)
                go_on.set()
                heard = await h2.answer(stream_id)
                assert (heard.ended, heard.reset) == (False, 2)
        await rig.ended()
        outcome = (await rig.exchange()).outcome
        assert (outcome.result, outcome.status) == ("failed", 200)


async def test_a_rejected_credential_is_renewed_and_is_not_the_clients_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_rig(tmp_path, says(answer(401, b"who?", b"WWW-Authenticate: Bearer"))) as rig:
        told: list[int] = []
        credential = rig.gateway.services.pool.cluster.credential
        monkeypatch.setattr(type(credential), "rejected", lambda self: told.append(401))
        response = await rig.ask(b"GET", PODS)
        assert (response.status, response.header(b"www-authenticate")) == (503, None)
        assert told == [401]


async def test_a_redirect_to_elsewhere_is_not_handed_down(tmp_path: Path) -> None:
    async with open_rig(tmp_path, says(answer(302, b"", b"Location: https://evil.example/"))) as rig:
        response = await rig.ask(b"GET", PODS)
        assert response.status == 502
        assert response.header(b"location") is None
        assert (await rig.exchange()).response_body == response.body


# --- calls that last ------------------------------------------------------------------------------------


def one_event_then_silence() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(CHUNKED + chunk(EVENT))
        connection.raw = True
        await connection.receive()

    return script


@pytest.mark.parametrize("target", [WATCH, PODS + b"/p/log?follow=true", b"/api/v1/watch/pods"])
async def test_an_event_is_passed_on_the_moment_it_comes_and_leaving_ends_it_within_a_second(
    tmp_path: Path, target: bytes
) -> None:
    async with open_rig(tmp_path, one_event_then_silence()) as rig:
        async with rig.client() as client:
            await client.send(rig.request(b"GET", target))
            await client.head()
            with trio.fail_after(1):
                assert await client.chunk() == EVENT
        with trio.fail_after(1):
            await next(c for c in rig.orc.connections if c.requests).ended.wait()
        await rig.ended()
        exchange = await rig.exchange()
        assert (exchange.outcome.result, exchange.response_body) == ("client-left", EVENT)


async def test_a_cancelled_stream_of_http_2_ends_its_watch_and_no_other(tmp_path: Path) -> None:
    async with open_rig(tmp_path, one_event_then_silence()) as rig, open_h2(rig) as client:
        first, second = [await client.begin(b"GET", WATCH) for _ in range(2)]
        await client.wait(lambda: all(client.answers[s].body == EVENT for s in (first, second)))
        assert len(rig.gateway.services.live) == 2
        client.h2.reset_stream(first, 8)
        await client.flush()
        with trio.fail_after(1):
            await rig.orc.wait(lambda: sum(c.ended.is_set() for c in rig.orc.connections) == 1)
        await rig.ended(lambda: len(rig.gateway.services.live) == 1)
        assert [len(e.all(Outcome)) for e in await rig.exchanges()] in ([1, 0], [0, 1])


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_lost_http_2_connection_is_recorded_as_the_clients_leaving(tmp_path: Path, how: str) -> None:
    async with open_rig(tmp_path, one_event_then_silence()) as rig:
        async with open_h2(rig) as client:
            stream_id = await client.begin(b"GET", WATCH)
            await client.wait(lambda: client.answers[stream_id].body == EVENT)
            if how == "reset":
                sock = client.raw.stream.transport_stream.socket
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await rig.ended()
        assert (await rig.exchange()).outcome.result == "client-left"


@pytest.mark.parametrize("http", ["1.1", "2"])
async def test_a_short_call_nobody_waits_for_any_more_is_given_up(tmp_path: Path, http: str) -> None:
    async def never(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.receive()

    async with open_rig(tmp_path, never) as rig:
        if http == "1.1":
            async with rig.client() as client:
                await client.send(rig.request(b"GET", PODS))
                await rig.orc.wait(lambda: rig.orc.requests)
        else:
            async with open_h2(rig) as h2:
                await h2.begin(b"GET", PODS)
                await rig.orc.wait(lambda: rig.orc.requests)
        with trio.fail_after(3):
            await rig.ended()
        assert (await rig.exchange()).outcome.result == "client-left"
        assert next(c for c in rig.orc.connections if c.requests).ended.is_set()


async def test_a_client_that_does_not_read_stops_the_reading_upstream(tmp_path: Path) -> None:
    sent = 0

    async def endless(connection: OrcConnection, request: SeenRequest) -> None:
        nonlocal sent
        await connection.send(CHUNKED)
        while True:
            await connection.send(chunk(b"x" * 65536))
            sent += 65536

    async with open_rig(tmp_path, endless) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", WATCH))
        await client.head()
        previous = -1
        while sent != previous:
            previous = sent
            await trio.sleep(0.4)
        assert sent < 40 << 20, "only the sockets' buffers and a bounded queue may fill"
        assert len(rig.gateway.services.live) == 1


async def test_a_watch_outlives_the_time_limits_of_short_calls(tmp_path: Path) -> None:
    """Two events with more than the gateway's patience between them."""

    async def two(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(CHUNKED + chunk(EVENT))
        await trio.sleep(1.2)
        await connection.send(chunk(EVENT) + LAST_CHUNK)

    async with open_rig(tmp_path, two) as rig:
        for target in (WATCH, PODS):
            assert (await rig.ask(b"GET", target)).body == EVENT * 2
        assert [e.outcome.result for e in await rig.exchanges()] == ["completed"] * 2


# --- cut ------------------------------------------------------------------------------------------------


async def test_a_call_that_is_cut_says_why_and_ends_its_connection_with_all_that_waits_behind_it(
    tmp_path: Path,
) -> None:
    async with open_rig(tmp_path, never_answers) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", PODS) * 2)
        await rig.orc.wait(lambda: rig.orc.requests)
        await wait_all_tasks_blocked(SETTLED_S)
        assert rig.gateway.services.live.cut_where(lambda _: True, "because") == 1
        cut = await client.response()
        assert (cut.status, b"because" in cut.body, cut.header(b"connection")) == (503, True, b"close")
        assert await client.rest() == b""
        await rig.ended()
        assert [one.outcome.result for one in await rig.exchanges()] == ["cut"]
        assert len(rig.orc.requests) == 1


async def test_a_stream_of_http_2_that_is_cut_takes_no_other_with_it(tmp_path: Path) -> None:
    go_on = trio.Event()

    async def slow(connection: OrcConnection, request: SeenRequest) -> None:
        await go_on.wait()
        await connection.send(answer())

    async with open_rig(tmp_path, slow) as rig, open_h2(rig) as h2:
        first, second = await h2.begin(b"GET", PODS), await h2.begin(b"GET", PODS + b"/other")
        await rig.orc.wait(lambda: len(rig.orc.requests) == 2)
        await wait_all_tasks_blocked(SETTLED_S)
        (live,) = [one for one in rig.gateway.services.live][:1]
        live.cut("because")
        go_on.set()
        heard = sorted([(await h2.answer(first)).status, (await h2.answer(second)).status])
        assert heard == [200, 503]
        for _ in range(3):  # whichever task serves them
            assert (await h2.ask(b"GET", PODS)).status == 200


# --- the end of the gateway -----------------------------------------------------------------------------


async def _ask_and_wait(rig: Rig, request: bytes, ready: Callable[[], object]) -> None:
    async with rig.client() as client:
        await client.send(request)
        await rig.orc.wait(ready)
        await wait_all_tasks_blocked(SETTLED_S)


async def never_answers(connection: OrcConnection, request: SeenRequest) -> None:
    connection.raw = True
    await connection.receive()


@pytest.mark.parametrize(
    ("script", "request_of"),
    [
        (never_answers, lambda rig: rig.request(b"GET", PODS)),
        (never_answers, lambda rig: rig.request(b"POST", PODS, body=b"{}")),
        (never_answers, lambda rig: rig.request(b"POST", PODS, b"Content-Length: 200000") + b"x" * 100_000),
        (one_event_then_silence(), lambda rig: rig.request(b"GET", WATCH)),
        (says(CHUNKED + chunk(b"some")), lambda rig: rig.request(b"GET", PODS)),
    ],
)
async def test_cancelled_wherever_it_waits_an_exchange_leaves_its_outcome(
    tmp_path: Path, script: Script, request_of: Callable[[Rig], bytes]
) -> None:
    async with open_rig(tmp_path, script) as rig:
        async with rig.client() as client:
            await client.send(request_of(rig))
            await rig.orc.wait(lambda: rig.orc.requests)
            await wait_all_tasks_blocked(SETTLED_S)
            assert len(rig.gateway.services.live) == 1
            rig.cancel()
            assert await client.rest() is not None
    (exchange,) = rig.left()
    assert exchange.outcome.result == "cut"
