"""A large request body streams while it is recorded.

The last bytes of a large body go upstream only when all of it is durable: the cluster never holds a request
that the record does not.
"""

from collections.abc import Awaitable, Callable

import trio

from gateway.admission import Admitted
from gateway.body_record import BodyRecord
from gateway.errors import ClientLeft
from gateway.request_body import check_body_size
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.upstream.connection import UpstreamConnection
from protocol.apicall import Call
from protocol.events import BodyChunk, EndOfBody, Event


async def send_large_body(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    admitted: Admitted,
    connection: UpstreamConnection,
    beginning: bytes,
    record: BodyRecord,
    relay_answer: Callable[[list[Event]], Awaitable[None]],
) -> None:
    """Forward a body while it arrives, and whatever answer comes, maybe before the body is complete.

    record: has the beginning already. relay_answer: brings the answer down, given its first events.
    """
    problems: list[Exception] = []
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                length = request.head.content_length
                head = services.with_credential(admitted.upstream, content_length=length)
                tape.check()
                await connection.send(head, BodyChunk(beginning))
                await _send_rest(request, tape, record, admitted.call, connection)
                await request.wait_left()
                raise ClientLeft("the client left before the answer was complete")
            except Exception as error:
                problems.append(error)
                nursery.cancel_scope.cancel()

        nursery.start_soon(send)
        tape.mark("upstream_sent_us")
        try:
            events = await connection.receive()
            tape.mark("upstream_head_us")
            await relay_answer(events)
        except Exception as error:
            problems.append(error)
        nursery.cancel_scope.cancel()  # an early answer ends the sending
    if problems:
        raise problems[0]


async def _send_rest(
    request: ClientRequest, tape: Tape, record: BodyRecord, call: Call, connection: UpstreamConnection
) -> None:
    """Each chunk is recorded, then sent; the last one only when the whole body is durable."""
    held = b""
    while chunk := await request.receive_body():
        check_body_size(tape.request_bytes + len(chunk), call)
        record.add(chunk)  # first: once the log has failed, what it may have lost is not sent either
        if held:
            await connection.send(BodyChunk(held))
        await tape.flow()
        held = chunk
    record.end()
    tape.request_ended()
    await tape.durable()
    await connection.send(*([BodyChunk(held)] if held else []), EndOfBody())
