import contextlib
import socket

import pytest
import trio

from gateway.read_deadlines import ReadDeadlines
from gateway.upstream.dialing import connect


async def dial(host: str, port: int, within_s: float = 10.0) -> socket.socket:
    """With somebody who keeps the deadline."""
    deadlines = ReadDeadlines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        try:
            return await connect(host, port, deadlines, within_s)
        finally:
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_and_a_name_are_dialled_without_delay_for_small_writes(host: str) -> None:
    (listener, *_) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with await dial(host, listener.socket.getsockname()[1]) as sock:
        peer = await listener.accept()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.send(b"hello")
        assert await peer.receive_some() == b"hello"
        await peer.aclose()
    await listener.aclose()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_address_is_dialled_too() -> None:
    (listener, *_) = await trio.open_tcp_listeners(0, host="::1")
    (await dial("::1", listener.socket.getsockname()[1])).close()
    await listener.aclose()


async def test_a_refusal_is_an_os_error() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with pytest.RaisesGroup(ConnectionRefusedError):
            await dial("127.0.0.1", unheard.getsockname()[1])


def fill(stack: contextlib.ExitStack) -> tuple[str, int]:
    """An address where nobody accepts: its queue is full, so nothing is answered."""
    full = stack.enter_context(socket.socket())
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    address: tuple[str, int] = full.getsockname()
    with contextlib.suppress(TimeoutError):
        while True:
            stack.enter_context(socket.create_connection(address, timeout=0.1))
    return address


async def test_a_dial_that_is_given_up_leaves_no_socket() -> None:
    """An unclosed one would be a warning, and warnings are errors here."""
    with contextlib.ExitStack() as stack:
        address = fill(stack)
        with trio.move_on_after(0.05) as scope:
            await connect(*address, ReadDeadlines(), 10.0)
        assert scope.cancelled_caught


async def test_a_dial_that_nobody_answers_ends_when_its_time_is_over() -> None:
    with contextlib.ExitStack() as stack:
        address = fill(stack)
        with pytest.RaisesGroup(trio.TooSlowError):
            await dial(*address, within_s=0.0)
