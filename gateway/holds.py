"""A call that waits for people: wait for their word, and claim the approval before anything is forwarded.

The trap is the second attempt. kubectl repeats a 429 ten times and opens a stream twice; a retry joins the hold that is
there (same person, same digest), and an approval is claimed in the shared state under a key that exists once, so that
of two attempts exactly one goes ahead. Whoever has left by then claims nothing: the approval waits for a retry.
Whatever cannot be known (a state that is stale, a vote that is not there) is no approval.
"""

import math
from collections.abc import Callable
from enum import Enum
from typing import Final

import trio

from gateway.denial import Denial, refuse
from gateway.errors import HELD, STATE_UNAVAILABLE, ClientLeft, Refusal
from gateway.hold_opening import open_hold
from gateway.state.entries import HoldUsed
from gateway.state.hold_state import HoldState
from gateway.state.store import AlreadyClaimed, StateError
from gateway.state.view import RANDOM_PART
from gateway.waiting import Waiting
from protocol.durations import parse_duration_s
from protocol.status import Cause
from storage.records import HoldEnded

RETRY_AFTER_S: Final = 1
SHORT_CHARACTERS: Final = 8
SLACK_S: Final = 1.0
"""Answered so long before the client's own deadline, so that it sees the answer and not its own impatience."""


class _Result(Enum):
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    LEFT = "left"
    RETRY = "retry"
    CUT = "revoked"
    UNKNOWN = "unknown"


async def wait_for_approval(
    waiting: Waiting, *, on_open: Callable[[HoldState], None] = lambda _: None
) -> HoldState:
    """Return once the call is approved and the approval is ours alone.

    on_open: told of the hold, for a client that can be told while it waits. Raises Refusal (denied, expired, "come
    back"), ClientLeft, LogFailed. The waiting and its end are in the record.
    """
    began_s = trio.current_time()
    until_s = began_s + min(waiting.patience_s, _client_deadline_s(waiting))
    while True:
        hold = await open_hold(waiting)
        on_open(hold)
        result, ended = _Result.CUT, hold
        try:
            ended, result = await _decided(waiting, hold, until_s)
        except ClientLeft:
            result = _Result.LEFT
            raise
        except Refusal:
            result = _Result.UNKNOWN
            raise
        finally:
            waiting.services.counts.approval_ended(result.value, trio.current_time() - began_s)
            _record_end(waiting, ended, result)
        if result is _Result.APPROVED:
            return ended
        if result is not _Result.RETRY or trio.current_time() >= until_s or not _is_over(waiting, ended):
            raise _refusal(waiting, ended, result)
        # It was approved for another request of the command, and not for this one, which needs its own word.


def notice(hold: HoldState) -> str:
    """One line for whoever waits: what to tell the approver."""
    request, short = hold.request, short_id(hold.id)
    groups = [f"group {group}" for group in request.approver_groups]
    who = " or ".join((*request.approver_users, *groups))
    return f"waiting for approval {short} by {who}: kubetape approvals approve {short}"


# --- waiting ---------------------------------------------------------------------------------------


async def _decided(waiting: Waiting, hold: HoldState, until_s: float) -> tuple[HoldState, _Result]:
    """How the waiting ends: approved and claimed, decided otherwise, or still pending. Raises Refusal when nobody can
    tell, ClientLeft."""
    gone = False
    problem: Exception | None = None
    ended, result = hold, _Result.CUT
    with waiting.services.live.held(waiting.live):
        async with trio.open_nursery() as nursery:

            async def watch_client() -> None:
                nonlocal gone
                await waiting.left()
                gone = True
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch_client)
            try:
                ended, result = await _wait(waiting, hold, until_s)
            except Exception as error:
                problem = error
            nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem
    if gone:
        raise ClientLeft("the client left while its call waited for approval")
    return ended, result


async def _wait(waiting: Waiting, hold: HoldState, until_s: float) -> tuple[HoldState, _Result]:
    state = waiting.services.state
    while True:
        now_ns = state.now_ns()
        known = state.hold(hold.id)
        if known is None:  # the state is stale, and nobody knows for how long
            raise Refusal(
                STATE_UNAVAILABLE,
                f"kubetape cannot tell whether {short_id(hold.id)} is approved: {state.problem()}; repeat the command later",
            )
        if known.covers(waiting.digest, waiting.command, now_ns) and await _claim(waiting, known):
            return known, _Result.APPROVED
        standing = known.state(now_ns)
        if standing != "pending":
            return known, _RESULTS.get(standing, _Result.RETRY)
        expires_s = trio.current_time() + (known.request.expires_ns - now_ns) / 1e9
        if trio.current_time() >= until_s:
            return known, _Result.RETRY
        with trio.move_on_at(min(until_s, expires_s)):
            await state.wait_change()


_RESULTS: Final = {"denied": _Result.DENIED, "expired": _Result.EXPIRED, "closed": _Result.EXPIRED}
"""What an undecided or refused hold means for who waits; an approved one that is not for him: ask again."""


async def _claim(waiting: Waiting, hold: HoldState) -> bool:
    """Take the approval for this digest. False: another attempt of the same request was faster."""
    state = waiting.services.state
    try:
        with trio.CancelScope(shield=True):  # claimed or not: never unknown
            await state.append(HoldUsed(state.now_ns(), hold.id, waiting.digest, waiting.tape.exchange.hex()))
    except AlreadyClaimed:
        return False
    except StateError as error:
        raise Refusal(STATE_UNAVAILABLE, f"kubetape cannot use the approval now: {error}") from error
    return True


# --- how it ended ----------------------------------------------------------------------------------


def _is_over(waiting: Waiting, hold: HoldState) -> bool:
    return hold.state(waiting.services.state.now_ns()) != "pending"


def _refusal(waiting: Waiting, hold: HoldState, result: _Result) -> Refusal:
    call, exchange = waiting.admitted.call, waiting.tape.exchange
    cause = Cause("Approval", hold.id)
    if result is _Result.RETRY:
        denial = Denial(waiting.terms.rule, notice(hold), "Then repeat the command", cause=cause)
        return refuse(denial, call, exchange, answer=HELD, retry_after_s=RETRY_AFTER_S)
    if result is _Result.DENIED:
        note = f': "{hold.note}"' if hold.note else ""
        why = f"approval {short_id(hold.id)} denied by {hold.decided_by}{note}"
        return refuse(Denial(waiting.terms.rule, why, cause=cause), call, exchange)
    why = f"nobody approved {short_id(hold.id)} in time"
    return refuse(
        Denial(waiting.terms.rule, why, "Repeat the command to ask again", cause=cause), call, exchange
    )


def _record_end(waiting: Waiting, hold: HoldState, result: _Result) -> None:
    tape = waiting.tape
    is_decided = result in (_Result.APPROVED, _Result.DENIED)
    by, note = (hold.deciders, hold.note) if is_decided else ((), "")
    tape.append(HoldEnded(tape.exchange, tape.at_us(), hold.id, result.value, by, note), urgent=True)


def _client_deadline_s(waiting: Waiting) -> float:
    """How long the client itself would wait, as far as it says so (`?timeout=`)."""
    for key, value in waiting.admitted.call.query:
        if key == "timeout":
            seconds = parse_duration_s(value)
            return math.inf if seconds is None else max(seconds - SLACK_S, 0.0)
    return math.inf


def short_id(hold_id: str) -> str:
    """What people type: the first characters of an id's random part."""
    return hold_id[RANDOM_PART : RANDOM_PART + SHORT_CHARACTERS]
