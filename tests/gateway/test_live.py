"""Which exchanges are under way, and how those that would not end are ended."""

import trio
from trio.testing import wait_all_tasks_blocked

from gateway.errors import CUT, REVOKED
from gateway.live import Live, LiveExchange
from gateway.principal import Principal


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


async def test_a_part_within_a_nursery_is_cut_through_it_and_behind_the_part_all_of_it_is() -> None:
    live = Live()
    with trio.fail_after(1), trio.CancelScope() as whole, live.exchange(whole=whole) as exchange:
        async with trio.open_nursery() as nursery:
            with live.cuttable_within(exchange, nursery.cancel_scope):
                nursery.start_soon(trio.sleep_forever)
                live.cut_all("over")
                await trio.sleep_forever()
        assert exchange.reason == "over"
        assert not whole.cancel_called
    with trio.fail_after(1), trio.CancelScope() as whole, live.exchange(whole=whole) as late:
        async with trio.open_nursery() as nursery:
            with live.cuttable_within(late, nursery.cancel_scope):  # all that begins now is over at once
                await trio.sleep_forever()
        assert late.reason == "over"
    live = Live()
    with trio.fail_after(1), trio.CancelScope() as whole, live.exchange(whole=whole) as behind:
        async with trio.open_nursery() as nursery:
            with live.cuttable_within(behind, nursery.cancel_scope):
                pass
        live.cut_all("over")
        await trio.sleep_forever()
    assert whole.cancelled_caught


async def test_what_becomes_long_running_after_the_cut_is_cut_at_once() -> None:
    live = Live()
    live.cut_all("over")
    with live.exchange() as exchange, trio.fail_after(1):
        with live.cuttable(exchange):
            await trio.sleep_forever()
    assert exchange.reason == "over"
    assert live.long_running == 0


def test_an_exchange_that_is_not_identified_belongs_to_nobody() -> None:
    live = LiveExchange()
    assert (live.user, live.issuer, live.credential_id, live.session) == ("", "", "", "")
    live.identify(Principal("ann", (), "oidc", "c1", issuer="https://issuer"), "S1")
    assert (live.user, live.issuer, live.credential_id, live.session) == ("ann", "https://issuer", "c1", "S1")


async def test_cut_where_ends_short_calls_too_and_only_those_it_is_asked_to() -> None:
    live, ended = Live(), []
    release = trio.Event()

    async def call(session: str, long: bool) -> None:
        whole = trio.CancelScope()
        with live.exchange(7, whole) as exchange:
            exchange.identify(Principal("ann", (), "oidc", "c1"), session)
            with whole:
                if long:
                    with live.cuttable(exchange):
                        await release.wait()
                    ended.append(("said goodbye", session, exchange.reason))
                else:
                    await release.wait()
                    ended.append(("answered", session, exchange.reason))
            if whole.cancelled_caught:
                ended.append(("cut", session, exchange.reason))
                assert exchange.answer is REVOKED

    async with trio.open_nursery() as nursery:
        for session in ("S1", "S2"):
            nursery.start_soon(call, session, False)
            nursery.start_soon(call, session, True)
        await wait_all_tasks_blocked()
        assert live.cut_where(lambda one: one.session == "S1", "revoked", REVOKED) == 2
        await wait_all_tasks_blocked()
        assert sorted(ended) == [("cut", "S1", "revoked"), ("said goodbye", "S1", "revoked")]
        assert {(one.session, one.answer, one.started_ns) for one in live} == {("S2", CUT, 7)}
        release.set()
    assert sorted(ended)[0] == ("answered", "S2", "")


async def test_what_comes_after_the_cuttable_part_can_still_be_cut() -> None:
    live, whole = Live(), trio.CancelScope()
    with live.exchange(whole=whole) as exchange, trio.fail_after(1):
        with whole:
            with live.cuttable(exchange):
                pass
            exchange.cut("too late to say goodbye")
            await trio.sleep_forever()
        assert whole.cancelled_caught


async def test_what_ends_by_itself_is_cut_no_more_and_knows_whether_it_was() -> None:
    live = Live()
    with live.exchange() as exchange, trio.fail_after(1), exchange.whole:
        assert exchange.close() is False
        exchange.cut("too late")
        await trio.lowlevel.checkpoint()
        assert (exchange.reason, exchange.whole.cancel_called) == ("", False)
    with live.exchange() as exchange:
        exchange.cut("in time")
        assert exchange.close() is True


async def test_an_exchange_can_be_cut_with_a_scope_that_somebody_else_entered() -> None:
    live = Live()
    with trio.CancelScope() as whole, trio.fail_after(1):
        with live.exchange(7, whole) as exchange:
            exchange.cut("because")
            await trio.sleep_forever()
    assert whole.cancelled_caught
    assert len(live) == 0
