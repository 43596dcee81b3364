"""What may be said only once, and until when an entry matters. Pure.

The unique key of an entry is what makes an approval single-use and a vote single: the store refuses a second entry
with the same key, whichever gateway writes it. Expiry only decides what a start has to read; it is never what ends a
grant or a hold (their own fields do), so it may be later than needed but never earlier.
"""

from typing import Final

from gateway.state.entries import (
    AnyEntry,
    BudgetRaised,
    BudgetSpent,
    GrantRequested,
    GrantVoted,
    HoldClosed,
    HoldRequested,
    HoldUsed,
    HoldVoted,
    Reinstated,
    Revoked,
)
from gateway.state.hold_state import MAX_COVER_S, NS_PER_S
from gateway.state.ledgers import KEPT_NS
from gateway.state.view import View
from gateway.state.voting import person

UNKNOWN_NS: Final = 30 * 24 * 3600 * NS_PER_S
"""For what is said of a hold or grant that is not known here: it gives nothing, and need not stay for ever."""


def unique_key(entry: AnyEntry) -> str:
    """The key under which the store takes this entry once; "": it may be repeated."""
    match entry:
        case HoldRequested():
            return f"hold/{entry.id}"
        case HoldVoted():
            return f"hold/{entry.id}/vote/{person(entry.by.user)}"
        case HoldUsed():
            return f"hold/{entry.id}/use/{entry.digest}"
        case HoldClosed():
            return f"hold/{entry.id}/closed"
        case GrantRequested():
            return f"grant/{entry.id}"
        case GrantVoted():
            return f"grant/{entry.id}/vote/{person(entry.by.user)}"
        case Revoked():
            return f"revocation/{entry.id}"
        case Reinstated():
            return f"revocation/{entry.id}/lifted"
        case BudgetRaised():
            return f"raise/{entry.hold}/{entry.subject}/{entry.counter}" if entry.hold else ""
        case BudgetSpent():
            return ""


def needed_until_ns(entry: AnyEntry, view: View) -> int:
    """When the entry stops to matter, UTC nanoseconds; 0: never. view: holds what it refers to."""
    match entry:
        case HoldRequested():
            return _hold_end(entry)
        case HoldVoted() | HoldUsed() | HoldClosed():
            hold = view.hold(entry.id)
            return _hold_end(hold.request) if hold is not None else entry.at_ns + UNKNOWN_NS
        case GrantRequested():
            return _grant_end(entry)
        case GrantVoted():
            grant = view.grant(entry.id)
            return _grant_end(grant.request) if grant is not None else entry.at_ns + UNKNOWN_NS
        case Revoked():
            return _revocation_end(entry, view)
        case BudgetSpent() | BudgetRaised():
            return entry.at_ns + KEPT_NS
        case Reinstated():
            return 0  # as long as the revocation it lifts, which may be for ever


def _hold_end(request: HoldRequested) -> int:
    return request.expires_ns + MAX_COVER_S * NS_PER_S


def _grant_end(request: GrantRequested) -> int:
    return request.expires_ns + request.duration_s * NS_PER_S


def _revocation_end(entry: Revoked, view: View) -> int:
    if entry.subject_kind == "hold":
        hold = view.hold(entry.subject)
        return _hold_end(hold.request) if hold is not None else entry.until_ns
    if entry.subject_kind == "grant":
        grant = view.grant(entry.subject)
        return _grant_end(grant.request) if grant is not None else entry.until_ns
    return entry.until_ns
