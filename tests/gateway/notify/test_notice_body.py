"""The JSON of a notice: who wants what; nothing that is more than a receiver needs."""

import json
from typing import Any

from gateway.notify.notice_body import encode_notice
from gateway.notify.notices import notices_of
from gateway.state.view import View
from tests.kit.state_entries import GRANT, HOLD, asked, at, revoked, said, wanted


def body_of(*entries: object, url: str = "") -> dict[str, Any]:
    view = View()
    for seq, entry in enumerate(entries, 1):
        view.apply(seq, entry)  # type: ignore[arg-type]
    (notice, *_) = notices_of(view, at(20))
    body: dict[str, Any] = json.loads(encode_notice(notice, at(20), cluster="prod", console_url=url))
    return body


def test_a_request_says_who_wants_what_and_who_decides() -> None:
    body = body_of(asked(argv=("ls",), body="BODY", diff="DIFF"), url="https://gw.example:8443")
    assert (body["apiVersion"], body["kind"], body["id"]) == (
        "kubetape/v1",
        "Notice",
        f"hold.requested/{HOLD}",
    )
    assert (body["event"], body["cluster"]) == ("hold.requested", "prod")
    assert body["url"] == f"https://gw.example:8443/api/v1/approvals/{HOLD}"
    approval = body["approval"]
    assert (approval["state"], approval["requester"]["user"]) == ("pending", "ann")
    assert approval["call"]["argv"] == ["ls"]
    assert approval["approvers"] == {"users": ["bob", "carol", "ann"], "groups": ["sre"]}


def test_neither_bodies_nor_digests_nor_credentials_leave_the_gateway() -> None:
    text = json.dumps(body_of(asked(body="BODY", diff="DIFF", digest="f00d"))) + json.dumps(body_of(wanted()))
    for kept in ("BODY", "DIFF", "f00d", "c" * 32):
        assert kept not in text


def test_a_decision_says_whose_it_is() -> None:
    approval = body_of(asked(), said(approve=False, note="wrong namespace"))["approval"]
    assert (approval["state"], approval["decidedBy"], approval["note"]) == (
        "denied",
        "bob",
        "wrong namespace",
    )


def test_grants_and_revocations_have_their_own_shape() -> None:
    grant = body_of(wanted(), url="https://gw")
    assert (grant["grant"]["bundle"], grant["url"]) == ("debug-prod", f"https://gw/api/v1/grants/{GRANT}")
    ended = body_of(revoked("user", "zoe"), url="https://gw")
    assert (ended["revocation"]["subject"], ended["url"]) == ("zoe", "https://gw/api/v1/revocations")
    assert "url" not in body_of(wanted())
