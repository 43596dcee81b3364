"""Legal holds: what must not be deleted whatever retention says. Which of them hold a segment is decided here.

A hold names everything, a stretch of time, a session or a user. Records of sessions and users are found through
the index, which is asked by the caller's `Lookup`. The trap: no answer is not "no". A segment that the index does
not know yet, that it could not read or whose times cannot be read counts as held. Files are `holds_file`'s.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Protocol

import msgspec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""With its zone; in JSON RFC 3339."""
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Everything(msgspec.Struct, frozen=True, tag_field="kind", tag="all", forbid_unknown_fields=True):
    """Nothing at all may be deleted."""


class Between(msgspec.Struct, frozen=True, tag_field="kind", tag="time", forbid_unknown_fields=True):
    """Segments with a commit in [since, until). None: without that limit."""

    since: Time | None = None
    until: Time | None = None


class OfSession(msgspec.Struct, frozen=True, tag_field="kind", tag="session", forbid_unknown_fields=True):
    """Segments with records of one session."""

    session: Text


class OfUser(msgspec.Struct, frozen=True, tag_field="kind", tag="user", forbid_unknown_fields=True):
    """Segments with records of one user, by the exact name in the log."""

    user: Text


Scope = Everything | Between | OfSession | OfUser


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One legal hold. by: the operating system's user who made it."""

    id: Text
    created_at: Time
    by: Text
    reason: Text
    scope: Scope


class Span(msgspec.Struct, frozen=True):
    """What a hold has to know of a segment. Times: of its first and last commit, UTC nanoseconds.

    undamaged: times and numbers are the segment's own. readable: whoever made the index could read it.
    """

    log: str
    stem: str
    first_ns: int
    last_ns: int
    next_record_seq: int  # one more than its last record
    undamaged: bool = True
    readable: bool = True


class Lookup(Protocol):
    """Asks the index."""

    def has_records(self, scope: OfSession | OfUser, span: Span) -> bool | None:
        """Whether the segment has records of a session or user; None: that cannot be told."""
        ...


class NoLookup:
    """For where there is no index: never knows."""

    def has_records(self, scope: OfSession | OfUser, span: Span) -> bool | None:
        return None


def held_by(holds: Sequence[Hold], span: Span, lookup: Lookup) -> list[str]:
    """The ids of the holds on one segment."""
    return [hold.id for hold in holds if _holds(hold.scope, span, lookup)]


def _holds(scope: Scope, span: Span, lookup: Lookup) -> bool:
    if isinstance(scope, Everything) or not span.undamaged:
        return True
    if isinstance(scope, Between):
        since_ns = utc_ns(scope.since) if scope.since is not None else None
        until_ns = utc_ns(scope.until) if scope.until is not None else None
        begins_in_time = until_ns is None or span.first_ns < until_ns
        return begins_in_time and (since_ns is None or span.last_ns >= since_ns)
    return not span.readable or lookup.has_records(scope, span) is not False


def utc_ns(at: datetime) -> int:
    """UTC nanoseconds, exactly (a float has not enough digits)."""
    return (at - _EPOCH) // _MICROSECOND * 1000


def from_ns(at_ns: int) -> datetime:
    """The time with its microseconds; a later part is dropped."""
    return _EPOCH + timedelta(microseconds=at_ns // 1000)


def describe_scope(scope: Scope) -> str:
    """For people: `all`, `session 01H...`, `user ann`, `2026-01-31T00:00:00Z .. now`."""
    if isinstance(scope, Everything):
        return "all"
    if isinstance(scope, OfSession):
        return f"session {scope.session}"
    if isinstance(scope, OfUser):
        return f"user {scope.user}"
    since = scope.since.isoformat() if scope.since is not None else "the beginning"
    until = scope.until.isoformat() if scope.until is not None else "the end"
    return f"{since} .. {until}"
