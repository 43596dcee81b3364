"""Gateways that share a store, as far as the shared state is concerned."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from gateway.state.clock import SteadyClock
from gateway.state.entries import AnyEntry, GrantRequested, HoldRequested
from gateway.state.follower import SharedState
from gateway.state.memory import Memory
from gateway.state.signing import Seal
from gateway.state.store import StateStore
from storage.tlog.note import generate_signer, parse_signer

SIGNER = parse_signer(generate_signer("replicas")[0])
STRANGER = parse_signer(generate_signer("stranger")[0])
LIMIT_S = 30.0


def make_seal() -> Seal:
    return Seal(SIGNER, [], "prod")


def forged(entry: AnyEntry) -> tuple[bytes, bytes]:
    """As somebody writes it who has the database and not the key."""
    return Seal(STRANGER, [], "prod").close(entry)


def gateway(
    store: StateStore,
    record: Callable[[AnyEntry, bytes, bytes], None] = lambda *_: None,
    *,
    memory: Memory | None = None,
    stale_after_s: float = 10.0,
    clock: SteadyClock | None = None,
) -> SharedState:
    return SharedState(store, make_seal(), record, memory=memory, stale_after_s=stale_after_s, clock=clock)


async def until(state: SharedState, condition: Callable[[], bool]) -> None:
    """Wait for changes until something holds; fails after LIMIT_S."""
    with trio.fail_after(LIMIT_S):
        while not condition():
            await state.wait_change()


async def become(condition: Callable[[], bool]) -> None:
    """Wait for what announces no change."""
    with trio.fail_after(LIMIT_S):
        while not condition():
            await trio.sleep(0.01)


def now(entry: Any, wait_s: float = 300) -> Any:
    """An entry of `state_entries`, as if it were said now."""
    at_ns = time.time_ns()
    changes: dict[str, Any] = {"at_ns": at_ns}
    if isinstance(entry, HoldRequested | GrantRequested):
        changes["expires_ns"] = at_ns + int(wait_s * 1e9)
    return msgspec.structs.replace(entry, **changes)
