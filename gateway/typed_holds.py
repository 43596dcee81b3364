"""A line typed into a terminal that people must see first: a hold of its own, bound to the session and the line."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from gateway.admission import Admitted
from gateway.holds import notice, wait_for_approval
from gateway.live import LiveExchange
from gateway.policy.model import Approvers, CommandRule, HoldTerms
from gateway.services import Services
from gateway.tape import Tape
from gateway.tunnel_steps import Left
from gateway.typed_guard import AskPeople
from gateway.waiting import Waiting
from protocol.events import RequestHead

Tell: TypeAlias = Callable[[str], None]
"""Shows the client a line."""


def people_for_lines(
    head: RequestHead, tape: Tape, services: Services, live: LiveExchange, admitted: Admitted
) -> AskPeople:
    """How lines of this exec or attach are asked for."""

    async def ask(rule: CommandRule, line: str, left: Left, tell: Tell) -> None:
        terms = rule.hold or HoldTerms(rule.rule, Approvers())
        # What is approved is this line in this session, shown as if it were the command of the exec.
        typed = msgspec.structs.replace(admitted.call, argv=(line,))
        asked = msgspec.structs.replace(terms, rule=rule.rule, scope="request", reason=rule.reason)
        waiting = Waiting(
            head, left, tape, services, live, admitted.with_call(typed), asked, tape.exchange + line.encode()
        )
        await wait_for_approval(waiting, on_open=lambda hold: tell(notice(hold)))

    return ask
