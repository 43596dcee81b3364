"""The person who decides: sees what waits through the management API, and says yes or no.

With somebody at the terminal it is that somebody, by one key. Without, or when no key is pressed, the demo decides as
its script says. Either way the vote goes the way every vote goes: `kubetape approvals approve|deny`.
"""

from functools import partial
from pathlib import Path
from typing import Final

import trio

from gateway.cli.console.client import ApiFailure, Client
from gateway.cli.console.options import Named
from gateway.console.documents import ApprovalDocument, ApprovalList
from gateway.console.words import wants
from gateway.demo.keypress import has_person, press_one_of
from gateway.demo.screen import Screen

POLL_S: Final = 0.1
KEY_S: Final = 20.0
"""How long a person has: less than what a held call stays open, so that it never looks like a timeout."""


async def next_request(kubeconfig: Path) -> ApprovalDocument:
    """What waits, once something does. Polls for ever; the caller has a deadline."""
    while True:
        try:
            found: ApprovalList = await trio.to_thread.run_sync(partial(_pending, kubeconfig))
        except ApiFailure as error:
            raise OSError(error.message) from error
        if found.items:
            return found.items[0]
        await trio.sleep(POLL_S)


async def decide(screen: Screen, approval: ApprovalDocument, *, scripted: bool, thinking_s: float) -> bool:
    """Yes or no, by a key if somebody is there and as scripted otherwise. thinking_s: of the script."""
    what = (
        f"{approval.requester.user} wants to {wants(approval.call)}: {approval.reason or approval.rules[0]}"
    )
    if not (screen.is_for_people and has_person()):
        await trio.sleep(thinking_s)
        return scripted
    question = f">>> {what}\n>>> you are oncall: y approves, n denies ({KEY_S:.0f} s)"
    key = await press_one_of("yn", KEY_S, partial(screen.say, question))
    if not key:
        screen.say(">>> no key: the demo decides")
    return scripted if not key else key == "y"


def _pending(kubeconfig: Path) -> ApprovalList:
    return Client(Named(kubeconfig=kubeconfig)).get("/api/v1/approvals?state=pending", ApprovalList)
