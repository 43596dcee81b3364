"""One moment of a run that went on: what a disk image of that moment must hold, after the fact.

The ledger and the API server's memory are compared with a log as in `invariants`, but only as far as they had come
when the power went. For `durability: strict`, where every call waits for the disk.
"""

import time
from pathlib import Path
from typing import Any, Final

from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import KeyMaker, KeyRing, Wrapper
from storage.files import FileOps
from storage.log import Commit, LogIdentity, SegmentLog
from storage.pace import LogSettings
from storage.records import SegmentRecovered
from tests.crash.frames import Witness, check_nonces
from tests.crash.invariants import NOT_TOLD, REFUSED, check_finished, check_intent, header, recorded_answer
from tests.crash.ledger import ClientCall, Ledger, bytes_at
from tests.crash.recorded import Exchange, LogContents

LAG_NS: Final = 750_000_000
"""Chunks of running streams may be this young when the power takes them: 250 ms to the next sync by design, the rest
for a busy machine."""
RECOVERY_S: Final = 20.0


def check_cut(ledger: Ledger, seen: list[dict[str, Any]], log: LogContents, cut_ns: int) -> list[str]:
    """Everything that was acknowledged before a moment and that the log lacks; [] when it holds."""
    faults = list(log.faults)
    calls, by_audit_id, by_agent = ledger.by_agent(), log.by_audit_id(), log.by_agent()
    for request in seen:
        if request["arrived_ns"] < cut_ns:
            faults += _check_seen(request, calls, by_audit_id)
    for call in ledger.calls:
        faults += _check_call(call, by_agent.get(call.agent), cut_ns)
    return faults


def acknowledged(ledger: Ledger, cut_ns: int) -> int:
    """Calls whose answers had come down whole by then."""
    return sum(0 < call.finished_ns < cut_ns for call in ledger.calls)


def _check_seen(request: dict[str, Any], calls: dict[str, ClientCall], log: dict[str, Exchange]) -> list[str]:
    agent, audit_id = header(request, "user-agent"), header(request, "audit-id")
    where = f"INV1: {agent} {request['method']} {request['target']} ({audit_id})"
    call, exchange = calls.get(agent), log.get(audit_id)
    if call is None:
        return [f"{where}: no client sent it"]
    if exchange is None:
        return [f"{where}: the API server had it before the cut, the log does not know it"]
    return check_intent(where, request, call, exchange.intent)


def _check_call(call: ClientCall, exchange: Exchange | None, cut_ns: int) -> list[str]:
    where = f"INV2: {call.agent} {call.method} {call.target} ({call.status})"
    is_finished = 0 < call.finished_ns < cut_ns
    if exchange is None:
        return [f"{where}: answered before the cut, and not in the log"] if is_finished else []
    if is_finished:
        if call.status in (REFUSED, NOT_TOLD):
            return [f"{where}: a healthy gateway refused it"]
        return check_finished(where, call, exchange)
    recorded, received = recorded_answer(call, exchange), bytes(call.received)
    if not received.startswith(recorded) and not recorded.startswith(received):
        return [f"{where}: other bytes are recorded than the client got"]
    owed = bytes_at(call.pieces, cut_ns - LAG_NS)
    return [f"{where}: {len(recorded)} of {owed} bytes are recorded"] if len(recorded) < owed else []


def recover_and_compare(
    directory: Path, identity: LogIdentity, *, files: FileOps, wrapper: Wrapper | None, keys: KeyRing
) -> list[str]:
    """Read a log as the cut left it, open it for writing as the next start does, and read it again.

    Returns what recovery did wrong (INV6, INV7). Raises what the reader and `SegmentLog.open` raise: then the log
    is broken.
    """
    witness = Witness(directory, files=files, keys=keys)
    faults = witness.look()
    found = recover(directory, identity, files=files, wrapper=wrapper)
    faults += [f"recovery calls {one.segment} {one.finding}" for one in found if one.finding == "corrupt"]
    return faults + witness.look(whole=True) + check_nonces(directory, files=files, keys=keys)


def recover(
    directory: Path, identity: LogIdentity, *, files: FileOps, wrapper: Wrapper | None
) -> tuple[SegmentRecovered, ...]:
    """One life of a log without a record of its own; what it found. wrapper: whom data keys are for; None: not
    encrypted."""
    pool = KeyPool(KeyMaker(identity.log_origin, [wrapper])) if wrapper is not None else None
    if pool is not None:
        pool.start()

    def ignore(_: Commit) -> None:
        pass

    log = SegmentLog.open(
        directory,
        identity=identity,
        on_commit=ignore,
        on_failure=lambda failure: None,
        files=files,
        settings=LogSettings(segment_bytes=32 << 10, first_segment_bytes=32 << 10, spares=0),
        keys=pool,
    )
    log.close(RECOVERY_S)
    return log.recovered


def now_ns() -> int:
    """UTC nanoseconds: everything acknowledged before it is owed."""
    return time.time_ns()
