"""A call that waits for people: find or open its hold, wait, and claim the approval before anything is forwarded.

The trap is the second attempt. kubectl repeats a 429 ten times and opens a stream twice; a retry joins the hold that is
there (same person, same digest), and an approval is claimed in the shared state under a key that exists once, so that
of two attempts exactly one goes ahead. Whoever has left by then claims nothing: the approval waits for a retry.
Whatever cannot be known (a state that is stale, a vote that is not there) is no approval.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

import trio

from gateway.admission import Admitted
from gateway.denial import Denial, refuse
from gateway.errors import HELD, STATE_UNAVAILABLE, ClientLeft, Refusal
from gateway.hold_request import hold_request
from gateway.live import LiveExchange
from gateway.policy.digest import command_key, request_digest
from gateway.policy.model import HoldTerms
from gateway.preview import preview
from gateway.services import Services
from gateway.state.entries import HoldClosed, HoldUsed
from gateway.state.hold_state import HoldState
from gateway.state.store import AlreadyClaimed, StateError
from gateway.state.view import RANDOM_PART
from gateway.tape import Tape
from protocol.durations import parse_duration_s
from protocol.events import RequestHead
from protocol.status import Cause
from storage.records import Held, HoldEnded

RETRY_AFTER_S: Final = 1
FALLBACK_S: Final = 5.0
"""How soon a client repeats a stream that was refused, over its other transport."""
OVER_WEBSOCKET: Final = "GET"
"""The method of a stream's handshake; over SPDY it is POST."""
SHORT_CHARACTERS: Final = 8
SLACK_S: Final = 1.0
"""Answered so long before the client's own deadline, so that it sees the answer and not its own impatience."""


@dataclass(frozen=True)
class Waiting:
    """One held call. terms: who decides; body: as it would go upstream; left: returns when the client is gone.

    patience_s: how long it is kept open before its client is told to come back, which kubectl does ten times; inf: as
    long as people have, for streams, which are asked for only once.
    """

    head: RequestHead
    left: Callable[[], Awaitable[None]]
    tape: Tape
    services: Services
    live: LiveExchange
    admitted: Admitted
    terms: HoldTerms
    body: bytes = b""
    patience_s: float = math.inf

    @cached_property
    def digest(self) -> str:
        content_type = dict(self.head.headers).get(b"content-type", b"")
        admitted = self.admitted
        return request_digest(admitted.principal, admitted.call, content_type, self.body, self.terms.rule)

    @cached_property
    def command(self) -> str:
        """The key of its kubectl run, "" where only this very request may be approved."""
        if self.terms.scope != "command":
            return ""
        session = dict(self.head.headers).get(b"kubectl-session", b"").decode("latin-1")
        return command_key(self.admitted.principal, self.admitted.call, session, self.terms.rule)


class _Result(Enum):
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    LEFT = "left"
    RETRY = "retry"
    CUT = "revoked"


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
        finally:
            waiting.services.counts.approval_ended(result.value, trio.current_time() - began_s)
            _record_end(waiting, ended, result)
        if result is _Result.APPROVED:
            return ended
        if result is not _Result.RETRY or trio.current_time() >= until_s or not _is_over(waiting, ended):
            raise _refusal(waiting, ended, result)
        # It was approved for another request of the command, and not for this one, which needs its own word.


async def open_hold(waiting: Waiting) -> HoldState:
    """The hold this call joins, or a new one; recorded, durable. Raises Refusal when the state cannot be asked."""
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
            hold = await _new_hold(waiting)
    digest = bytes.fromhex(waiting.digest)
    rules = waiting.admitted.verdict.rules
    tape.append(Held(tape.exchange, tape.at_us(), hold.id, rules, digest, is_joined), urgent=True)
    await tape.durable()
    return hold


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
        await state.append(entry)
        hold = _to_join(waiting)
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


def notice(hold: HoldState) -> str:
    """One line for whoever waits: what to tell the approver."""
    request, short = hold.request, short_id(hold.id)
    groups = [f"group {group}" for group in request.approver_groups]
    who = " or ".join((*request.approver_users, *groups))
    return f"waiting for approval {short} by {who}: kubetape approvals approve {short}"


# --- waiting ---------------------------------------------------------------------------------------


async def _decided(waiting: Waiting, hold: HoldState, until_s: float) -> tuple[HoldState, _Result]:
    """How the waiting ends: approved and claimed, decided otherwise, or still pending."""
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
        if known is None:  # the state is stale: nothing counts until it is not
            known, expires_s = hold, until_s
        else:
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
    is_approved = result is _Result.APPROVED
    by = tuple(vote.by.user for vote in hold.votes if vote.approve is is_approved) if is_decided else ()
    note = hold.note if is_decided else ""
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
