"""Budgets on real calls: counted, held at the limit, raised by people, frozen, and cut in mid-stream."""

from pathlib import Path

import trio

from protocol.events import Channel
from storage.records import BudgetCrossed, HoldEnded
from tests.kit.gateway_rig import Rig
from tests.kit.orc import answer, says
from tests.kit.policed_rig import (
    HEAD,
    approve,
    ask_and,
    next_hold,
    open_policed,
    open_policed_cluster,
    refuse,
    the_call,
)
from tests.kit.session_client import exit_code, open_session

MAPS = b"/api/v1/namespaces/default/configmaps/"
ALLOW = "rules:\n- {name: all, action: allow}\n"
HELD = HEAD + ALLOW + "budgets:\n- {name: few, deletes: 2, hold: {approvers: {groups: [sre]}, wait: 1m}}\n"
FROZEN = HEAD + ALLOW + "budgets:\n- {name: few, deletes: 2, action: freeze}\n"
SECRETS = HEAD + ALLOW + "budgets:\n- {name: few, secretsRead: 2, action: freeze}\n"
BYTES = HEAD + ALLOW + "budgets:\n- {name: little, bytesOut: 100000, action: freeze}\n"


async def delete(rig: Rig, name: bytes) -> int:
    return (await rig.ask(b"DELETE", MAPS + name)).status


async def test_at_the_limit_people_are_asked_and_give_another_limits_worth(tmp_path: Path) -> None:
    async with open_policed(tmp_path, HELD) as rig:
        assert [await delete(rig, b"a"), await delete(rig, b"b")] == [200, 200]

        async def bob() -> None:
            await approve(rig, await next_hold(rig))

        assert (await ask_and(rig, rig.request(b"DELETE", MAPS + b"c"), bob)).status == 200
        assert await delete(rig, b"d") == 200
        assert (await rig.ask(b"DELETE", MAPS + b"e?timeout=1s")).status == 429
        crossed = [one for exchange in await rig.exchanges() for one in exchange.all(BudgetCrossed)]
        assert [(one.rule, one.counter, one.limit, one.action) for one in crossed] == [
            ("p/few", "deletes", 2, "hold"),
            ("p/few", "deletes", 4, "hold"),
        ]


async def test_a_budget_that_people_do_not_raise_refuses(tmp_path: Path) -> None:
    async with open_policed(tmp_path, HELD) as rig:
        await delete(rig, b"a")
        await delete(rig, b"b")

        async def bob() -> None:
            await refuse(rig, await next_hold(rig), "enough for today")

        got = await ask_and(rig, rig.request(b"DELETE", MAPS + b"c"), bob)
        assert got.status == 403
        assert b"enough for today" in got.body
        deleted = [one.target for one in rig.orc.requests if one.method == b"DELETE"]
        assert deleted == [MAPS + b"a", MAPS + b"b", MAPS + b"c?dryRun=All"]  # the last is what bob saw


async def test_a_freeze_ends_everything_of_the_session(tmp_path: Path) -> None:
    async with open_policed(tmp_path, FROZEN) as rig:
        assert [await delete(rig, b"a"), await delete(rig, b"b"), await delete(rig, b"c")] == [200, 200, 403]
        got = await rig.ask(b"GET", MAPS + b"a")
        assert got.status == 403
        assert len(rig.orc.requests) == 2
        third = (await rig.exchanges())[2]
        assert [one.action for one in third.all(BudgetCrossed)] == ["freeze"]
        assert third.all(HoldEnded) == []


async def test_a_list_of_secrets_is_counted_before_it_is_shown(tmp_path: Path) -> None:
    found = b'{"kind":"SecretList","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}},{"metadata":{"name":"c"}}]}'
    async with open_policed(tmp_path, SECRETS, says(answer(200, found))) as rig:
        got = await rig.ask(b"GET", b"/api/v1/namespaces/default/secrets")
        assert got.status == 403
        assert b'"c"' not in (await the_call(rig)).response_body


async def test_bytes_of_an_exec_are_counted_and_it_is_cut_with_the_reason(tmp_path: Path) -> None:
    read = b"/api/v1/namespaces/default/pods/web/exec?container=web&stdout=true&stderr=true"
    read += b"&command=cat&command=/big/64MiB.bin"
    async with open_policed_cluster(tmp_path, BYTES) as (rig, _):
        async with open_session(rig, read) as session:
            channels = await session.end()
        assert b"kubetape policy p/little" in channels[Channel.STDERR]
        assert exit_code(channels[Channel.ERROR]) == -1
        assert len(channels[Channel.STDOUT]) < 2_000_000
        exchange = await the_call(rig)
        assert exchange.outcome.result == "cut"
        (crossed,) = exchange.all(BudgetCrossed)
        assert (crossed.counter, crossed.limit, crossed.action) == ("bytesOut", 100_000, "freeze")
        with trio.fail_after(5):
            assert (await rig.ask(b"GET", MAPS + b"a")).status == 403
