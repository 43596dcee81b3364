"""Client ledger, API server and log side by side: what must hold after any number of crashes.

INV1  a request the API server saw has an Intent with the same method, target, headers and body
      (a class 2 read may lack it if no byte of its answer reached the client)
INV2  a class 1 answer that reached the client whole has an Outcome, and the same bytes in the log (the
      result of an exec: an Exited); of anything else at most the last WINDOW_NS before a crash are missing
INV3  an Intent has at most one Outcome, and none from a later run   (recorded.py)
INV4  record numbers are dense, segments link                        (recorded.py, the reader)
INV8  after a crash nothing is sent to the API server again
"""

import hashlib
from collections import Counter
from typing import Any, Final

from storage.records import Intent
from tests.crash.ledger import ClientCall, Ledger, bytes_at
from tests.crash.recorded import Exchange, LogContents

WINDOW_NS: Final = 400_000_000
"""Stream chunks and the ends of class 2 answers may be this young when a kill takes them: at most 50 ms in
memory by design, the rest for a machine that is busy with other things."""
REFUSED: Final = 503
"""What the gateway answers when it cannot record: an answer of its own, not a byte of the cluster's."""
NOT_TOLD: Final = 500
"""Its answer to a mutation that went through, and whose answer it cannot record."""
NOT_FORWARDED: Final = frozenset(
    {"host", "authorization", "content-length", "transfer-encoding", "connection", "upgrade"}
)
"""Framing and credential: not part of what an Intent says went upstream."""


def check(ledger: Ledger, seen: list[dict[str, Any]], log: LogContents) -> list[str]:
    """Everything that is wrong, in words; [] when all invariants hold."""
    faults = list(log.faults)
    calls, by_audit_id, by_agent = ledger.by_agent(), log.by_audit_id(), log.by_agent()
    for request in seen:
        faults += _check_seen(request, calls, by_audit_id, ledger)
    faults += _check_repeated(seen)
    for call in ledger.calls:
        faults += _check_call(call, by_agent.get(call.agent), ledger)
    return faults


def lost_answers(ledger: Ledger, log: LogContents) -> int:
    """Class 2 answers that reached the client whole and whose Outcome a kill took: allowed, but counted."""
    by_agent = log.by_agent()
    found = [by_agent.get(call.agent) for call in ledger.finished() if call.durability == 2]
    return sum(exchange is None or exchange.outcome is None for exchange in found)


# --- INV1 and INV8 -----------------------------------------------------------------------------------


def header(request: dict[str, Any], name: str) -> str:
    """The first value of a header of a request the API server saw."""
    return str(next((value for key, value in request["headers"] if key == name), ""))


def _check_seen(
    request: dict[str, Any], calls: dict[str, ClientCall], log: dict[str, Exchange], ledger: Ledger
) -> list[str]:
    agent, audit_id = header(request, "user-agent"), header(request, "audit-id")
    where = f"INV1: {agent} {request['method']} {request['target']} ({audit_id})"
    call, exchange = calls.get(agent), log.get(audit_id)
    if call is None:
        return [f"{where}: no client sent it"]
    if exchange is None:
        may_lack = call.durability == 2 and call.status in (0, REFUSED)
        return [] if may_lack else [f"{where}: the API server saw it, the log does not know it"]
    faults = check_intent(where, request, call, exchange.intent)
    if call.kind == "exec":
        return faults + _check_stdin(where, request, call, exchange, ledger)
    return faults + _check_request_body(where, request, call, exchange)


def check_intent(where: str, request: dict[str, Any], call: ClientCall, intent: Intent) -> list[str]:
    """What the API server saw is what the record says was asked of it, by that client."""
    faults = []
    if (intent.method, intent.upstream_target) != (request["method"], request["target"].encode("latin-1")):
        faults.append(f"{where}: the Intent says {intent.method} {intent.upstream_target!r}")
    if intent.target != call.target.encode() or intent.user_agent != call.agent:
        faults.append(f"{where}: the Intent is of {intent.user_agent} {intent.target!r}")
    if _sent_headers(request) != _recorded_headers(intent):
        faults.append(f"{where}: the headers differ from the Intent's")
    return faults


def _sent_headers(request: dict[str, Any]) -> Counter[tuple[str, str]]:
    pairs = ((str(name), str(value)) for name, value in request["headers"])
    return Counter(pair for pair in pairs if pair[0] not in NOT_FORWARDED)


def _recorded_headers(intent: Intent) -> Counter[tuple[str, str]]:
    pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in intent.upstream_headers)
    return Counter(pair for pair in pairs if pair[0] not in NOT_FORWARDED)


