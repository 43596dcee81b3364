"""Lines of a cluster's audit log -> events, as far as a comparison needs them. Pure: no files.

Three forms are read: one Event a line (kube-apiserver's log backend), an EventList (its webhook backend), and
what CloudWatch exports hold, where the event is text in `message` (alone, or in `events` or `logEvents`), or
stands behind a time stamp. Bodies are skipped, not decoded. A line that is no event of an audit log is said
to be one of two things: something else (another log in the same export), or garbled: cut, or not JSON.
The trap: an audit id may be chosen by whoever calls, so it is text of any kind, not a UUID.
Source: k8s.io/apiserver pkg/apis/audit/v1 types.go; AWS, Exporting log data to Amazon S3.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO, Final, NamedTuple

import msgspec

from storage.errors import UNDECODABLE, StorageError

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""kube-apiserver cuts bodies far below; an EventList of 400 events may be long."""
MAX_DEPTH: Final = 4
"""Wrappings around an event."""

_STAMP: Final = re.compile(rb"\d{4}-\d\d-\d\dT[0-9:.,+Z-]{5,24}\s+(?=\{)")


class Person(msgspec.Struct, frozen=True):
    """Of UserInfo, the name."""

    username: str = ""


class Answered(msgspec.Struct, frozen=True):
    code: int = 0


class AuditEvent(msgspec.Struct, frozen=True, rename="camel"):
    """What is compared of one event. impersonated_user: whose rights counted, if not the caller's own."""

    audit_id: str = msgspec.field(name="auditID")
    stage: str
    request_uri: str = msgspec.field(name="requestURI", default="")
    verb: str = ""
    user: Person = Person()
    impersonated_user: Person | None = None
    source_ips: tuple[str, ...] | None = msgspec.field(name="sourceIPs", default=None)
    user_agent: str = ""
    response_status: Answered | None = None
    request_received_timestamp: datetime | None = None
    stage_timestamp: datetime | None = None

    @property
    def acting(self) -> str:
        """The user whose rights counted."""
        return (self.impersonated_user or self.user).username

    @property
    def code(self) -> int:
        return self.response_status.code if self.response_status else 0

    @property
    def received_ns(self) -> int:
        """When the call came, UTC nanoseconds; 0 if the log does not say."""
        return nanoseconds(self.request_received_timestamp or self.stage_timestamp)

    @property
    def staged_ns(self) -> int:
        """When the event was written."""
        return nanoseconds(self.stage_timestamp or self.request_received_timestamp)


class GarbledLine(StorageError):
    """A line of an audit log that cannot be read: an event may be lost with it. Says which, and why."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line, self.why = line, why


class AuditLine(NamedTuple):
    """One line. events: none if it is something else. garbled: why it cannot be read, None if it can."""

    number: int
    events: list[AuditEvent]
    garbled: GarbledLine | None = None


class _Wrapped(msgspec.Struct, frozen=True):
    message: str = ""


class _Wrapping(msgspec.Struct, frozen=True, rename="camel"):
    """Whatever is around events."""

    items: list[msgspec.Raw] = []
    message: str = ""
    log_events: list[_Wrapped] = []
    events: list[_Wrapped] = []


_EVENT_DECODER: Final = msgspec.json.Decoder(AuditEvent)
_WRAPPING_DECODER: Final = msgspec.json.Decoder(_Wrapping)


def read_audit_log(stream: BinaryIO, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[AuditLine]:
    """All lines of a log, one at a time, counted from 1. Raises what the stream raises, nothing else."""
    number = 0
    while line := stream.readline(max_line_bytes + 1):
        number += 1
        if len(line) > max_line_bytes:
            _skip_line(stream, line)
            yield AuditLine(number, [], GarbledLine(number, f"it is longer than {max_line_bytes} bytes"))
            continue
        try:
            events = parse_audit_line(line)
        except ValueError as error:
            yield AuditLine(number, [], GarbledLine(number, str(error)))
        else:
            yield AuditLine(number, events)


def _skip_line(stream: BinaryIO, part: bytes) -> None:
    while part and not part.endswith(b"\n"):
        part = stream.readline(64 * 1024)


def parse_audit_line(line: bytes) -> list[AuditEvent]:
    """The events of one line, in order; [] if it holds something else. Raises ValueError."""
    text = line.strip()
    if stamp := _STAMP.match(text):
        text = text[stamp.end() :]
    if not text.startswith(b"{"):
        if text.startswith(b'"') or not text or text[:1].isalnum() or text.startswith(b"["):
            return []  # a log of another kind
        raise ValueError("it is not JSON")
    return list(_events(text, 0))


def _events(text: bytes | str | msgspec.Raw, depth: int) -> Iterator[AuditEvent]:
    try:
        yield _EVENT_DECODER.decode(text)
        return
    except msgspec.ValidationError as error:
        problem = str(error)
    except UNDECODABLE as error:
        raise ValueError(f"it is not JSON: {error}") from None
    try:
        wrapping = _WRAPPING_DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise ValueError(f"it is no audit event: {error}") from None
    inner: list[bytes | str | msgspec.Raw] = [*wrapping.items, *_messages(wrapping)]
    if inner and depth >= MAX_DEPTH:
        raise ValueError("it is nested too deep")
    if not inner and "missing required field" not in problem:
        raise ValueError(f"it is no audit event: {problem}")
    for one in inner:
        yield from _events(one, depth + 1)


def _messages(wrapping: _Wrapping) -> Iterable[str]:
    """Text that is no JSON object is a line of another log in the same export."""
    wrapped = [one.message for one in (*wrapping.log_events, *wrapping.events)]
    return [message for message in (wrapping.message, *wrapped) if message.lstrip().startswith("{")]


def nanoseconds(at: datetime | None) -> int:
    """UTC nanoseconds, exact to the microsecond; 0 of None and of times before 1970."""
    if at is None:
        return 0
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return max(0, (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000)
