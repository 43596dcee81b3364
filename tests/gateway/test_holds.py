"""A plain call that waits for people: joined, claimed once, refused with the reason, and what ends the waiting."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway.state.entries import HoldVoted, Voter
from storage.records import Held, HoldEnded, StateChanged, SubRequest
from tests.kit.gateway_rig import Rig
from tests.kit.h2_client import open_h2
from tests.kit.orc import OrcConnection, SeenRequest, answer
from tests.kit.policed_rig import (
    BOB,
    CAROL,
    approve,
    ask_and,
    next_hold,
    open_policed,
    refuse,
    revoke,
    rules,
    the_call,
    user_of,
    write_policy,
)
from tests.kit.raw_client import Response

MAPS = b"/api/v1/namespaces/default/configmaps/"
HELD = (
    "{name: held, match: {verbs: [delete], resources: [configmaps]}, "
    "action: {hold: {approvers: {groups: [sre]}, wait: 1m, reason: deletes are looked at}}}"
)
ONE_BY_ONE = HELD.replace("wait: 1m", "wait: 1m, scope: request")
BY_TWO = HELD.replace("groups: [sre]", "groups: [sre], quorum: 2")
SHORT = HELD.replace("wait: 1m", "wait: 1s")
RUN = b"Kubectl-Session: 7d3b6f1e-0000-4000-8000-000000000001"
OTHER_RUN = b"Kubectl-Session: 7d3b6f1e-0000-4000-8000-000000000002"


def delete(rig: Rig, name: bytes = b"m", *fields: bytes, body: bytes = b"") -> bytes:
    return rig.request(b"DELETE", MAPS + name, *fields, body=body)


def deleted(rig: Rig) -> list[bytes]:
    """What was deleted for real, in order."""
    found = [(one.method, one.target) for one in rig.orc.requests]
    return [
        target.rpartition(b"/")[2]
        for method, target in found
        if method == b"DELETE" and b"dryRun" not in target
    ]


async def come_back(rig: Rig, name: bytes, *fields: bytes) -> bool:
    """Whether a client that has no patience is told to come back."""
    return (await rig.ask(b"DELETE", MAPS + name + b"?timeout=1s", *fields)).status == 429


async def waiting(rig: Rig, count: int = 1) -> None:
    """Until so many calls wait for people."""
    while rig.gateway.services.live.long_running < count:
        await trio.sleep(0.002)
    await wait_all_tasks_blocked(0.01)


async def test_a_held_call_waits_and_goes_ahead_when_it_is_approved(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            hold = await next_hold(rig)
            await waiting(rig)
            assert deleted(rig) == []
            await approve(rig, hold, note="go on")

        assert (await ask_and(rig, delete(rig), bob)).status == 200
        assert deleted(rig) == [b"m"]


async def test_the_record_tells_who_waited_for_whom_and_how_it_ended(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            await approve(rig, await next_hold(rig), note="go on")

        await ask_and(rig, delete(rig), bob)
        exchange = await the_call(rig)
        (held,), (ended,) = exchange.all(Held), exchange.all(HoldEnded)
        hold = await next_hold(rig)
        assert exchange.intent.verdict.action == "hold"
        assert (held.hold, held.rules, held.digest.hex(), held.joined) == (
            hold.id,
            ("p/held", "p/all"),
            hold.request.digest,
            False,
        )
        assert (ended.hold, ended.result, ended.by, ended.note) == (hold.id, "approved", ("bob",), "go on")
        kinds = [one.kind for one in await rig.written() if isinstance(one, StateChanged)]
        assert kinds == ["HoldRequested", "HoldVoted", "HoldUsed"]


async def test_the_approver_sees_the_exact_call_and_what_a_dry_run_says(tmp_path: Path) -> None:
    async def cluster(connection: OrcConnection, request: SeenRequest) -> None:
        data = {"colour": "red"} if request.method == b"GET" else {"colour": "blue"}
        found = {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}
        await connection.send(answer(200, json.dumps(found).encode()))

    patching = HELD.replace("verbs: [delete]", "verbs: [patch]")
    async with open_policed(tmp_path, rules(patching), cluster) as rig:
        merge = b"Content-Type: application/merge-patch+json"
        body = b'{"data":{"colour":"blue"}}'
        request = rig.request(b"PATCH", MAPS + b"m", merge, RUN, b"Kubectl-Command: kubectl patch", body=body)

        async def bob() -> None:
            asked = (await next_hold(rig)).request
            assert (asked.method, asked.target, asked.verb, asked.body) == (
                "PATCH",
                (MAPS + b"m").decode(),
                "patch",
                body.decode(),
            )
            assert '-    "colour": "red"' in asked.diff
            assert '+    "colour": "blue"' in asked.diff
            assert (asked.kubectl_command, asked.reason) == ("kubectl patch", "deletes are looked at")
            await approve(rig, await next_hold(rig))

        await ask_and(rig, request, bob)
        exchange = await the_call(rig)
        purposes = [(one.purpose, one.status) for one in exchange.all(SubRequest)]
        assert purposes == [("old-object", 0), ("old-object", 200), ("dry-run", 0), ("dry-run", 200)]
        tried, real = [one for one in rig.orc.requests if one.method == b"PATCH"]
        assert tried.target.endswith(b"?dryRun=All")
        assert (tried.body, real.body, real.target) == (body, body, MAPS + b"m")


async def test_after_a_while_the_client_is_told_to_come_back_and_joins_its_hold(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD), patience_s=1) as rig, rig.client() as client:
        first = await client.ask(delete(rig))
        assert (first.status, first.header(b"retry-after")) == (429, b"1")
        status = json.loads(first.body)
        assert status["details"]["retryAfterSeconds"] == 1
        assert "waiting for approval" in status["message"]

        async def bob() -> None:
            await waiting(rig)
            await approve(rig, await next_hold(rig))

        assert (await ask_and(rig, delete(rig), bob, client=client)).status == 200
        await rig.ended()
        told, joined = await rig.exchanges()
        assert [one.result for one in told.all(HoldEnded) + joined.all(HoldEnded)] == ["retry", "approved"]
        assert [one.joined for one in told.all(Held) + joined.all(Held)] == [False, True]
        assert len({one.hold for one in told.all(Held) + joined.all(Held)}) == 1


async def test_a_client_that_says_how_long_it_waits_is_answered_before(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        began_s = trio.current_time()
        got = await rig.ask(b"DELETE", MAPS + b"m?timeout=2s")
        assert got.status == 429
        assert trio.current_time() - began_s < 10


async def test_of_two_attempts_of_one_request_exactly_one_goes_ahead(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD), patience_s=1) as rig:
        answers: list[Response] = []

        async def attempt() -> None:
            async with rig.client() as client:
                answers.append(await client.ask(delete(rig)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt)
            nursery.start_soon(attempt)
            hold = await next_hold(rig)
            await waiting(rig, 2)
            await approve(rig, hold)
        assert sorted(one.status for one in answers) == [200, 429]
        assert deleted(rig) == [b"m"]


async def test_an_approval_is_used_once(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            await approve(rig, await next_hold(rig))

        assert (await ask_and(rig, delete(rig), bob)).status == 200
        assert await come_back(rig, b"m")
        first, second = await next_hold(rig), await next_hold(rig, 2)
        assert first.id != second.id
        assert deleted(rig) == [b"m"]


async def test_an_approval_is_of_no_use_for_another_request(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        body = b'{"kind":"DeleteOptions","propagationPolicy":"Orphan"}'
        json_type = b"Content-Type: application/json"
        assert await come_back(rig, b"m")
        await approve(rig, await next_hold(rig))
        assert await come_back(rig, b"other")
        later = await rig.ask(b"DELETE", MAPS + b"m?timeout=1s", json_type, body=body)
        assert later.status == 429
        assert (await rig.ask(b"DELETE", MAPS + b"m")).status == 200
        assert deleted(rig) == [b"m"]


async def test_a_denial_is_told_with_its_note_and_asked_anew_the_next_time(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            await refuse(rig, await next_hold(rig), "not on a Friday")

        got = await ask_and(rig, delete(rig), bob)
        status = json.loads(got.body)
        assert got.status == 403
        assert 'denied by bob: "not on a Friday"' in status["message"]
        hold = await next_hold(rig)
        assert {"reason": "Approval", "message": hold.id} in status["details"]["causes"]
        (ended,) = (await the_call(rig)).all(HoldEnded)
        assert (ended.result, ended.by, ended.note) == ("denied", ("bob",), "not on a Friday")
        assert await come_back(rig, b"m")
        assert deleted(rig) == []


async def test_nobody_decides_in_time(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(SHORT)) as rig:
        got = await rig.ask(b"DELETE", MAPS + b"m")
        assert got.status == 403
        assert b"nobody approved" in got.body
        (ended,) = (await the_call(rig)).all(HoldEnded)
        assert ended.result == "expired"
        assert deleted(rig) == []


@pytest.mark.parametrize("spelling", [str, str.upper])
async def test_a_vote_of_the_requester_does_not_count(tmp_path: Path, spelling: Callable[[str], str]) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        assert await come_back(rig, b"m")
        await approve(rig, await next_hold(rig), Voter(spelling(user_of(rig)), ("sre",), "https://elsewhere"))
        assert await come_back(rig, b"m")
        assert deleted(rig) == []


async def test_a_vote_of_somebody_who_is_not_asked_does_not_count(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD), patience_s=1) as rig:
        assert await come_back(rig, b"m")
        await approve(rig, await next_hold(rig), Voter("mallory", ("dev",)))
        assert await come_back(rig, b"m")


async def test_a_quorum_needs_different_people(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(BY_TWO)) as rig:
        assert await come_back(rig, b"m")
        await approve(rig, await next_hold(rig), BOB)
        assert await come_back(rig, b"m")
        await approve(rig, await next_hold(rig), CAROL)
        assert (await rig.ask(b"DELETE", MAPS + b"m")).status == 200
        *_, last = await rig.exchanges()
        (ended,) = last.all(HoldEnded)
        assert ended.by == ("bob", "carol")


async def delete_five(rig: Rig, *fields: bytes) -> list[int]:
    async with rig.client() as client:
        names = (b"a", b"b", b"c", b"d", b"e")
        return [(await client.ask(delete(rig, name, *fields))).status for name in names]


async def test_one_approval_covers_what_a_command_fans_out_to(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig, trio.open_nursery() as nursery:

        async def bob() -> None:
            await approve(rig, await next_hold(rig))

        nursery.start_soon(bob)
        assert await delete_five(rig, RUN) == [200] * 5
        assert deleted(rig) == [b"a", b"b", b"c", b"d", b"e"]
        state = rig.gateway.services.state
        assert len(state.view.holds(state.now_ns())) == 1


async def test_calls_of_one_command_that_wait_together_go_ahead_together(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        async with open_h2(rig) as client:
            streams = [
                await client.begin(b"DELETE", MAPS + name, (b"kubectl-session", RUN.split(b": ")[1]))
                for name in (b"a", b"b", b"c")
            ]
            hold = await next_hold(rig)
            await waiting(rig, 3)
            await approve(rig, hold)
            assert [(await client.answer(stream)).status for stream in streams] == [200] * 3
        state = rig.gateway.services.state
        assert len(state.view.holds(state.now_ns())) == 1


async def test_another_run_of_kubectl_is_not_covered(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        assert await come_back(rig, b"a", RUN)
        await approve(rig, await next_hold(rig))
        assert await come_back(rig, b"b", OTHER_RUN)
        assert await come_back(rig, b"c")
        assert deleted(rig) == []


async def test_a_command_is_covered_only_as_long_as_the_approver_said(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        assert await come_back(rig, b"a", RUN)
        await approve(rig, await next_hold(rig), for_s=0)
        assert await come_back(rig, b"b", RUN)
        assert (await rig.ask(b"DELETE", MAPS + b"a", RUN)).status == 200


@pytest.mark.parametrize("narrowed_by", ["rule", "approver"])
async def test_where_each_request_is_looked_at_an_approval_covers_one(
    tmp_path: Path, narrowed_by: str
) -> None:
    held = ONE_BY_ONE if narrowed_by == "rule" else HELD
    async with open_policed(tmp_path, rules(held)) as rig:
        assert await come_back(rig, b"a", RUN)
        await approve(rig, await next_hold(rig), scope="request" if narrowed_by == "approver" else "command")
        assert await come_back(rig, b"b", RUN)
        assert (await rig.ask(b"DELETE", MAPS + b"a", RUN)).status == 200
        assert deleted(rig) == [b"a"]


async def test_a_client_that_leaves_claims_nothing_and_its_retry_goes_ahead(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        async with rig.client() as client:
            await client.send(delete(rig))
            hold = await next_hold(rig)
            await waiting(rig)
            await client.vanish()
            await rig.ended()
        await approve(rig, hold)
        exchange = await rig.exchange()
        assert exchange.outcome.result == "client-left"
        assert [one.result for one in exchange.all(HoldEnded)] == ["left"]
        assert deleted(rig) == []
        assert (await rig.ask(b"DELETE", MAPS + b"m")).status == 200


async def test_revoking_the_requester_ends_the_waiting_and_the_approval_is_not_used(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            await next_hold(rig)
            await waiting(rig)
            await revoke(rig, "user", user_of(rig))

        got = await ask_and(rig, delete(rig), bob)
        assert got.status == 403
        assert b"access revoked by bob: laptop lost" in got.body
        (ended,) = (await the_call(rig)).all(HoldEnded)
        assert ended.result == "revoked"
        await approve(rig, await next_hold(rig))
        assert (await rig.ask(b"DELETE", MAPS + b"m")).status == 403
        assert deleted(rig) == []


async def test_a_revoked_hold_refuses_who_waits(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            hold = await next_hold(rig)
            await waiting(rig)
            await revoke(rig, "hold", hold.id, "wrong cluster")

        assert (await ask_and(rig, delete(rig), bob)).status == 403
        assert deleted(rig) == []


DENIED = "{name: held, match: {verbs: [delete], resources: [configmaps]}, action: {deny: no more deletes}}"


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (DENIED, b"p/held: no more deletes"),
        (BY_TWO, b"the policy changed while this call waited"),
    ],
)
async def test_what_is_allowed_after_the_wait_is_what_is_allowed_now(
    tmp_path: Path, later: str, words: bytes
) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            hold = await next_hold(rig)
            write_policy(tmp_path, rules(later))
            source = rig.gateway.services.policy.source
            assert source is not None
            await source.reload()
            await approve(rig, hold)

        got = await ask_and(rig, delete(rig), bob)
        assert got.status == 403
        assert words in got.body
        assert deleted(rig) == []


async def test_a_drain_ends_the_waiting_with_a_reason(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig, rig.client() as client:
        await client.send(delete(rig))
        await next_hold(rig)
        await waiting(rig)
        rig.gateway.start_drain()
        got = await client.response()
        assert got.status == 503
        assert b"kubetape is shutting down" in got.body
        await rig.gateway.ended.wait()
        (exchange,) = rig.left()
        assert [one.result for one in exchange.all(HoldEnded)] == ["revoked"]
        assert exchange.outcome.result == "cut"


async def test_a_pending_hold_survives_a_restart_and_its_retry_joins_it(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        assert await come_back(rig, b"m")
        hold = await next_hold(rig)
    async with open_policed(tmp_path, rules(HELD)) as rig:

        async def bob() -> None:
            again = await next_hold(rig)
            assert again.id == hold.id
            await waiting(rig)
            await approve(rig, again)

        assert (await ask_and(rig, delete(rig), bob)).status == 200


async def test_an_approval_survives_a_restart_and_is_used_once(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        assert await come_back(rig, b"m")
        await approve(rig, await next_hold(rig))
    async with open_policed(tmp_path, rules(HELD)) as rig:
        assert (await rig.ask(b"DELETE", MAPS + b"m")).status == 200
        assert deleted(rig) == [b"m"]
    async with open_policed(tmp_path, rules(HELD)) as rig:
        assert await come_back(rig, b"m")
        assert deleted(rig) == []


async def test_a_vote_that_came_too_late_counts_for_nothing(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(SHORT), patience_s=1) as rig:
        await rig.ask(b"DELETE", MAPS + b"m")
        hold, state = await next_hold(rig), rig.gateway.services.state
        late_ns = hold.request.expires_ns + 1
        await state.append(HoldVoted(late_ns, hold.id, True, BOB))
        after = state.view.hold(hold.id)
        assert after is not None
        assert after.state(max(late_ns, time.time_ns())) == "expired"


async def test_when_the_state_is_away_who_waits_is_told_and_nothing_goes_ahead(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(HELD)) as rig:
        state = rig.gateway.services.state

        async def the_store_goes_away() -> None:
            await waiting(rig)
            state._stale_after_s = 0.0

        got = await ask_and(rig, delete(rig), the_store_goes_away)
        assert got.status == 503
        assert b"kubetape cannot tell whether" in got.body
        assert b"repeat the command later" in got.body
        exchange = await the_call(rig)
        (ended,) = exchange.all(HoldEnded)
        assert (ended.result, ended.by, exchange.outcome.result) == ("unknown", (), "failed")
        assert deleted(rig) == []
