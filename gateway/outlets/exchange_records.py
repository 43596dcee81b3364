"""What was recorded of one exchange, and what of an unfinished one survives a restart. Pure values.

The trap: an exchange handed out at its beginning goes on changing; use it before the next record is taken.
"""

from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from storage.policy_story import PolicyStory
from storage.reader import Position
from storage.records import (
    CallRecord,
    Intent,
    Outcome,
    TunnelStarted,
    decode_record,
    encode_record,
)

Stage: TypeAlias = Literal["ResponseStarted", "ResponseComplete"]

_LONG_VERBS: Final = frozenset(("watch", "proxy"))
_LONG_SUBRESOURCES: Final = frozenset(("attach", "exec", "log", "portforward", "proxy"))


class KeptBody(msgspec.Struct):
    """A body, as recorded. size: all of it, in bytes; data: nothing unless all of it was kept."""

    content_type: str = ""
    encoding: str = ""
    size: int = 0
    data: bytearray = msgspec.field(default_factory=bytearray)
    is_cut: bool = False  # it was not empty, and is not here


class ExchangeRecords(msgspec.Struct):
    """What was recorded of one exchange so far. Times: microseconds since the Intent's `at_ns`."""

    intent: Intent  # its headers are taken off, they are not for others
    position: Position  # of the Intent
    request: KeptBody = msgspec.field(default_factory=KeptBody)
    response: KeptBody = msgspec.field(default_factory=KeptBody)
    status: int = 0
    began_us: int | None = None  # the head of the answer went down
    tunnel: TunnelStarted | None = None
    exit_code: int | None = None
    outcome: Outcome | None = None
    result: str = ""  # the Outcome's, or "unknown"; "" while it is open
    why: str = ""
    last_us: int = 0
    gap: str = ""  # what is missing in the log, if anything
    story: PolicyStory = msgspec.field(default_factory=PolicyStory)


class Assembled(NamedTuple):
    """Something to tell: an exchange and the stage it reached."""

    exchange: ExchangeRecords
    stage: Stage


class CarriedExchange(msgspec.Struct, frozen=True):
    """An open exchange as it survives a restart, without bodies. intent, tunnel: encoded records."""

    position: Position
    intent: bytes
    status: int
    began_us: int | None
    tunnel: bytes
    exit_code: int | None
    last_us: int
    is_cut: bool  # it had bodies
    story: PolicyStory = msgspec.field(default_factory=PolicyStory)


class AssemblerState(msgspec.Struct, frozen=True):
    """cursor: where to read on, None: at the oldest record. given_out: (number of the Intent, exchange)."""

    cursor: Position | None = None
    given_out: tuple[tuple[int, bytes], ...] = ()
    carried: tuple[CarriedExchange, ...] = ()


def is_long_running(call: CallRecord | None) -> bool:
    """What the API server puts no deadline on, by verb and subresource (see protocol.apicall)."""
    if call is None:
        return False
    return call.verb in _LONG_VERBS or call.subresource in _LONG_SUBRESOURCES


def carry(one: ExchangeRecords) -> CarriedExchange:
    """What is kept of an open exchange over a restart."""
    return CarriedExchange(
        position=one.position,
        intent=encode_record(one.intent),
        status=one.status,
        began_us=one.began_us,
        tunnel=encode_record(one.tunnel) if one.tunnel else b"",
        exit_code=one.exit_code,
        last_us=one.last_us,
        is_cut=one.request.is_cut or one.response.is_cut,
        story=msgspec.msgpack.decode(
            msgspec.msgpack.encode(one.story), type=PolicyStory
        ),  # it goes on changing
    )


def restore(stored: CarriedExchange) -> ExchangeRecords:
    """The opposite of `carry`. Raises msgspec.DecodeError on what is no state of ours."""
    intent = decode_record(stored.intent)
    tunnel = decode_record(stored.tunnel) if stored.tunnel else None
    if not isinstance(intent, Intent) or not isinstance(tunnel, TunnelStarted | None):
        raise msgspec.DecodeError("a carried exchange is not one")
    return ExchangeRecords(
        intent=intent,
        position=stored.position,
        request=KeptBody(is_cut=stored.is_cut),
        response=KeptBody(is_cut=stored.is_cut),
        status=stored.status,
        began_us=stored.began_us,
        tunnel=tunnel,
        exit_code=stored.exit_code,
        last_us=stored.last_us,
        story=stored.story,
    )
