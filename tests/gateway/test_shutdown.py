"""Told to go: load balancers hear of it first."""

import trio

from gateway.shutdown import GOING_DOWN, Shutdown


async def test_readyz_says_it_before_the_drain_begins(autojump_clock: trio.testing.MockClock) -> None:
    shutdown = Shutdown(delay_s=5.0)
    assert shutdown.problem() == ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shutdown.begin)
        await trio.sleep(4.9)
        assert shutdown.problem() == GOING_DOWN
        assert not shutdown.draining.is_set()
    assert trio.current_time() == 5.0
    assert shutdown.draining.is_set()


def test_an_end_at_once_waits_for_nobody() -> None:
    shutdown = Shutdown(delay_s=5.0)
    shutdown.begin_at_once()
    assert shutdown.problem() == GOING_DOWN
    assert shutdown.draining.is_set()
