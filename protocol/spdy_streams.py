"""The life of a SPDY stream: its states, what moves it, and the table of the live ones.

It decides whether something may be received or sent on a stream now; it knows no frames and no bytes.

    we open it      OPENING ---- reply ----> OPEN --+-- we end ----> ENDED_BY_US ----+-- both --> CLOSED
    the peer does   OFFERED ---- reply ----> OPEN --+-- peer ends -> ENDED_BY_PEER --+

Either opener may end its own direction before the reply (`*_ENDED`). A reset, either way, closes a
stream in any state. The trap: a stream can close while something for it is under way, so what comes
for a closed stream is silence, not an error. Source: moby/spdystream, stream.go and connection.go.
"""

from enum import IntEnum, auto
from typing import Final

from protocol.errors import LocalProtocolError


class State(IntEnum):  # an IntEnum: hashed for every data frame, and that of Enum is Python code
    """Of one stream, as this end sees it."""

    OPENING = auto()  # ours, no SYN_REPLY yet
    OPENING_ENDED = auto()  # ... and we already half-closed it
    OFFERED = auto()  # the peer's, not yet replied to
    OFFERED_ENDED = auto()  # ... and the peer half-closed it from the start
    OPEN = auto()
    ENDED_BY_US = auto()  # our direction is over
    ENDED_BY_PEER = auto()
    CLOSED = auto()  # both are; forgotten


class Input(IntEnum):
    """What moves a stream; `*_FIN` carries the flag that half-closes."""

    SEND_REPLY = auto()
    SEND_REPLY_FIN = auto()
    SEND_DATA = auto()
    SEND_FIN = auto()
    RECEIVE_REPLY = auto()
    RECEIVE_REPLY_FIN = auto()
    RECEIVE_DATA = auto()
    RECEIVE_FIN = auto()


TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.OPENING, Input.SEND_DATA): State.OPENING,  # held until the reply: the peer would drop it
    (State.OPENING, Input.SEND_FIN): State.OPENING_ENDED,
    (State.OPENING, Input.RECEIVE_REPLY): State.OPEN,
    (State.OPENING, Input.RECEIVE_REPLY_FIN): State.ENDED_BY_PEER,
    (State.OPENING_ENDED, Input.RECEIVE_REPLY): State.ENDED_BY_US,
    (State.OPENING_ENDED, Input.RECEIVE_REPLY_FIN): State.CLOSED,
    (State.OFFERED, Input.SEND_REPLY): State.OPEN,
    (State.OFFERED, Input.SEND_REPLY_FIN): State.ENDED_BY_US,
    (State.OFFERED_ENDED, Input.SEND_REPLY): State.ENDED_BY_PEER,
    (State.OFFERED_ENDED, Input.SEND_REPLY_FIN): State.CLOSED,
    (State.OPEN, Input.SEND_DATA): State.OPEN,
    (State.OPEN, Input.SEND_FIN): State.ENDED_BY_US,
    (State.OPEN, Input.RECEIVE_DATA): State.OPEN,
    (State.OPEN, Input.RECEIVE_FIN): State.ENDED_BY_PEER,
    (State.ENDED_BY_US, Input.RECEIVE_DATA): State.ENDED_BY_US,
    (State.ENDED_BY_US, Input.RECEIVE_FIN): State.CLOSED,
    (State.ENDED_BY_PEER, Input.SEND_DATA): State.ENDED_BY_PEER,
    (State.ENDED_BY_PEER, Input.SEND_FIN): State.CLOSED,
}
"""Of a pair that is missing here, a `SEND_*` is a bug of ours (LocalProtocolError), and a `RECEIVE_*`
is ignored, as spdystream does: it drops data before its SYN_REPLY, after a FIN, and second replies."""


class SpdyStreams:
    """The live streams of one connection, by id. Ids are odd, only grow and are never used again."""

    def __init__(self) -> None:
        self._live: dict[int, State] = {}
        self.last_id = 0  # the highest so far, streams that were refused included

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._live

    @property
    def next_id(self) -> int:
        """The lowest id a new stream may have."""
        return self.last_id + 2 if self.last_id else 1

    def is_opening(self, stream_id: int) -> bool:
        """Whether it is ours and waits for its SYN_REPLY."""
        return self._live.get(stream_id) in (State.OPENING, State.OPENING_ENDED)

    def add(self, stream_id: int, state: State) -> None:
        """Take in a new stream. stream_id: odd, at least `next_id`."""
        self.last_id = stream_id
        self._live[stream_id] = state

    def receive(self, stream_id: int, what: Input) -> bool:
        """Move a stream by something received; False: it means nothing now, ignore it."""
        state = self._live.get(stream_id)
        following = None if state is None else TRANSITIONS.get((state, what))
        if following is None:
            return False
        if following is not state:
            self._set(stream_id, following)
        return True

    def send(self, stream_id: int, what: Input) -> bool:
        """Move a stream by something to send; False: it closed meanwhile, send nothing.

        Raises LocalProtocolError when its state forbids it, or when it never existed.
        """
        state = self._live.get(stream_id)
        if state is None:
            self.check_known(stream_id)
            return False
        following = TRANSITIONS.get((state, what))
        if following is None:
            raise LocalProtocolError(f"SPDY: {what.name} on stream {stream_id}, which is {state.name}")
        if following is not state:
            self._set(stream_id, following)
        return True

    def reset(self, stream_id: int) -> bool:
        """Close a stream in whatever state; False: it was not live."""
        return self._live.pop(stream_id, None) is not None

    def check_known(self, stream_id: int) -> None:
        """Raise LocalProtocolError when no stream ever had this id."""
        if stream_id % 2 == 0 or not 0 < stream_id <= self.last_id:
            raise LocalProtocolError(f"SPDY: stream {stream_id} was never opened")

    def _set(self, stream_id: int, state: State) -> None:
        if state is State.CLOSED:
            del self._live[stream_id]
        else:
            self._live[stream_id] = state
