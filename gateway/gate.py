"""The last thing before a call goes ahead: people who must agree, and budgets that must not be used up. Conduct."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.admission import Admitted
from gateway.budgets.account import Account
from gateway.budgets.budgets import raised
from gateway.denial import Denial, deny, refuse
from gateway.holds import wait_for_approval
from gateway.judgement import judge_again
from gateway.policy.budget import Crossed
from gateway.policy.model import Action, Verdict
from gateway.services import Services
from gateway.state.hold_state import HoldState
from gateway.waiting import Waiting
from protocol.status import Cause
from storage.records import BudgetCrossed

MAX_RAISES: Final = 4
"""Budgets of one call that people may raise one after the other: one per counter that can be held."""


def is_unhindered(admitted: Admitted, services: Services) -> bool:
    """Whether there is nobody to ask and nothing to count, as for most calls; otherwise: `passed`."""
    verdict = admitted.verdict
    if verdict.action is Action.HOLD or verdict.budgets:
        return False
    return services.budgets.check(admitted.session, verdict, admitted.call) is None


async def passed(waiting: Waiting, *, on_open: Callable[[HoldState], None] = lambda _: None) -> Account:
    """Wait until the call may go ahead; it is charged then. Enter the account for as long as it runs.

    See `wait_for_approval` for what is raised.

    waiting.terms: of the verdict, where it is a hold; without meaning otherwise.
    """
    admitted, services = waiting.admitted, waiting.services
    if admitted.verdict.action is Action.HOLD:
        await wait_for_approval(waiting, on_open=on_open)
        _check_still_allowed(waiting)
    for _ in range(MAX_RAISES):
        crossed = services.budgets.check(admitted.session, admitted.verdict, admitted.call)
        if crossed is None:
            break
        await _over_budget(waiting, crossed, on_open)
    else:
        raise refuse(Denial("", "its budgets are used up"), admitted.call, waiting.tape.exchange)

    def cross(crossed: Crossed) -> None:
        _record(waiting, crossed)

    return services.budgets.account(waiting.live, admitted.verdict, admitted.call, cross)


async def _over_budget(waiting: Waiting, crossed: Crossed, on_open: Callable[[HoldState], None]) -> None:
    """Have people raise a budget, or refuse. Raises Refusal."""
    _record(waiting, crossed)
    terms = crossed.terms
    if crossed.is_freeze or terms.hold is None:
        cause = Cause("Budget", terms.counter)
        raise refuse(
            Denial(terms.rule, crossed.why, cause=cause), waiting.admitted.call, waiting.tape.exchange
        )
    asked = replace(waiting, terms=terms.hold)
    hold = await wait_for_approval(asked, on_open=on_open)
    state = waiting.services.state
    await state.append(raised(crossed, hold.id, state.now_ns()))
    _check_still_allowed(waiting)


def _check_still_allowed(waiting: Waiting) -> None:
    """Policy, grants and revocations as they are now, after the wait. Raises Refusal."""
    admitted, services = waiting.admitted, waiting.services
    services.revocations.enter(waiting.live, admitted.principal, admitted.session)
    verdict = judge_again(admitted.judgement, services)
    if verdict.action is Action.DENY:
        raise deny(verdict, admitted.call, admitted.principal, waiting.tape.exchange)
    if _is_another(verdict, admitted.verdict):
        changed = Denial("", "the policy changed while this call waited", "Repeat the command")
        raise refuse(changed, admitted.call, waiting.tape.exchange)


def _is_another(now: Verdict, then: Verdict) -> bool:
    """Whether other people would be asked under the policy of now, or something else hidden, recorded or counted."""
    if now.policy_sha256 == then.policy_sha256:
        return False
    return (now.hold is not None and now.hold != then.hold) or (
        (now.masks, now.scope, now.streams, now.budgets)
        != (then.masks, then.scope, then.streams, then.budgets)
    )


def _record(waiting: Waiting, crossed: Crossed) -> None:
    tape, terms = waiting.tape, crossed.terms
    tape.append(
        BudgetCrossed(
            tape.exchange, tape.at_us(), terms.rule, terms.counter, crossed.used, crossed.limit, terms.action
        )
    )
