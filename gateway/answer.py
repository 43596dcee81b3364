"""Waiting for the API server's answer as long as somebody wants it.

Most answers come within milliseconds, and watching the client meanwhile would cost each of them a task. So
the client is looked at only when an answer takes long: a call nobody waits for must not hold its place.
"""

from typing import Final

import trio

from gateway.errors import ClientLeft, UpstreamLost
from gateway.server.request import ClientRequest
from gateway.upstream.connection import UpstreamConnection
from protocol.events import Event

PATIENCE_S: Final = 1.0
"""Waiting for so long is unusual enough to look whether the client still does."""


async def receive_while_wanted(request: ClientRequest, connection: UpstreamConnection) -> list[Event]:
    """The next events of the answer, at least one. Raises UpstreamLost, ClientLeft.

    Not while another task reads from the client.
    """
    try:
        return await connection.receive_within(PATIENCE_S)
    except trio.TooSlowError:
        pass
    events: list[Event] = []
    problem: UpstreamLost | None = None
    async with trio.open_nursery() as nursery:

        async def watch_client() -> None:
            await request.wait_left()
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch_client)
        try:
            events = await connection.receive()
        except UpstreamLost as error:
            problem = error
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem
    if not events:
        raise ClientLeft("the client left before the API server answered")
    return events
