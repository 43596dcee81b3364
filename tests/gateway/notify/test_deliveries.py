"""The queue of one receiver: in order, again while it matters, never in anybody else's way."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gateway.notify import deliveries as module
from gateway.notify.deliveries import Deliveries, Parcel
from gateway.outlets.webhook_door import Answer

NOW = 1_800_000_000 * 1_000_000_000
LATER = NOW + 3600 * 1_000_000_000


class Post:
    """Answers by script, the last answer for ever; remembers what it was given."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.ids: list[str] = []

    def __call__(self, parcel: Parcel) -> Answer:
        self.ids.append(parcel.id)
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Answer(status, "no route to host" if status == 0 else "")


def parcel(name: str, until_ns: int = LATER) -> Parcel:
    return Parcel(name, "hold.requested", until_ns, b"{}")


@asynccontextmanager
async def running(
    post: Callable[[Parcel], Answer], now_ns: Callable[[], int] = lambda: NOW
) -> AsyncIterator[Deliveries]:
    queue = Deliveries("the webhook at x:1", post, now_ns)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.run)
            yield queue
            nursery.cancel_scope.cancel()


async def settled(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.001)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)


async def test_notices_are_delivered_in_order() -> None:
    post = Post(200)
    async with running(post) as queue:
        for name in "abc":
            queue.offer(parcel(name))
        await settled(lambda: queue.waiting == 0)
    assert post.ids == ["a", "b", "c"]


async def test_what_failed_is_tried_again_before_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    post = Post(0, 500, 429, 302, 404, 204)
    async with running(post) as queue:
        queue.offer(parcel("a"))
        queue.offer(parcel("b"))
        await settled(lambda: queue.waiting == 0)
        assert queue.problem == ""
    assert post.ids == ["a"] * 6 + ["b"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2  # the first trouble, and its end
    assert "no route to host" in said[0]
    assert "takes notices again" in said[1]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_refused_for_good_blocks_nothing(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    post = Post(status, 200)
    async with running(post) as queue:
        queue.offer(parcel("a"))
        queue.offer(parcel("b"))
        await settled(lambda: queue.waiting == 0)
    assert post.ids == ["a", "b"]
    assert f"was not told a: it answered {status}" in capsys.readouterr().err


async def test_a_notice_is_given_up_when_it_is_worth_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    time = [NOW]
    post = Post(0)
    async with running(post, lambda: time[0]) as queue:
        queue.offer(parcel("a", NOW + 60 * 1_000_000_000))
        await settled(lambda: len(post.ids) > 2)
        assert queue.waiting == 1  # as long as its hold lives
        time[0] = NOW + 61 * 1_000_000_000
        await settled(lambda: queue.waiting == 0)
    assert "was not told a: no route to host" in capsys.readouterr().err


async def test_a_queue_is_bounded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    go_on = threading.Event()
    post = Post(200)

    def slow(parcel: Parcel) -> Answer:
        go_on.wait(10)
        return post(parcel)

    async with running(slow) as queue:
        queue.offer(parcel("a"))
        await trio.testing.wait_all_tasks_blocked()
        for name in "bcd":
            queue.offer(parcel(name))
        assert queue.waiting == 2
        go_on.set()
        await settled(lambda: queue.waiting == 0)
    assert post.ids == ["a", "d"]  # a was under way already
    assert "was not told b: 2 others wait" in capsys.readouterr().err
