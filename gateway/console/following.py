"""A watch on approvals: each one this person may see, as a line, whenever it is not as it was last sent. Conduct.

The same question is asked again and again, "what may be seen now", so a watch never shows what a list would not. It
ends when the credential does, when access is revoked, and while the state is out of date.
"""

from collections.abc import Iterable
from typing import Final

import trio

from gateway.console.caller import still_welcome
from gateway.console.context import ApiCall, SendLine
from gateway.console.documents import ApprovalDocument
from gateway.console.finding import visible_holds
from gateway.console.showing import show_hold
from gateway.errors import Refusal
from gateway.state.hold_state import HoldState

QUIET_S: Final = 20.0
"""After so much silence a blank line is sent: who left is noticed, and no middlebox ends the connection."""
SHORTEST_S: Final = 0.01


async def follow_holds(call: ApiCall, state: str, send: SendLine) -> None:
    """Send documents until this person may see none any more. state: only those in it; the change out of it, too."""
    sent: dict[str, ApprovalDocument] = {}
    while True:
        news = _news(call, state, sent)
        if news is None:
            return
        for document in news:
            await send(document)
        if news:
            continue  # sending took time: look again before waiting, changes are not counted
        if not await _wait(call):
            await send(None)


def _news(call: ApiCall, state: str, sent: dict[str, ApprovalDocument]) -> list[ApprovalDocument] | None:
    """What is to be sent now, noted in `sent`; None: nothing ever again."""
    try:
        still_welcome(call)
    except Refusal:
        return None
    if call.state.is_stale:
        return None
    now_ns = call.now_ns
    holds = visible_holds(call.state.view, call.person, now_ns)
    news = []
    for hold in holds:
        document = show_hold(hold, call.person, now_ns)
        if document == sent.get(hold.id) or (state not in ("", document.state) and hold.id not in sent):
            continue
        sent[hold.id] = document
        news.append(document)
    _forget(sent, holds)
    return news


def _forget(sent: dict[str, ApprovalDocument], holds: Iterable[HoldState]) -> None:
    known = {hold.id for hold in holds}
    for hold_id in [hold_id for hold_id in sent if hold_id not in known]:
        del sent[hold_id]


async def _wait(call: ApiCall) -> bool:
    """Until something changed or may have ended by itself. Returns False after a long silence."""
    now_ns = call.now_ns
    ends = [end_ns for end_ns in _ends(call, now_ns) if end_ns > now_ns]
    sleep_s = min([QUIET_S, *((end_ns - now_ns) / 1e9 for end_ns in ends)])
    with trio.move_on_after(max(sleep_s, SHORTEST_S)) as scope:
        await call.state.wait_change()
    return not (scope.cancelled_caught and sleep_s == QUIET_S)


def _ends(call: ApiCall, now_ns: int) -> Iterable[int]:
    if call.person.principal.expires_ns is not None:
        yield call.person.principal.expires_ns
    for hold in visible_holds(call.state.view, call.person, now_ns):
        yield hold.request.expires_ns
        yield hold.covers_until_ns
