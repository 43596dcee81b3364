"""Finding or opening the hold of a call that waits for people. Conduct.

A call joins what is there: its own earlier attempt, or another call of the same command. The trap is two that come at
once and both find nothing: in this process they queue; of two gateways the one that was stored first stands.
"""

from typing import Final

import trio

from gateway.denial import Denial, refuse
from gateway.errors import STATE_UNAVAILABLE, Refusal
from gateway.hold_request import hold_request
from gateway.preview import preview
from gateway.state.entries import HoldClosed
from gateway.state.hold_state import HoldState
from gateway.state.store import StateError
from gateway.waiting import Waiting
from storage.records import Held

MAX_PENDING: Final = 50
"""Holds of one person at a time."""
FALLBACK_S: Final = 5.0
"""How soon a client repeats a stream that was refused, over its other transport."""
OVER_WEBSOCKET: Final = "GET"
"""The method of a stream's handshake; over SPDY it is POST."""


async def open_hold(waiting: Waiting) -> HoldState:
    """The hold this call joins, or a new one; recorded, durable. Raises Refusal when the state cannot be asked.

    From the moment on in which others may see that the call waits, it is not cut before the record says so too: then
    its waiting has an end there as well.
    """
    tape, services, principal = waiting.tape, waiting.services, waiting.admitted.principal
    if services.state.is_stale:
        raise Refusal(
            STATE_UNAVAILABLE, f"kubetape cannot ask for an approval now: {services.state.problem()}"
        )
    user_key = (principal.user, principal.issuer)
    # Calls of one command come at once, and the first of them is still looking at what it would do.
    async with services.opening_holds.locked((user_key, waiting.command or waiting.digest)):
        hold = _to_join(waiting) or _refused_just_now(waiting)
        is_joined = hold is not None
        if hold is None:
            _check_pending(waiting)
            hold = await _new_hold(waiting)
    digest = bytes.fromhex(waiting.digest)
    rules = waiting.admitted.verdict.rules
    tape.append(Held(tape.exchange, tape.at_us(), hold.id, rules, digest, is_joined), urgent=True)
    with trio.CancelScope(shield=True):
        await tape.durable()
    return hold


def _check_pending(waiting: Waiting) -> None:
    """Nobody may bury the approvers, or the state, in requests. Raises Refusal."""
    state, principal = waiting.services.state, waiting.admitted.principal
    now_ns = state.now_ns()
    asked = (hold for hold in state.view.holds(now_ns) if hold.request.requester.user == principal.user)
    if sum(hold.state(now_ns) == "pending" for hold in asked) >= MAX_PENDING:
        why = f"{MAX_PENDING} of your calls wait for approval already"
        denial = Denial(waiting.terms.rule, why, "Wait until some of them are decided")
        raise refuse(denial, waiting.admitted.call, waiting.tape.exchange)


def _to_join(waiting: Waiting) -> HoldState | None:
    """The hold of this person that this call is decided together with."""
    principal = waiting.admitted.principal
    user_key = (principal.user, principal.issuer)
    return waiting.services.state.hold_for(user_key, waiting.digest, waiting.command)


async def _new_hold(waiting: Waiting) -> HoldState:
    """Ask. Another gateway may have asked for the same command in the meantime: then the first one stands."""
    tape, state, admitted = waiting.tape, waiting.services.state, waiting.admitted
    shown = await preview(waiting.services, tape, admitted, waiting.body)
    entry = hold_request(
        admitted, waiting.terms, waiting.body, shown, waiting.digest, waiting.command, tape.exchange
    )
    try:
        with trio.CancelScope(shield=True):
            await state.append(entry)
            # Somebody may have decided already: a hold that was denied is joined by nobody, but it is ours.
            hold = _to_join(waiting) or state.hold(entry.id)
            if hold is not None and hold.id != entry.id:
                await state.append(HoldClosed(state.now_ns(), entry.id, "withdrawn"))
    except StateError as error:
        raise Refusal(STATE_UNAVAILABLE, f"kubetape cannot ask for an approval now: {error}") from error
    if hold is None:
        raise Refusal(STATE_UNAVAILABLE, "kubetape's request for an approval is gone: try again")
    return hold


def _refused_just_now(waiting: Waiting) -> HoldState | None:
    """The hold on which this stream was refused a moment ago: told no over WebSocket, kubectl asks again over SPDY, and
    neither it nor the approver must be bothered twice."""
    upgrade = waiting.admitted.upgrade
    if upgrade is None or upgrade.transport != "spdy":
        return None
    principal, state = waiting.admitted.principal, waiting.services.state
    now_ns = state.now_ns()
    for hold in reversed(state.view.holds(now_ns)):
        request = hold.request
        is_theirs = (request.requester.user, request.requester.issuer) == (principal.user, principal.issuer)
        if not is_theirs or request.digest != waiting.digest or request.method != OVER_WEBSOCKET:
            continue
        over_ns = hold.decided_ns or request.expires_ns
        is_refused = hold.state(now_ns) in ("denied", "expired")
        return hold if is_refused and now_ns - over_ns < FALLBACK_S * 1e9 else None
    return None
