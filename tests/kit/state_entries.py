"""Entries of the shared state, with what a test does not care about filled in. Times: seconds after T0."""

from typing import Any, Final

from gateway.state.entries import (
    GrantRequested,
    GrantVoted,
    HoldRequested,
    HoldUsed,
    HoldVoted,
    Requester,
    Revoked,
    Voter,
)

S: Final = 1_000_000_000
T0: Final = 1_800_000_000 * S
HOLD: Final = "01K0000000AAAAAAAA11111111"
OTHER_HOLD: Final = "01K0000000BBBBBBBB11111111"
GRANT: Final = "01K0000000GGGGGGGG11111111"
ANN: Final = ("ann", "https://issuer")


def at(seconds: float) -> int:
    return T0 + int(seconds * S)


def requester(user: str = "ann", issuer: str = "https://issuer") -> Requester:
    return Requester(user, ("devs",), issuer, "c" * 32, "session-1", "192.0.2.1")


def asked(hold_id: str = HOLD, *, seconds: float = 0, wait_s: float = 300, **changes: Any) -> HoldRequested:
    """Ann's request to scale, held by a rule that bob, carol or an sre may decide."""
    fields: dict[str, Any] = {
        "requester": requester(),
        "digest": "d1",
        "rules": ("prod/scale",),
        "approver_users": ("bob", "carol", "ann"),
        "approver_groups": ("sre",),
        "quorum": 1,
        "scope": "command",
        "method": "PATCH",
        "target": "/apis/apps/v1/namespaces/prod/deployments/web/scale",
        "verb": "patch",
        "resource": "deployments.apps/scale",
        "command": "k1",
    }
    return HoldRequested(at_ns=at(seconds), id=hold_id, expires_ns=at(seconds + wait_s), **(fields | changes))


def said(
    user: str = "bob", *, seconds: float = 10, approve: bool = True, hold_id: str = HOLD, **changes: Any
) -> HoldVoted:
    voter = Voter(user, changes.pop("groups", ()), changes.pop("issuer", "https://issuer"))
    return HoldVoted(at_ns=at(seconds), id=hold_id, approve=approve, by=voter, **changes)


def used(digest: str = "d1", *, seconds: float = 20, hold_id: str = HOLD, exchange: str = "e1") -> HoldUsed:
    return HoldUsed(at_ns=at(seconds), id=hold_id, digest=digest, exchange=exchange)


def wanted(
    grant_id: str = GRANT, *, seconds: float = 0, wait_s: float = 600, **changes: Any
) -> GrantRequested:
    """Ann's request for the bundle debug-prod for an hour."""
    fields: dict[str, Any] = {
        "requester": requester(),
        "bundle": "debug-prod",
        "reason": "ticket 7",
        "duration_s": 3600,
        "approver_users": ("bob", "carol"),
        "approver_groups": ("sre",),
        "quorum": 1,
    }
    return GrantRequested(
        at_ns=at(seconds), id=grant_id, expires_ns=at(seconds + wait_s), **(fields | changes)
    )


def granted(
    user: str = "bob", *, seconds: float = 10, approve: bool = True, grant_id: str = GRANT, **changes: Any
) -> GrantVoted:
    voter = Voter(user, changes.pop("groups", ()), "https://issuer")
    return GrantVoted(at_ns=at(seconds), id=grant_id, approve=approve, by=voter, **changes)


def revoked(kind: str, subject: str, *, seconds: float = 30, **changes: Any) -> Revoked:
    fields: dict[str, Any] = {"id": f"r-{kind}-{subject}", "by": "bob", "reason": "left the company"}
    return Revoked(at_ns=at(seconds), subject_kind=kind, subject=subject, **(fields | changes))
