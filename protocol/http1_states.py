"""Where the two directions of an HTTP/1.1 connection are: one table each, for both roles.

A connection carries exchanges one after the other. Each direction walks its own table, and a
server reads the first and writes the second, a client the other way round:

    request     HEAD -> BODY -> DONE -> (next) HEAD ...
    response    IDLE -> HEAD -> BODY -> DONE -> (next) IDLE ...
                        HEAD -> RAW, both directions, on 101

Every message passes BODY, also one without body: its end is its own step. Only a request without body that is read
may take both at once. A response may run ahead
of its request (a refusal before the body came), which is why these are two tables and not one. The
next exchange starts only when both are DONE. A pair that is not in the table is an error: ours
(`LocalProtocolError`), because what a peer sends is checked before it becomes a step.
"""

from enum import IntEnum, auto
from typing import Final

from protocol.errors import LocalProtocolError


class Phase(IntEnum):
    """What comes next in one direction."""

    IDLE = auto()  # response only: nothing was asked yet
    HEAD = auto()
    BODY = auto()
    DONE = auto()  # the message is complete; the next one waits for `Step.NEXT`
    RAW = auto()  # no longer HTTP
    CLOSED = auto()  # no byte is read or written any more in this direction


class Step(IntEnum):
    """What just happened in one direction."""

    ASKED = auto()  # response only: the request's head has passed
    INTERIM = auto()  # a 1xx head other than 101
    HEAD = auto()
    CHUNK = auto()
    END = auto()
    WHOLE = auto()  # request only: HEAD and END, of a message without a body
    SWITCH = auto()  # 101 has passed
    NEXT = auto()  # both messages are complete and the connection goes on
    STOP = auto()  # the end of input, or an error


REQUEST: Final[dict[tuple[Phase, Step], Phase]] = {
    (Phase.HEAD, Step.HEAD): Phase.BODY,
    (Phase.HEAD, Step.WHOLE): Phase.DONE,
    (Phase.BODY, Step.CHUNK): Phase.BODY,
    (Phase.BODY, Step.END): Phase.DONE,
    (Phase.DONE, Step.NEXT): Phase.HEAD,
    (Phase.DONE, Step.SWITCH): Phase.RAW,
    (Phase.BODY, Step.SWITCH): Phase.RAW,  # it has no body, and its END may come after the answer
    (Phase.HEAD, Step.STOP): Phase.CLOSED,
    (Phase.BODY, Step.STOP): Phase.CLOSED,
    (Phase.DONE, Step.STOP): Phase.CLOSED,
    (Phase.CLOSED, Step.STOP): Phase.CLOSED,
}

RESPONSE: Final[dict[tuple[Phase, Step], Phase]] = {
    (Phase.IDLE, Step.ASKED): Phase.HEAD,
    (Phase.HEAD, Step.INTERIM): Phase.HEAD,
    (Phase.HEAD, Step.HEAD): Phase.BODY,
    (Phase.BODY, Step.CHUNK): Phase.BODY,
    (Phase.BODY, Step.END): Phase.DONE,
    (Phase.DONE, Step.NEXT): Phase.IDLE,
    (Phase.HEAD, Step.SWITCH): Phase.RAW,
    (Phase.IDLE, Step.STOP): Phase.CLOSED,
    (Phase.HEAD, Step.STOP): Phase.CLOSED,
    (Phase.BODY, Step.STOP): Phase.CLOSED,
    (Phase.DONE, Step.STOP): Phase.CLOSED,
    (Phase.CLOSED, Step.STOP): Phase.CLOSED,
}


class Direction:
    """One direction of a connection: a place in its table."""

    __slots__ = ("_table", "phase")

    def __init__(self, table: dict[tuple[Phase, Step], Phase], phase: Phase) -> None:
        self._table = table
        self.phase = phase

    def advance(self, step: Step) -> None:
        """Take a step. Raises LocalProtocolError, and stays, if the table has none such here."""
        try:
            self.phase = self._table[self.phase, step]
        except KeyError:
            name = "request" if self._table is REQUEST else "response"
            raise LocalProtocolError(
                f"{step.name} of a {name} is impossible in phase {self.phase.name}"
            ) from None
