"""What the shared state consists of: one frozen struct per kind of entry, as tagged JSON.

Entries are only ever added; what is in force now is a fold over them (`gateway.state.view`). An end is a field of the
entry that begins something, never a job that must run. Times: UTC nanoseconds. Texts were masked before they came here.
"""

from typing import Final, TypeAlias

import msgspec


class Entry(msgspec.Struct, frozen=True, tag_field="kind", rename="camel", forbid_unknown_fields=True):
    """Base of all kinds."""

    at_ns: int


class Requester(msgspec.Struct, frozen=True, rename="camel"):
    """Who asked. issuer and subject tell people apart whose names are equal."""

    user: str
    groups: tuple[str, ...] = ()
    issuer: str = ""
    credential_id: str = ""
    session: str = ""
    source: str = ""


class Voter(msgspec.Struct, frozen=True, rename="camel"):
    """Who decided."""

    user: str
    groups: tuple[str, ...] = ()
    issuer: str = ""


# --- holds ----------------------------------------------------------------------------------------


class HoldRequested(Entry, frozen=True, tag="HoldRequested"):
    """A call waits. id: 26 characters, ULID; its first 8 from the random part are what people type.

    digest: hex SHA-256 of the exact request. command: what further calls must share to be covered by a "command"
    approval (hex; "" where only this request can be). expires_ns: end of the waiting and of an unused approval.
    """

    id: str
    expires_ns: int
    requester: Requester
    digest: str
    rules: tuple[str, ...]
    approver_users: tuple[str, ...]
    approver_groups: tuple[str, ...]
    quorum: int
    scope: str  # "command" or "request": the widest an approver may choose
    method: str
    target: str
    verb: str
    resource: str  # "deployments.apps/scale"
    namespace: str = ""
    name: str = ""
    command: str = ""
    kubectl_command: str = ""  # a hint of the client
    argv: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    body: str = ""  # masked, cut
    diff: str = ""  # what a dry run says would change, masked, cut
    objects: int = 1  # how many objects it touches, as far as known
    reason: str = ""  # of the rule
    exchange: str = ""  # hex, of the first call that waits


class HoldVoted(Entry, frozen=True, tag="HoldVoted"):
    """One person's word. for_s: how long a "command" approval covers further calls."""

    id: str
    approve: bool
    by: Voter
    note: str = ""
    scope: str = "command"
    for_s: int = 60


class HoldUsed(Entry, frozen=True, tag="HoldUsed"):
    """An approved call went ahead. Written under a unique key (hold, digest) before anything is forwarded."""

    id: str
    digest: str
    exchange: str


class HoldClosed(Entry, frozen=True, tag="HoldClosed"):
    """Nobody waits any more: "withdrawn", "expired", "revoked"."""

    id: str
    why: str


# --- grants ---------------------------------------------------------------------------------------


class GrantRequested(Entry, frozen=True, tag="GrantRequested"):
    """Somebody asks for a bundle of the policy. expires_ns: of the request; duration_s: of the grant, once approved."""

    id: str
    expires_ns: int
    requester: Requester
    bundle: str
    reason: str
    duration_s: int
    approver_users: tuple[str, ...]
    approver_groups: tuple[str, ...]
    quorum: int


class GrantVoted(Entry, frozen=True, tag="GrantVoted"):
    """One person's word. The grant begins with the vote that completes the quorum and ends duration_s later."""

    id: str
    approve: bool
    by: Voter
    note: str = ""
    duration_s: int = 0  # shorter than asked for; 0: as asked


# --- revocations ----------------------------------------------------------------------------------


class Revoked(Entry, frozen=True, tag="Revoked"):
    """subject_kind: "user", "credential", "session", "grant", "hold". until_ns: 0 for ever. Reason: shown to the user."""

    id: str
    subject_kind: str
    subject: str
    by: str
    reason: str
    until_ns: int = 0


class Reinstated(Entry, frozen=True, tag="Reinstated"):
    """A revocation of a user, credential or session is lifted. id: of the revocation."""

    id: str
    by: str
    reason: str


# --- budgets --------------------------------------------------------------------------------------


class BudgetSpent(Entry, frozen=True, tag="BudgetSpent"):
    """subject: a session or grant id; amount of one counter since the last such entry of this worker."""

    subject: str
    counter: str
    amount: int
    names: tuple[str, ...] = ()  # of podsTouched: hashes, so that a pod counts once


class BudgetRaised(Entry, frozen=True, tag="BudgetRaised"):
    """An approved hold of a budget gives its subject another limit's worth."""

    subject: str
    counter: str
    amount: int
    hold: str = ""


AnyEntry: TypeAlias = (
    HoldRequested
    | HoldVoted
    | HoldUsed
    | HoldClosed
    | GrantRequested
    | GrantVoted
    | Revoked
    | Reinstated
    | BudgetSpent
    | BudgetRaised
)

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(AnyEntry)


def encode_entry(entry: AnyEntry) -> bytes:
    """The bytes that are stored, signed and recorded."""
    return _ENCODER.encode(entry)


def decode_entry(encoded: bytes) -> AnyEntry:
    """Raises msgspec.DecodeError, UnicodeDecodeError: not an entry of this version."""
    entry: AnyEntry = _DECODER.decode(encoded)
    return entry
