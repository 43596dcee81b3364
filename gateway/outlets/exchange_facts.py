"""What every outlet says of an exchange: who, from where, how it ended. Pure.

Texts that clients choose are cut to bounds here, so that an event has one whatever a client sends.
"""

from typing import Final, NamedTuple

import msgspec

from gateway.outlets.exchange_records import ExchangeRecords, Stage
from storage.errors import UNDECODABLE

MAX_USER_AGENT_CHARS: Final = 1024
"""As kube-apiserver cuts it."""
MAX_URI_CHARS: Final = 8192
MAX_MESSAGE_CHARS: Final = 1024
TRUNCATED: Final = "...TRUNCATED"
US: Final = 1000
"""Nanoseconds of a microsecond."""
MAX_NS: Final = 253_402_300_799 * 1_000_000_000
"""The end of the year 9999: what RFC 3339 can write."""

_GOOD: Final = frozenset(("completed", "client-left"))


class Ending(NamedTuple):
    """What the client was told. status: HTTP, 0 if nothing; reason, message: of the Status, "" if none."""

    status: int
    reason: str
    message: str

    @property
    def failed(self) -> bool:
        return self.status >= 400 or self.status == 0


class _Status(msgspec.Struct):
    """The parts of a metav1.Status that are told."""

    reason: str = ""
    message: str = ""


_STATUS_DECODER: Final = msgspec.json.Decoder(_Status)


def ending_of(one: ExchangeRecords) -> Ending:
    """How an exchange was answered. The words are those of the recorded Status, else ours."""
    words = _Status()
    if one.status >= 400 and one.response.data:
        try:
            words = _STATUS_DECODER.decode(bytes(one.response.data))
        except UNDECODABLE:
            pass  # not a Status: an application behind a proxy, or text of a kubelet
    message = words.message or one.why
    return Ending(one.status, cut(words.reason, MAX_MESSAGE_CHARS), cut(message, MAX_MESSAGE_CHARS))


def succeeded(one: ExchangeRecords) -> bool | None:
    """Whether the call did what was asked, as far as the status says; None: nobody knows."""
    if one.result in ("", "unknown"):
        return None
    return one.result in _GOOD and 0 < one.status < 400 and one.exit_code in (None, 0)


def was_let_through(one: ExchangeRecords) -> bool:
    """Whether policy, and the people it asked, let the call go on."""
    action = one.intent.verdict.action
    return action == "allow" or (action == "hold" and bool(one.story.approvers))


def moment_ns(one: ExchangeRecords, stage: Stage) -> int:
    """When the stage was reached, UTC nanoseconds."""
    if stage == "ResponseStarted":
        at_us = one.began_us or 0
    else:
        at_us = one.outcome.at_us if one.outcome else one.last_us
    return clamped(one.intent.at_ns + at_us * US)


def clamped(at_ns: int) -> int:
    """A time that can be written down, whatever a clock gone mad said."""
    return min(max(0, at_ns), MAX_NS)


def source_address(source: str) -> tuple[str, int]:
    """`10.0.0.9:50100` or `[::1]:50100` -> address and port; port 0 if there is none."""
    host, _, port = source.rpartition(":")
    return (host or source).strip("[]"), int(port) if port.isascii() and port.isdigit() else 0


def request_uri(one: ExchangeRecords) -> str:
    """The target as the client sent it, credentials removed."""
    return cut(one.intent.target.decode("latin-1"), MAX_URI_CHARS)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters and the mark that says so, as kube-apiserver does it."""
    return text if len(text) <= limit else text[:limit] + TRUNCATED
