"""What Slack's buttons and forms send back -> who wants what. Pure; strict about what is ours, tolerant of all else.

Whether that person may is asked later: here is only what was pressed, and by which Slack user, which Slack vouches for.
Source: docs.slack.dev interactivity/handling-user-interaction.
"""

import re
from typing import Final

import msgspec

APPROVE: Final = "kubetape_approve"
DENY: Final = "kubetape_deny"
VOTE: Final = "kubetape_vote"
NOTE_BLOCK: Final = "note"
NOTE_INPUT: Final = "text"

_SUBJECT: Final = re.compile(r"(hold|grant):([0-9A-HJKMNP-TV-Z]{26})")


class Pressed(msgspec.Struct, frozen=True):
    """A button. subject: "hold:ID" or "grant:ID"."""

    user: str
    trigger: str
    subject: str
    approve: bool


class Submitted(msgspec.Struct, frozen=True):
    """The form that asks for a note."""

    user: str
    subject: str
    approve: bool
    note: str


class _User(msgspec.Struct, frozen=True):
    id: str


class _Action(msgspec.Struct, frozen=True):
    action_id: str
    value: str = ""


class _Pressed(msgspec.Struct, frozen=True):
    user: _User
    trigger_id: str
    actions: list[_Action]


class _Input(msgspec.Struct, frozen=True):
    value: str | None = None


class _State(msgspec.Struct, frozen=True):
    values: dict[str, dict[str, _Input]]


class _View(msgspec.Struct, frozen=True):
    callback_id: str
    private_metadata: str
    state: _State


class _Submitted(msgspec.Struct, frozen=True):
    user: _User
    view: _View


def read_interaction(payload: object) -> Pressed | Submitted | None:
    """What a person did; None for what is not ours or not understood."""
    kind = payload.get("type") if isinstance(payload, dict) else None
    try:
        if kind == "block_actions":
            return _pressed(msgspec.convert(payload, _Pressed))
        if kind == "view_submission":
            return _submitted(msgspec.convert(payload, _Submitted))
    except msgspec.ValidationError:
        return None
    return None


def _pressed(found: _Pressed) -> Pressed | None:
    for action in found.actions:
        if action.action_id in (APPROVE, DENY) and _SUBJECT.fullmatch(action.value):
            return Pressed(found.user.id, found.trigger_id, action.value, action.action_id == APPROVE)
    return None


def _submitted(found: _Submitted) -> Submitted | None:
    word, _, subject = found.view.private_metadata.partition(" ")
    if found.view.callback_id != VOTE or word not in ("approve", "deny") or not _SUBJECT.fullmatch(subject):
        return None
    typed = found.view.state.values.get(NOTE_BLOCK, {}).get(NOTE_INPUT, _Input())
    note = " ".join((typed.value or "").split())
    return Submitted(found.user.id, subject, word == "approve", note)
