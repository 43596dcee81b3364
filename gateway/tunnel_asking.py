"""Asking the API server for a stream: its 101, or whatever else it answers, bounded."""

from typing import Final

from gateway.admission import Admitted
from gateway.answer import receive_while_wanted
from gateway.errors import UpstreamLost
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.upstream.connection import UpstreamConnection
from protocol.events import BodyChunk, EndOfBody, Event, Upgraded

MAX_REFUSAL_BYTES: Final = 64 * 1024
"""Body of an answer that is not 101: a Status, or a kubelet's line of text."""


async def ask(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted, connection: UpstreamConnection
) -> Upgraded | list[Event]:
    """The API server's 101, or all of another answer. Raises UpstreamError, ClientLeft."""
    tape.check()
    tape.mark("upstream_sent_us")
    await connection.send(services.with_credential(admitted.upstream), EndOfBody())
    events: list[Event] = []
    size = 0
    while not events or not isinstance(events[-1], EndOfBody):
        batch = await receive_while_wanted(request, connection)
        if not events:
            tape.mark("upstream_head_us")
        if isinstance(batch[-1], Upgraded):
            return batch[-1]
        events += batch
        size += sum(len(event.data) for event in batch if isinstance(event, BodyChunk))
        if size > MAX_REFUSAL_BYTES:
            raise UpstreamLost("the API server refused the stream with an endless answer")
    return events
