"""Who may start, and who may serve, on one data directory."""

from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway.start_lock import DirectoryInUse, StartLock, only_gateway


async def test_one_starts_at_a_time_and_a_lock_is_given_back_however_the_start_ends(tmp_path: Path) -> None:
    order: list[str] = []

    async def second() -> None:
        with StartLock(tmp_path) as lock:
            await lock.take()
            order.append("second")

    async def first(nursery: trio.Nursery) -> None:
        with StartLock(tmp_path) as lock:
            await lock.take()
            nursery.start_soon(second)
            await wait_all_tasks_blocked()
            order.append("first")
            raise ValueError("broken")

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            with pytest.raises(ValueError, match="broken"):
                await first(nursery)
    assert order == ["first", "second"]


async def test_a_released_lock_may_be_released_again(tmp_path: Path) -> None:
    with StartLock(tmp_path) as lock:
        await lock.take()
        lock.release()
        with StartLock(tmp_path) as other:
            await other.take()


def test_a_directory_has_one_gateway(tmp_path: Path) -> None:
    with (
        only_gateway(tmp_path),
        pytest.raises(DirectoryInUse, match="another process"),
        only_gateway(tmp_path),
    ):
        pass
    with only_gateway(tmp_path):
        pass
