"""Where the two directions of an HTTP/1.1 connection are: one table each, for both roles.

A connection carries exchanges one after the other. Each direction walks its own table, and a
server reads the first and writes the second, a client the other way round:

    request     HEAD -> BODY -> DONE -> (next) HEAD ...
    response    IDLE -> HEAD -> BODY -> DONE -> (next) IDLE ...
                        HEAD -> RAW, both directions, on 101

Every message passes BODY, also one without body: its end is its own step. Only a request without body that is read
may take both at once. A response may run ahead
of its request (a refusal before the body came), which is why these are two tables and not one. The
next exchange starts only when both are DONE. A step that the table has not for this phase is an error: ours
(`LocalProtocolError`), because what a peer sends is checked before it becomes a step.
"""

from enum import IntEnum, auto
from typing import Final

import msgspec

from protocol.errors import LocalProtocolError


class Phase(IntEnum):
    """What comes next in one direction."""

    IDLE = auto()  # response only: nothing was asked yet
    HEAD = auto()
    BODY = auto()
    DONE = auto()  # the message is complete; the next one waits for the step `next`
    RAW = auto()  # no longer HTTP
    CLOSED = auto()  # no byte is read or written any more in this direction


class Step(dict[Phase, Phase]):
    """What just happened in one direction: the phase it leads to, by the phase it may happen in.

    To look up any other phase raises LocalProtocolError. A table, not a method: a call takes a dozen of these.
    """

    def __init__(self, name: str, phases: dict[Phase, Phase]) -> None:
        super().__init__(phases)
        self.name = name

    def __missing__(self, phase: Phase) -> Phase:
        raise LocalProtocolError(f"{self.name} is impossible in phase {phase.name}")


class Steps(msgspec.Struct, frozen=True):
    """Those of one direction that both roles take. switch: a 101 has passed. next: both messages are complete and the
    connection goes on. stop: the end of input, or an error."""

    head: Step
    chunk: Step
    end: Step
    next: Step
    switch: Step
    stop: Step


_CLOSING: Final = dict.fromkeys((Phase.HEAD, Phase.BODY, Phase.DONE, Phase.CLOSED), Phase.CLOSED)

REQUEST: Final = Steps(
    head=Step("head of a request", {Phase.HEAD: Phase.BODY}),
    chunk=Step("chunk of a request", {Phase.BODY: Phase.BODY}),
    end=Step("end of a request", {Phase.BODY: Phase.DONE}),
    next=Step("next request", {Phase.DONE: Phase.HEAD}),
    # from BODY, if it has none, and its end may come after the answer
    switch=Step("switch after a request", {Phase.DONE: Phase.RAW, Phase.BODY: Phase.RAW}),
    stop=Step("stop of requests", _CLOSING),
)
REQUEST_WHOLE: Final = Step("whole of a request", {Phase.HEAD: Phase.DONE})
"""Head and end, of one without a body."""

RESPONSE: Final = Steps(
    head=Step("head of a response", {Phase.HEAD: Phase.BODY}),
    chunk=Step("chunk of a response", {Phase.BODY: Phase.BODY}),
    end=Step("end of a response", {Phase.BODY: Phase.DONE}),
    next=Step("next response", {Phase.DONE: Phase.IDLE}),
    switch=Step("switch by a response", {Phase.HEAD: Phase.RAW}),
    stop=Step("stop of responses", {Phase.IDLE: Phase.CLOSED, **_CLOSING}),
)
RESPONSE_ASKED: Final = Step("request before a response", {Phase.IDLE: Phase.HEAD})
"""The request's head has passed."""
RESPONSE_INTERIM: Final = Step("interim head of a response", {Phase.HEAD: Phase.HEAD})
"""A 1xx head other than 101."""
