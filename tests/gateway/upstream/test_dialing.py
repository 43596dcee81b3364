import contextlib
import socket

import pytest
import trio

from gateway.upstream.dialing import connect


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_and_a_name_are_dialled_without_delay_for_small_writes(host: str) -> None:
    (listener, *_) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with await connect(host, listener.socket.getsockname()[1]) as sock:
        peer = await listener.accept()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.send(b"hello")
        assert await peer.receive_some() == b"hello"
        await peer.aclose()
    await listener.aclose()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_address_is_dialled_too() -> None:
    (listener, *_) = await trio.open_tcp_listeners(0, host="::1")
    (await connect("::1", listener.socket.getsockname()[1])).close()
    await listener.aclose()


async def test_a_refusal_is_an_os_error() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await connect("127.0.0.1", unheard.getsockname()[1])


async def test_a_dial_that_is_given_up_leaves_no_socket() -> None:
    """An unclosed one would be a warning, and warnings are errors here."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with trio.move_on_after(0.05) as scope:
            while True:  # nobody accepts: once its queue is full, nothing is answered
                stack.enter_context(await connect(*full.getsockname()))
        assert scope.cancelled_caught