def _check_request_body(
    where: str, request: dict[str, Any], call: ClientCall, exchange: Exchange
) -> list[str]:
    """A body the API server has whole is recorded whole; of one that broke off both have a beginning."""
    length, digest = request["request_body"]["bytes"], request["request_body"]["sha256"]
    if hashlib.sha256(call.sent[:length]).hexdigest() != digest:
        return [f"{where}: the API server got other bytes than the client sent"]
    if not call.sent.startswith(exchange.request_body):
        return [f"{where}: other body bytes are recorded than the client sent"]
    is_whole = length == len(call.sent)
    if is_whole and len(exchange.request_body) != length:
        return [f"{where}: {len(exchange.request_body)} of {length} body bytes are recorded"]
    return []


def _check_stdin(
    where: str, request: dict[str, Any], call: ClientCall, exchange: Exchange, ledger: Ledger
) -> list[str]:
    """What was typed and reached the cluster is recorded, but for the window before a kill."""
    stdin = [one["received"] for one in request["channels"] if one["channel"] == "stdin"]
    length, digest = (stdin[0]["bytes"], stdin[0]["sha256"]) if stdin else (0, hashlib.sha256().hexdigest())
    if hashlib.sha256(call.sent[:length]).hexdigest() != digest:
        return [f"{where}: the API server got other input than the client typed"]
    if not call.sent.startswith(exchange.stdin):
        return [f"{where}: other input is recorded than the client typed"]
    killed_ns = killed_after(call, ledger)
    owed = length if killed_ns is None else min(length, bytes_at(call.sent_pieces, killed_ns - WINDOW_NS))
    if len(exchange.stdin) < owed:
        return [f"{where}: {len(exchange.stdin)} of {owed} bytes of input are recorded"]
    return []


def killed_after(call: ClientCall, ledger: Ledger) -> int | None:
    """When the gateway that served a call was killed: the first kill after it began."""
    return min((at_ns for at_ns in ledger.kills_ns if at_ns > call.began_ns), default=None)


def _check_repeated(seen: list[dict[str, Any]]) -> list[str]:
    """Only what changes nothing may be asked twice, on a connection that died under it."""
    times = Counter((header(request, "audit-id"), request["method"]) for request in seen)
    return [
        f"INV8: {method} {audit_id} was sent {count} times"
        for (audit_id, method), count in times.items()
        if count > 2 or (count == 2 and method != "GET")
    ]


# --- INV2 ----------------------------------------------------------------------------------------------


def _check_call(call: ClientCall, exchange: Exchange | None, ledger: Ledger) -> list[str]:
    where = f"INV2: {call.agent} {call.method} {call.target} ({call.status})"
    outcome = exchange.outcome if exchange is not None else None
    if call.status in (REFUSED, NOT_TOLD) and (outcome is None or outcome.status != call.status):
        return []  # the one answer that need not be recorded is the one that says so
    if exchange is None:
        return [f"{where}: answered, and not in the log"] if call.answered else []
    recorded = recorded_answer(call, exchange)
    if call.audit_id and call.audit_id != exchange.audit_id:
        return [f"{where}: its Audit-ID is {call.audit_id}, the log says {exchange.audit_id}"]
    received = bytes(call.received)
    if not received.startswith(recorded) and not recorded.startswith(received):
        return [f"{where}: other bytes are recorded than the client got"]
    if call.finished_ns and (call.durability == 1 or exchange.outcome is not None):
        return check_finished(where, call, exchange)
    killed_ns = killed_after(call, ledger)
    owed = len(received) if killed_ns is None else bytes_at(call.pieces, killed_ns - WINDOW_NS)
    if len(recorded) < owed:
        return [f"{where}: {len(recorded)} of {owed} bytes are recorded that came long before the kill"]
    return []


def recorded_answer(call: ClientCall, exchange: Exchange) -> bytes:
    """What the log has of what the ledger keeps as `received`."""
    return bytes(exchange.stdout if call.kind == "exec" else exchange.response_body)


def check_finished(where: str, call: ClientCall, exchange: Exchange) -> list[str]:
    """An answer that came down whole is recorded whole, with its end."""
    recorded = recorded_answer(call, exchange)
    if recorded != bytes(call.received):
        return [f"{where}: {len(recorded)} bytes are recorded, the client got {len(call.received)}"]
    outcome = exchange.outcome
    if outcome is None:
        has_result = call.kind == "exec" and exchange.exited is not None
        return [] if has_result else [f"{where}: the client has all of it, the log has no Outcome"]
    if outcome.status != call.status:
        return [f"{where}: the log says it was answered with {outcome.status}"]
    if outcome.result not in ("completed", "refused", "failed", "cut"):
        return [f"{where}: the log says {outcome.result}"]
    return []
