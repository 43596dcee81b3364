"""What Slack shows: messages, their buttons, the form behind a button. Pure.

The trap: what somebody asks for must not become Slack's markup, a link or a mention. So it stands in plain text and
preformatted elements only, made printable and cut; the fallback text of a notification is escaped.
Source: docs.slack.dev reference/block-kit.
"""

from typing import Any, Final, TypeAlias

from gateway.console.documents import ApprovalDocument, GrantDocument
from gateway.console.words import approvers, wants
from gateway.notify.notice_body import NoticeDocument
from gateway.notify.slack_replies import APPROVE, DENY, NOTE_BLOCK, NOTE_INPUT, VOTE, Pressed
from storage.ansi import printable

Json: TypeAlias = dict[str, Any]

MAX_TEXT: Final = 2900
"""Slack takes 3000 characters in a text."""


def message(notice: NoticeDocument) -> Json:
    """`text` and `blocks` of a message: with buttons while somebody waits, without them afterwards."""
    title, detail = _words(notice)
    blocks: list[Json] = [_plain(title), *([_preformatted(detail)] if detail else [])]
    asked = notice.approval or notice.grant
    if asked is not None:
        blocks.append(_plain(_facts(asked)))
        if asked.state == "pending":
            subject = f"{'hold' if notice.approval else 'grant'}:{asked.id}"
            blocks.append(_buttons(subject))
    return {"text": _escaped(title), "blocks": blocks}


def note_form(pressed: Pressed) -> Json:
    """The form behind a button: a note, which a denial needs."""
    word = "Approve" if pressed.approve else "Deny"
    return {
        "type": "modal",
        "callback_id": VOTE,
        "private_metadata": f"{'approve' if pressed.approve else 'deny'} {pressed.subject}",
        "title": {"type": "plain_text", "text": f"{word} {pressed.subject.partition(':')[2][10:18]}"},
        "submit": {"type": "plain_text", "text": word},
        "close": {"type": "plain_text", "text": "Back"},
        "blocks": [
            {
                "type": "input",
                "block_id": NOTE_BLOCK,
                "optional": pressed.approve,
                "label": {"type": "plain_text", "text": "Note for whoever asked"},
                "element": {"type": "plain_text_input", "action_id": NOTE_INPUT, "max_length": 1000},
            }
        ],
    }


def sorry_form(why: str) -> Json:
    """A form with one line and nothing to send."""
    return {
        "type": "modal",
        "title": {"type": "plain_text", "text": "kubetape"},
        "close": {"type": "plain_text", "text": "Back"},
        "blocks": [_plain(why)],
    }


def refused(why: str) -> Json:
    """The answer to a form whose vote was refused: it stays open and says why."""
    return {"response_action": "errors", "errors": {NOTE_BLOCK: printable(why)[:MAX_TEXT]}}


# --- words ------------------------------------------------------------------------------------------


def _words(notice: NoticeDocument) -> tuple[str, str]:
    """A title, and what is shown as it is."""
    if notice.approval is not None:
        approval = notice.approval
        title = f"{approval.requester.user} {_asks(approval.state)}: {wants(approval.call)}"
        return f"[{notice.cluster}] {title}", f"{approval.call.method} {approval.call.target}"
    if notice.grant is not None:
        grant = notice.grant
        title = f"{grant.requester.user} {_asks(grant.state)}: {grant.bundle} for {grant.duration_seconds} s"
        return f"[{notice.cluster}] {title}", grant.reason
    revocation = notice.revocation
    if revocation is None:
        return f"[{notice.cluster}] {notice.event}", ""
    return (
        f"[{notice.cluster}] {revocation.by} revoked {revocation.kind} {revocation.subject}",
        revocation.reason,
    )


def _asks(state: str) -> str:
    return "asks for approval" if state == "pending" else f"asked for approval ({state})"


def _facts(asked: ApprovalDocument | GrantDocument) -> str:
    facts = [f"id {asked.short_id}"]
    if asked.state == "pending":
        facts += [f"may be decided by {approvers(asked)}", f"until {asked.expires_at}"]
    elif asked.decided_by:
        facts += [f"{asked.state}: decided by {asked.decided_by}"]
    else:
        facts += [asked.state]
    if isinstance(asked, ApprovalDocument):
        facts += [f"rule {', '.join(asked.rules)}", *([asked.reason] if asked.reason else [])]
    return "; ".join([*facts, *([f"note: {asked.note}"] if asked.note else [])])


def _plain(text: str) -> Json:
    return {"type": "section", "text": {"type": "plain_text", "text": _cut(text), "emoji": False}}


def _preformatted(text: str) -> Json:
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": _cut(text)}]}
    return {"type": "rich_text", "elements": [element]}


def _buttons(subject: str) -> Json:
    def button(word: str, action: str, style: str) -> Json:
        text = {"type": "plain_text", "text": word}
        return {"type": "button", "text": text, "action_id": action, "value": subject, "style": style}

    return {
        "type": "actions",
        "elements": [button("Approve...", APPROVE, "primary"), button("Deny...", DENY, "danger")],
    }


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 3] + "..."


def _escaped(text: str) -> str:
    return _cut(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
