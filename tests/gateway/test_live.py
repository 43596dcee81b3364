"""Which exchanges are under way, and how those that would not end are ended."""

import trio
from trio.testing import wait_all_tasks_blocked

from gateway.live import Live


async def test_waiting_for_none_returns_when_the_last_one_ends() -> None:
    live, done, release = Live(), trio.Event(), trio.Event()

    async def one() -> None:
        with live.exchange():
            await release.wait()

    async def wait() -> None:
        await live.wait_none()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(one)
        await wait_all_tasks_blocked()
        assert len(live) == 2
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not done.is_set()
        release.set()
        await done.wait()
    assert len(live) == 0


async def test_only_what_would_not_end_by_itself_is_cut_and_the_first_reason_stays() -> None:
    live, reasons, short_done = Live(), [], trio.Event()

    async def long_running() -> None:
        with live.exchange() as exchange:
            with live.cuttable(exchange):
                assert live.long_running
                await trio.sleep_forever()
            reasons.append(exchange.reason)

    async def short() -> None:
        with live.exchange() as exchange:
            await short_done.wait()
            reasons.append(exchange.reason)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(long_running)
        nursery.start_soon(short)
        await wait_all_tasks_blocked()
        live.cut_all("first")
        live.cut_all("second")
        await wait_all_tasks_blocked()
        assert reasons == ["first"]
        short_done.set()
    assert reasons == ["first", ""]


async def test_what_becomes_long_running_after_the_cut_is_cut_at_once() -> None:
    live = Live()
    live.cut_all("over")
    with live.exchange() as exchange, trio.fail_after(1):
        with live.cuttable(exchange):
            await trio.sleep_forever()
    assert exchange.reason == "over"
    assert live.long_running == 0
