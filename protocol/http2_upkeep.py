"""HTTP/2, server side: frames about the connection and its windows, and streams that end because of a fault.

What each costs the client is booked here too. Requests are `http2`'s, what we send is `http2_sending`'s.
The trap: SETTINGS change windows of streams that are open, also below 0, and are acknowledged in order.
Source: RFC 9113 sections 5.4, 6.3, 6.5 to 6.9.
"""

from protocol.errors import RemoteProtocolError
from protocol.events import Event, GoAway, StreamReset, WindowOpened
from protocol.http2_blocks import check_priority
from protocol.http2_budgets import Waste
from protocol.http2_frames import (
    ACK,
    SETTINGS_ACK,
    ConnectionFault,
    ErrorCode,
    Frame,
    Type,
    ping_ack,
    protocol_fault,
    size_fault,
)
from protocol.http2_sending import DEFAULT_WINDOW_BYTES, Http2Sender
from protocol.http2_setup import parse_settings
from protocol.http2_streams import Stream
from protocol.http2_windows import LARGEST_WINDOW


class Http2Upkeep(Http2Sender):
    """What a server's connection does beside requests."""

    def __init__(self) -> None:
        super().__init__()
        self._initial_window = DEFAULT_WINDOW_BYTES  # of a new stream, for what we send

    def _on_ping(self, frame: Frame, events: list[Event]) -> None:
        if frame.stream_id:
            raise protocol_fault("PING on a stream")
        self._budgets.spend(Waste.PING)
        if not frame.flags & ACK:
            self._output.put(ping_ack(frame.payload))

    def _on_goaway(self, frame: Frame, events: list[Event]) -> None:
        if frame.stream_id:
            raise protocol_fault("GOAWAY on a stream")
        self._budgets.spend(Waste.SETTINGS)
        last, code = (int.from_bytes(frame.payload[at : at + 4], "big") for at in (0, 4))
        events.append(GoAway(last & 0x7FFF_FFFF, code))

    def _on_priority(self, frame: Frame, events: list[Event]) -> None:
        if frame.type == Type.PRIORITY and not frame.stream_id:
            raise protocol_fault("PRIORITY without a stream")
        if frame.type == Type.PRIORITY:
            check_priority(frame.stream_id, frame.payload)
        self._budgets.spend(Waste.PRIORITY)

    def _on_push_promise(self, frame: Frame, events: list[Event]) -> None:
        raise protocol_fault("PUSH_PROMISE from a client")

    def _on_settings(self, frame: Frame, events: list[Event]) -> None:
        self._budgets.spend(Waste.SETTINGS)
        if frame.stream_id:
            raise protocol_fault("SETTINGS on a stream")
        if frame.flags & ACK:
            if frame.payload:
                raise size_fault("an answer to SETTINGS with settings in it")
            return
        settings = parse_settings(frame.payload)
        if settings.initial_window_bytes is not None:
            self._change_windows(settings.initial_window_bytes - self._initial_window, events)
        if settings.max_frame_bytes is not None:
            self._output.max_frame_bytes = settings.max_frame_bytes
        # Behind the DATA that was sent under the old settings: the client counts by them until it reads this.
        self._output.put_in_order(SETTINGS_ACK)

    def _change_windows(self, change: int, events: list[Event]) -> None:
        """Another initial window moves that of every open stream (RFC 9113 section 6.9.2), also below 0."""
        self._initial_window += change
        for stream in self._streams.live.values():
            stream.send_window += change
            if stream.send_window > LARGEST_WINDOW and not stream.gone:
                raise ConnectionFault(
                    ErrorCode.FLOW_CONTROL_ERROR, RemoteProtocolError("SETTINGS lift a window beyond 2**31-1")
                )
        if change > 0:
            events.append(WindowOpened(0))

    def _on_window_update(self, frame: Frame, events: list[Event]) -> None:
        self._budgets.spend(Waste.WINDOW_UPDATE)
        stream_id = frame.stream_id
        increment = int.from_bytes(frame.payload, "big") & 0x7FFF_FFFF
        if not stream_id:
            self._open_connection_window(increment, events)
            return
        self._check_not_idle(stream_id)
        stream = self._streams.working(stream_id)
        if stream is None:
            return
        if not increment:
            self._reset_faulty(stream_id, stream, ErrorCode.PROTOCOL_ERROR, events)
        elif stream.send_window + increment > LARGEST_WINDOW:
            self._reset_faulty(stream_id, stream, ErrorCode.FLOW_CONTROL_ERROR, events)
        else:
            stream.send_window += increment
            events.append(WindowOpened(stream_id))

    def _open_connection_window(self, increment: int, events: list[Event]) -> None:
        if not increment:
            raise protocol_fault("a WINDOW_UPDATE of 0")
        self._send_window += increment
        if self._send_window > LARGEST_WINDOW:
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, RemoteProtocolError("a connection window beyond 2**31-1")
            )
        events.append(WindowOpened(0))

    def _check_not_idle(self, stream_id: int) -> None:
        if self._streams.is_idle(stream_id):
            raise protocol_fault("a frame on a stream that was never opened")

    # --- ends of streams ----------------------------------------------------------------------

    def _reset_faulty(
        self, stream_id: int, stream: Stream, code: ErrorCode, events: list[Event], *, in_flight: bool = True
    ) -> None:
        """Reset a stream because of what the client sent on it."""
        self._budgets.spend(Waste.RESET)
        self._reset(stream_id, code, in_flight=in_flight and stream.request_open)
        self._forsake(stream_id, stream, int(code), events)

    def _forsake(self, stream_id: int, stream: Stream, code: int, events: list[Event]) -> None:
        """The stream is over without conduct's doing: its place stays taken until conduct lets go."""
        self._return_credit(stream_id, stream)
        if stream.discards:
            del self._streams.live[stream_id]  # nothing runs for a request that was refused
            return
        stream.gone = True
        events.append(StreamReset(stream_id, code))
