"""The rows of lists of approvals, grants, bundles and revocations, and how much time is left."""

import time
from datetime import datetime

import msgspec

from gateway.cli.output import Column, Style, View, duration
from gateway.console.documents import (
    ApprovalDocument,
    BundleDocument,
    GrantDocument,
    RevocationDocument,
)
from gateway.console.words import approvers, wants


def approvals_view(style: Style) -> View[ApprovalDocument]:
    return View(
        (
            Column("ID", lambda one: one.short_id, width=8),
            Column("STATE", lambda one: one.state, width=8),
            Column("LEFT", lambda one: left(one.expires_at) if one.state == "pending" else "-", width=6),
            Column("USER", lambda one: one.requester.user, width=16),
            Column("WANTS", lambda one: wants(one.call), width=32),
            Column("RULE", lambda one: ", ".join(one.rules)),
            Column("REQUESTED", lambda one: shown_time(one.requested_at, style), wide=True),
            Column("DECIDED BY", lambda one: one.decided_by or "-", wide=True),
            Column("NOTE", lambda one: one.note or "-", wide=True),
        ),
        data=msgspec.to_builtins,
        name=lambda one: one.id,
    )


def grants_view(style: Style) -> View[GrantDocument]:
    return View(
        (
            Column("ID", lambda one: one.short_id),
            Column("STATE", lambda one: one.state),
            Column("LEFT", lambda one: _grant_left(one)),
            Column("USER", lambda one: one.requester.user),
            Column("BUNDLE", lambda one: one.bundle),
            Column("FOR", lambda one: duration(one.duration_seconds * 1_000_000)),
            Column("REASON", lambda one: one.reason),
            Column("REQUESTED", lambda one: shown_time(one.requested_at, style), wide=True),
            Column("DECIDED BY", lambda one: one.decided_by or "-", wide=True),
            Column("NOTE", lambda one: one.note or "-", wide=True),
        ),
        data=msgspec.to_builtins,
        name=lambda one: one.id,
    )


def bundles_view() -> View[BundleDocument]:
    return View(
        (
            Column("BUNDLE", lambda one: one.bundle),
            Column("AT MOST", lambda one: duration(one.max_duration_seconds * 1_000_000)),
            Column("APPROVERS", lambda one: approvers(one)),
            Column("REASON", lambda one: one.reason or "-"),
            Column("RULES", lambda one: ", ".join(one.rules) or "-", wide=True),
            Column("LIFTS", lambda one: ", ".join(one.lifts) or "-", wide=True),
        ),
        data=msgspec.to_builtins,
        name=lambda one: one.bundle,
    )


def revocations_view(style: Style) -> View[RevocationDocument]:
    return View(
        (
            Column("ID", lambda one: one.id[10:18]),
            Column("KIND", lambda one: "token" if one.kind == "credential" else one.kind),
            Column("SUBJECT", lambda one: one.subject),
            Column("BY", lambda one: one.by),
            Column("UNTIL", lambda one: shown_time(one.until, style) if one.until else "lifted"),
            Column("REASON", lambda one: one.reason),
            Column("MADE", lambda one: shown_time(one.at, style), wide=True),
        ),
        data=msgspec.to_builtins,
        name=lambda one: one.id,
    )


def to_ns(text: str) -> int:
    """RFC 3339 -> UTC nanoseconds; 0 for what is no time."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000
    except ValueError:
        return 0


def left(text: str) -> str:
    """Until then, from now: 4m12s; "0s" when it is over."""
    remaining_s = (to_ns(text) - time.time_ns()) // 1_000_000_000
    return duration(remaining_s * 1_000_000) if remaining_s > 0 else "0s"


def shown_time(text: str, style: Style) -> str:
    return style.time(to_ns(text)) if text else "-"


def _grant_left(grant: GrantDocument) -> str:
    if grant.state == "active":
        return left(grant.ends_at)
    return left(grant.expires_at) if grant.state == "pending" else "-"
