"""The desk where people decide: votes, grants and revocations, written as another gateway process would write them.

It opens the shared state on the data directory of a gateway that runs. What it appends is recorded nowhere: the log has
one writer, and this is not it.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import trio

from gateway.record_opening import gateway_id
from gateway.sessions import make_session_id
from gateway.state.entries import (
    GrantRequested,
    GrantVoted,
    HoldRequested,
    HoldVoted,
    Requester,
    Revoked,
    Voter,
)
from gateway.state.follower import SharedState
from gateway.state.opening import open_shared_state
from gateway.state.settings import StateSettings

CLUSTER = "cluster"
"""The name a cluster has in the configuration when nobody gives it one."""
DEADLINE_S = 30.0
APPROVER = "approver"
ISSUER = "tokens"
"""Of everybody who proves himself with a line of the token file: its name."""
T = TypeVar("T")


class Desk:
    """Of one gateway. Every call opens the state and closes it again."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._seen: set[str] = set()

    def next_hold(self) -> HoldRequested:
        """Wait for a request that waits for people and was not returned before."""

        async def wait(state: SharedState) -> HoldRequested:
            while True:
                for hold in state.view.holds(state.now_ns()):
                    if hold.id not in self._seen and hold.state(state.now_ns()) == "pending":
                        self._seen.add(hold.id)
                        return hold.request
                await state.wait_change()

        return self._with_state(wait)

    def vote(self, hold: HoldRequested, *, approve: bool = True, note: str = "", by: str = APPROVER) -> None:
        """Say yes or no."""

        async def say(state: SharedState) -> None:
            await state.append(HoldVoted(state.now_ns(), hold.id, approve, Voter(by), note))

        self._with_state(say)

    def holds(self) -> list[HoldRequested]:
        """Everything that was asked so far."""

        async def look(state: SharedState) -> list[HoldRequested]:
            return [hold.request for hold in state.view.holds(state.now_ns())]

        return self._with_state(look)

    def revoke_user(self, user: str, reason: str) -> int:
        """UTC nanoseconds at which it was said."""

        async def say(state: SharedState) -> int:
            at_ns = time.time_ns()
            await state.append(Revoked(state.now_ns(), _new_id(), "user", user, APPROVER, reason))
            return at_ns

        return self._with_state(say)

    def grant(self, user: str, bundle: str, duration_s: int) -> str:
        """Ask for a bundle in somebody's name and approve it; the id of the grant, which runs from now on."""

        async def say(state: SharedState) -> str:
            identifier, at_ns = _new_id(), state.now_ns()
            asked = GrantRequested(
                at_ns=at_ns,
                id=identifier,
                expires_ns=at_ns + 60 * 10**9,
                requester=Requester(user, issuer=ISSUER),
                bundle=bundle,
                reason="a test",
                duration_s=duration_s,
                approver_users=(APPROVER,),
                approver_groups=(),
                quorum=1,
            )
            await state.append(asked)
            await state.append(GrantVoted(state.now_ns(), identifier, True, Voter(APPROVER)))
            return identifier

        return self._with_state(say)

    def _with_state(self, use: Callable[[SharedState], Awaitable[T]]) -> T:
        async def main() -> T:
            state = open_shared_state(
                StateSettings(), self._data_dir, gateway_id(self._data_dir), CLUSTER, lambda *_: None
            )
            with trio.fail_after(DEADLINE_S):
                async with trio.open_nursery() as nursery:
                    await nursery.start(state.run)
                    result = await use(state)
                    nursery.cancel_scope.cancel()
            return result

        return trio.run(main)


def _new_id() -> str:
    return make_session_id(time.time_ns(), secrets.randbits(80))
