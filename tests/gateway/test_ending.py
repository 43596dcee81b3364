"""A call that is cut is told why if its answer has not begun, and is visibly broken off if it has."""

import json
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway.ending import answer_error
from gateway.errors import EXPIRED, FORBIDDEN, REVOKED, Answer, Refusal
from gateway.server.request import ConnectionFacts
from gateway.tape import Tape
from protocol.events import BodyChunk, Event, RequestHead, ResponseHead
from protocol.status import Cause, Details
from tests.kit.blocked_files import BlockedFiles
from tests.kit.gateway_rig import Rig, open_rig
from tests.kit.h2_client import open_h2
from tests.kit.orc import CHUNKED, OrcConnection, SeenRequest, answer, chunk, says

PODS = b"/api/v1/namespaces/default/pods"
EVENT = b'{"type":"ADDED","object":{"kind":"Pod"}}\n'
WHY = "access revoked by ann: laptop stolen"


async def silent(connection: OrcConnection, request: SeenRequest) -> None:
    """The API server takes its time."""


def cut_everybody(rig: Rig, answer: Answer = REVOKED) -> None:
    live = rig.gateway.services.live
    (exchange,) = live
    assert exchange.user
    assert exchange.session
    assert live.cut_where(lambda one: one.user == exchange.user, WHY, answer) == 1
    assert live.cut_where(lambda one: one.user == exchange.user, "twice", answer) == 0


@pytest.mark.parametrize(
    ("answer", "code", "reason"), [(REVOKED, 403, "Forbidden"), (EXPIRED, 401, "Unauthorized")]
)
async def test_a_short_call_whose_answer_has_not_begun_is_told_why(
    tmp_path: Path, answer: Answer, code: int, reason: str
) -> None:
    async with open_rig(tmp_path, silent) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", PODS))
        await rig.orc.wait(lambda: rig.orc.requests)
        cut_everybody(rig, answer)
        response = await client.response()
        status = json.loads(response.body)
        assert (response.status, status["reason"], status["message"]) == (code, reason, WHY)
        await rig.ended()
        outcome = (await rig.exchange()).outcome
        assert (outcome.result, outcome.status, outcome.why) == ("cut", code, WHY)


async def test_a_mutation_the_cluster_was_already_sent_is_not_called_undone(tmp_path: Path) -> None:
    async with open_rig(tmp_path, silent) as rig, rig.client() as client:
        await client.send(rig.request(b"DELETE", PODS + b"/p"))
        await rig.orc.wait(lambda: rig.orc.requests)
        cut_everybody(rig)
        message = json.loads((await client.response()).body)["message"]
        assert message == f"{WHY}; the cluster may have carried out this call: look before you repeat it"


async def test_over_http2_a_cut_call_leaves_the_others_of_its_connection_alone(tmp_path: Path) -> None:
    async def slow_pods(connection: OrcConnection, request: SeenRequest) -> None:
        if request.target != PODS:
            await says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")(connection, request)

    async with open_rig(tmp_path, slow_pods) as rig, open_h2(rig) as client:
        stream = await client.begin(b"GET", PODS)
        await rig.orc.wait(lambda: rig.orc.requests)
        cut_everybody(rig)
        assert (await client.answer(stream)).status == 403
        assert (await client.ask(b"GET", b"/version")).status == 200


async def test_an_answer_that_has_begun_is_broken_off(tmp_path: Path) -> None:
    async with open_rig(tmp_path, says(CHUNKED + chunk(b"{"))) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", PODS))
        assert (await client.head()).status == 200
        assert await client.chunk() == b"{"
        cut_everybody(rig)
        assert b"0\r\n\r\n" not in await client.rest()
        await rig.ended()
        outcome = (await rig.exchange()).outcome
        assert (outcome.result, outcome.why) == ("cut", WHY)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_watch_is_refused_before_its_head_and_ends_with_an_event_after_it(
    tmp_path: Path, begun: bool
) -> None:
    script = says(CHUNKED + chunk(EVENT)) if begun else silent
    async with open_rig(tmp_path, script) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", PODS + b"?watch=true"))
        if begun:
            await client.head()
            assert await client.chunk() == EVENT
            cut_everybody(rig)
            event = json.loads(await client.chunk())
            status = event["object"]
            assert (event["type"], status["message"], status["code"]) == ("ERROR", WHY, 403)
        else:
            await rig.orc.wait(lambda: rig.orc.requests)
            cut_everybody(rig)
            assert (await client.response()).status == 403


async def test_a_drain_waits_for_short_calls_and_a_revocation_does_not(tmp_path: Path) -> None:
    async with open_rig(tmp_path, silent) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", PODS))
        await rig.orc.wait(lambda: rig.orc.requests)
        live = rig.gateway.services.live
        live.cut_all("shutting down")
        assert [one.reason for one in live] == [""]
        cut_everybody(rig)
        assert (await client.response()).status == 403


async def test_a_call_whose_outcome_is_recorded_keeps_it_and_its_answer_is_broken_off(
    tmp_path: Path,
) -> None:
    files = BlockedFiles()

    async def block_then_answer(connection: OrcConnection, request: SeenRequest) -> None:
        files.block()
        await connection.send(answer())

    async with open_rig(tmp_path, block_then_answer, files=files) as rig, rig.client() as client:
        await client.send(rig.request(b"DELETE", PODS + b"/p"))
        while not files.waiting.is_set():
            await trio.sleep(0.002)
        await wait_all_tasks_blocked(0.05)
        cut_everybody(rig)
        assert await client.rest() == b""
        files.release()
        await rig.ended()
        exchange = await rig.exchange()
        assert (exchange.outcome.result, exchange.outcome.status) == ("completed", 200)
        assert exchange.records[-1] is exchange.outcome


class Listener:
    """A client that keeps what it was sent."""

    head = RequestHead(method=b"GET", target=PODS, authority=b"x", headers=())
    facts = ConnectionFacts("c", "127.0.0.1:1", "127.0.0.1", "TLSv1.3")

    def __init__(self) -> None:
        self.heard: list[Event] = []

    async def send(self, *events: Event) -> None:
        self.heard += events


async def test_details_and_retry_after_go_down_with_a_refusal(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        request = Listener()
        details = Details(name="p", kind="pods", causes=(Cause("PolicyRule", "a/b"),))
        refusal = Refusal(FORBIDDEN, "no", details=details, retry_after_s=1)
        await answer_error(request, Tape(rig.gateway.recorder, bytes(16)), refusal)  # type: ignore[arg-type]
        head, body, _ = request.heard
        assert isinstance(head, ResponseHead)
        assert isinstance(body, BodyChunk)
        assert (b"retry-after", b"1") in head.headers
        assert json.loads(body.data)["details"] == {
            "name": "p",
            "kind": "pods",
            "causes": [{"reason": "PolicyRule", "message": "a/b"}],
            "retryAfterSeconds": 1,
        }
