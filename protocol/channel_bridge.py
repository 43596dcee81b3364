"""exec and attach between a client over WebSocket and an API server over SPDY: what one says, in the other's words.

Needed where the client was answered before the API server was asked, and that one then does not speak WebSocket (before
Kubernetes 1.29). Channel events pass as they are but for what only one of the two can say: over SPDY each channel is
opened and accepted, over WebSocket all exist from the start, the result is one message, and a Close ends it.

The trap: SPDY cuts the result as the wire cuts it, and a client takes each WebSocket message on the error channel for a
whole Status. So it is collected here. Source: client-go tools/remotecommand; KEP-4006.
"""

from typing import Final

from protocol.apicall import Call
from protocol.errors import RemoteProtocolError
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
    TunnelClosed,
)

MAX_RESULT_BYTES: Final = 64 * 1024
"""As for a WebSocket message on the error channel; a Status is some 300 bytes."""


class WebSocketToSpdy:
    """The bridge of one tunnel. Pure: events in, events out, in order."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._result = bytearray()
        self._open = {Channel.ERROR} | {channel for channel in _outputs(call)}
        self._is_closed = False

    def opening(self) -> list[Event]:
        """What to tell the API server first: the channels a SPDY client opens for this call, error first."""
        call = self._call
        channels = [Channel.ERROR]
        channels += [Channel.STDIN] if call.stdin else []
        channels += _outputs(call)
        channels += [Channel.RESIZE] if call.tty else []
        return [ChannelOpened(channel) for channel in channels]

    def to_cluster(self, event: Event) -> list[Event]:
        """An event of the client, for the API server."""
        if isinstance(event, ChannelData) and not event.data:
            return []  # a message without data means nothing over SPDY
        return [event]

    def to_client(self, event: Event) -> list[Event]:
        """An event of the API server, for the client. Raises RemoteProtocolError for an endless result."""
        match event:
            case ChannelAccepted():
                return []
            case ChannelData(channel=Channel.ERROR):
                if len(self._result) + len(event.data) > MAX_RESULT_BYTES:
                    raise RemoteProtocolError(f"a result above {MAX_RESULT_BYTES} bytes", status_hint=502)
                self._result += event.data
                return []
            case ChannelEnded() | ChannelReset():
                return self._ended(event.channel)
            case TunnelClosed():
                return self._closed(event.code)
            case _:
                return [event]

    def _ended(self, channel: Channel) -> list[Event]:
        self._open.discard(channel)
        if self._open:
            return []
        return self._closed(TunnelClosed().code)

    def _closed(self, code: int) -> list[Event]:
        """The result, whole, and the Close: after the last output, so that none is lost."""
        if self._is_closed:
            return []
        self._is_closed = True
        result: list[Event] = [ChannelData(Channel.ERROR, bytes(self._result))] if self._result else []
        return [*result, TunnelClosed(code)]


def _outputs(call: Call) -> list[Channel]:
    """With a terminal there is no stderr of its own, whatever the query says."""
    outputs = [Channel.STDOUT] if call.stdout else []
    return outputs + ([Channel.STDERR] if call.stderr and not call.tty else [])
