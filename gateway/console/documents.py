"""The documents of the API: what an answer holds. Pure; also what the command line decodes, so it imports nothing of ours.

Times are RFC 3339 in UTC, durations whole seconds; nothing counts down, so a document changes only when something
happened. Request texts were masked before they came into the state. They are still a stranger's words: whoever shows
them in a terminal or a page makes them harmless there.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

HOLD_STATES: Final = ("pending", "approved", "denied", "expired", "used", "closed")
GRANT_STATES: Final = ("pending", "active", "ended", "denied", "revoked", "expired")

SHORT_ID: Final = slice(10, 18)
"""The first 8 characters of a ULID's random part: what people type."""


class Document(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base: what is absent is empty, zero or false."""


class RequesterDocument(Document, frozen=True):
    """Who asked. credentialId: names the credential without being one."""

    user: str
    groups: tuple[str, ...] = ()
    issuer: str = ""
    session: str = ""
    source: str = ""
    credential_id: str = ""


class ApproversDocument(Document, frozen=True):
    """Any of these people may decide; quorum: how many have to agree."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    quorum: int = 1


class VoteDocument(Document, frozen=True):
    user: str
    approve: bool = False
    at: str = ""
    note: str = ""


class CallDocument(Document, frozen=True):
    """The exact request that waits, masked. objects: how many it touches, as far as known."""

    method: str
    target: str
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    argv: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    objects: int = 0
    kubectl_command: str = ""
    body: str = ""
    diff: str = ""


class PastDocument(Document, frozen=True):
    """An earlier hold of the same requester."""

    id: str
    short_id: str
    state: str
    method: str
    target: str
    requested_at: str


class ApprovalDocument(Document, frozen=True):
    """A hold. state: pending, approved, denied, expired, used, closed. mayDecide: whether you may vote now.

    widestScope: what an approver may choose. coversUntil: until when further calls of the command may go ahead.
    """

    id: str
    short_id: str
    state: str
    requester: RequesterDocument
    call: CallDocument
    rules: tuple[str, ...]
    approvers: ApproversDocument
    requested_at: str
    expires_at: str
    digest: str
    widest_scope: str
    reason: str = ""
    exchange: str = ""
    votes: tuple[VoteDocument, ...] = ()
    uses: int = 0
    decided_by: str = ""
    decided_at: str = ""
    note: str = ""
    covers_until: str = ""
    may_decide: bool = False
    is_own: bool = False
    history: tuple[PastDocument, ...] = ()


class GrantDocument(Document, frozen=True):
    """A grant or the request for one. state: pending, active, ended, denied, revoked, expired."""

    id: str
    short_id: str
    state: str
    bundle: str
    requester: RequesterDocument
    approvers: ApproversDocument
    requested_at: str
    expires_at: str  # of the request
    duration_seconds: int
    reason: str = ""
    votes: tuple[VoteDocument, ...] = ()
    begins_at: str = ""
    ends_at: str = ""
    decided_by: str = ""
    note: str = ""
    may_decide: bool = False
    is_own: bool = False


class BundleDocument(Document, frozen=True):
    """What may be asked for. rules: their ids in the policy; lifts: hold rules that do not count for who has it."""

    bundle: str
    max_duration_seconds: int
    approvers: ApproversDocument
    rules: tuple[str, ...] = ()
    lifts: tuple[str, ...] = ()
    reason: str = ""


class RevocationDocument(Document, frozen=True):
    """kind: user, credential, session, grant or hold. until: absent for ever."""

    id: str
    kind: str
    subject: str
    by: str
    reason: str
    at: str
    until: str = ""


class WhoamiDocument(Document, frozen=True):
    """How the gateway knows you. session: the open one of this credential on the data port."""

    user: str
    groups: tuple[str, ...] = ()
    issuer: str = ""
    method: str = ""
    credential_id: str = ""
    session: str = ""
    is_admin: bool = False
    expires_at: str = ""


class ApprovalList(msgspec.Struct, frozen=True):
    items: tuple[ApprovalDocument, ...]


class GrantList(msgspec.Struct, frozen=True):
    items: tuple[GrantDocument, ...]


class BundleList(msgspec.Struct, frozen=True):
    items: tuple[BundleDocument, ...]


class RevocationList(msgspec.Struct, frozen=True):
    items: tuple[RevocationDocument, ...]


def show_time(at_ns: int) -> str:
    """UTC nanoseconds -> 2026-01-31T10:00:00.123Z; "" for 0, which is never."""
    if not at_ns:
        return ""
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}Z"
