"""What Slack shows and sends back: nothing that was asked for becomes markup, nothing foreign becomes a vote."""

import json
from typing import Any

import msgspec
import pytest

from gateway.notify.notice_body import NoticeDocument, encode_notice
from gateway.notify.notices import notices_of
from gateway.notify.slack_messages import MAX_TEXT, message, note_form, refused, sorry_form
from gateway.notify.slack_replies import Pressed, Submitted, read_interaction
from gateway.state.view import View
from tests.kit.state_entries import GRANT, HOLD, asked, at, revoked, said, wanted


def shown(*entries: object) -> dict[str, Any]:
    view = View()
    for seq, entry in enumerate(entries, 1):
        view.apply(seq, entry)  # type: ignore[arg-type]
    (notice, *_) = notices_of(view, at(20))
    body = encode_notice(notice, at(20), cluster="prod")
    return message(msgspec.json.decode(body, type=NoticeDocument))


def buttons(message: dict[str, Any]) -> list[str]:
    return [
        e["value"] for block in message["blocks"] if block["type"] == "actions" for e in block["elements"]
    ]


def test_a_request_has_buttons_that_name_it() -> None:
    assert buttons(shown(asked())) == [f"hold:{HOLD}"] * 2
    assert buttons(shown(wanted())) == [f"grant:{GRANT}"] * 2


def test_what_is_decided_has_none_and_says_by_whom() -> None:
    decided = shown(asked(), said(approve=False, note="wrong namespace"))
    assert buttons(decided) == []
    assert "denied: decided by bob" in json.dumps(decided)
    assert "wrong namespace" in json.dumps(decided)
    assert buttons(shown(revoked("user", "zoe"))) == []
    assert "expired" in json.dumps(shown(asked(wait_s=5)))


def test_what_was_asked_for_becomes_no_markup_and_no_mention() -> None:
    name = "<!channel> *bold* <https://evil|click> `x`\n\u202e\x1b[2J"
    one = shown(asked(name=name, target=f"/api/{name}"))
    assert "<" not in one["text"]
    assert "&lt;!channel&gt;" in one["text"]
    for text in texts(one["blocks"]):
        assert text["type"] in ("plain_text", "text")
        assert "\x1b" not in text["text"]
        assert "\u202e" not in text["text"]
        assert "\n" not in text["text"]


def texts(node: Any) -> list[dict[str, Any]]:
    """Every text object."""
    if isinstance(node, list):
        return [text for item in node for text in texts(item)]
    if isinstance(node, dict):
        own = [node] if isinstance(node.get("text"), str) else []
        return own + [text for value in node.values() for text in texts(value)]
    return []


def test_texts_are_no_longer_than_slack_takes() -> None:
    one = shown(asked(target="/" + "x" * 10_000))
    assert max(len(text["text"]) for text in texts(one["blocks"])) == MAX_TEXT


def test_only_a_denial_has_to_say_why() -> None:
    approving, denying = (note_form(Pressed("U1", "t", f"hold:{HOLD}", approve)) for approve in (True, False))
    assert approving["blocks"][0]["optional"]
    assert not denying["blocks"][0]["optional"]
    assert (approving["private_metadata"], denying["private_metadata"]) == (
        f"approve hold:{HOLD}",
        f"deny hold:{HOLD}",
    )
    assert approving["title"]["text"] == f"Approve {HOLD[10:18]}"
    assert "submit" not in sorry_form("no")
    assert refused("a\nb")["errors"] == {"note": "a\\x0ab"}


def press(action: str, value: str) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": "U1", "name": "x"},
        "trigger_id": "t",
        "actions": [{"action_id": action, "value": value}],
    }


def form(metadata: str, note: str | None = "ok", callback: str = "kubetape_vote") -> dict[str, Any]:
    values = {"note": {"text": {"type": "plain_text_input", "value": note}}}
    view = {"callback_id": callback, "private_metadata": metadata, "state": {"values": values}}
    return {"type": "view_submission", "user": {"id": "U1"}, "view": view}


def test_a_button_and_a_form_are_understood() -> None:
    assert read_interaction(press("kubetape_deny", f"hold:{HOLD}")) == Pressed(
        "U1", "t", f"hold:{HOLD}", False
    )
    assert read_interaction(form(f"approve grant:{GRANT}", " two\n lines ")) == Submitted(
        "U1", f"grant:{GRANT}", True, "two lines"
    )
    empty = read_interaction(form(f"approve hold:{HOLD}", None))
    assert isinstance(empty, Submitted)
    assert empty.note == ""


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"type": "block_actions"},
        {"type": "shortcut", "user": {"id": "U1"}},
        press("other_app", f"hold:{HOLD}"),
        press("kubetape_approve", "hold:../x"),
        press("kubetape_approve", ""),
        form(f"approve hold:{HOLD}", callback="other"),
        form(f"perhaps hold:{HOLD}"),
        form("approve"),
        {**form(f"approve hold:{HOLD}"), "user": {"id": 5}},
    ],
)
def test_what_is_not_ours_is_no_vote(payload: object) -> None:
    assert read_interaction(payload) is None
