"""One notice as JSON: who wants what, and what became of it. Pure.

It leaves the gateway, so it holds less than the API shows: no body, no diff, no digest, no id of a credential. What is
in it was masked before it came into the state.
"""

from typing import Final

import msgspec

from gateway.console.documents import (
    ApprovalDocument,
    Document,
    GrantDocument,
    RevocationDocument,
    show_time,
)
from gateway.console.rights import Person
from gateway.console.showing import show_grant, show_hold, show_revocation
from gateway.notify.notices import Notice
from gateway.principal import Principal
from gateway.state.entries import Revoked
from gateway.state.hold_state import HoldState

API_VERSION: Final = "kubetape/v1"
_NOBODY: Final = Person(Principal("", (), "", ""))


class NoticeDocument(Document, frozen=True):
    """url: of the management API's document about it, where the configuration says how people reach it."""

    api_version: str
    kind: str
    id: str
    event: str
    at: str
    cluster: str
    url: str = ""
    approval: ApprovalDocument | None = None
    grant: GrantDocument | None = None
    revocation: RevocationDocument | None = None


def encode_notice(notice: Notice, now_ns: int, *, cluster: str, console_url: str = "") -> bytes:
    """The body that is signed and sent. console_url: without a slash at its end, or ""."""
    about = notice.about
    document = NoticeDocument(
        api_version=API_VERSION,
        kind="Notice",
        id=notice.id,
        event=notice.event,
        at=show_time(notice.at_ns),
        cluster=cluster,
        url=f"{console_url}/api/v1/{_resource(notice)}" if console_url else "",
    )
    if isinstance(about, Revoked):
        document = msgspec.structs.replace(document, revocation=show_revocation(about))
    elif isinstance(about, HoldState):
        document = msgspec.structs.replace(document, approval=_approval(about, now_ns))
    else:
        shown = show_grant(about, _NOBODY, now_ns)
        shown = msgspec.structs.replace(
            shown, requester=msgspec.structs.replace(shown.requester, credential_id="")
        )
        document = msgspec.structs.replace(document, grant=shown)
    return msgspec.json.encode(document)


def _approval(hold: HoldState, now_ns: int) -> ApprovalDocument:
    shown = show_hold(hold, _NOBODY, now_ns)
    return msgspec.structs.replace(
        shown,
        digest="",
        requester=msgspec.structs.replace(shown.requester, credential_id=""),
        call=msgspec.structs.replace(shown.call, body="", diff=""),
    )


def _resource(notice: Notice) -> str:
    about = notice.about
    if isinstance(about, Revoked):
        return "revocations"
    return f"approvals/{about.id}" if isinstance(about, HoldState) else f"grants/{about.id}"
