"""What an Intent and an Outcome say, as values of columns. Pure functions; no state.

What no record holds is not guessed: who is an agent is said by the settings, and the command behind an
exec is what kubectl claims, taken only where it cannot hide anything. The trap: columns of 32 bits hold
half an hour of microseconds; `fitting` gives the largest number instead of a wrong one.
"""

import msgspec

from storage.lake.place import Place
from storage.lake.rows import MAX_INT, Int
from storage.lake.settings import RowSettings
from storage.records import Intent, Outcome, PrincipalRecord, Timings


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """What the Intent says beyond CallRow, as columns."""

    at: Place
    user_sub: str | None
    issuer: str | None
    groups: tuple[str, ...] | None
    actor_type: str | None
    label_selector: str | None
    dry_run: bool | None
    command: tuple[str, ...] | None
    is_call: bool  # the target was understood
    run_by: str  # "cp" or "debug", as kubectl says


def uuid_text(exchange: bytes) -> str:
    """16 bytes as a UUID is written; of another length, the hex digits."""
    digits = exchange.hex()
    if len(digits) != 32:
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def facts_of(settings: RowSettings, at: Place, intent: Intent, named: str) -> Facts:
    who, call = intent.principal, intent.call
    return Facts(
        at=at,
        user_sub=(who.subject or None) if who else None,
        issuer=(who.issuer or None) if who else None,
        groups=who.groups if who else None,
        actor_type=_actor_type(settings, who) if who else None,
        label_selector=(call.label_selector or None) if call else None,
        dry_run=call.dry_run if call else None,
        command=(call.argv or None) if call else None,
        is_call=call is not None,
        run_by=named,
    )


def facts_without_content(facts: Facts) -> Facts:
    return msgspec.structs.replace(facts, label_selector=None, command=None)


def _actor_type(settings: RowSettings, who: PrincipalRecord) -> str:
    if not frozenset(settings.agent_groups).isdisjoint(who.groups):
        return "agent"
    return "service" if who.user.startswith(("system:serviceaccount:", "system:node:")) else "human"


def run_by(intent: Intent) -> str:
    """The kubectl command behind an exec or attach where that says more. A hint of the client: it can name
    an exec of tar a copy, and nothing else."""
    call = intent.call
    if call is None or call.subresource not in ("exec", "attach"):
        return ""
    if intent.kubectl_command == "kubectl cp" and call.argv[:1] == ("tar",):
        return "cp"
    return "debug" if intent.kubectl_command == "kubectl debug" else ""


def without_content(intent: Intent) -> Intent:
    replace, call = msgspec.structs.replace, intent.call
    if call is not None:
        path = call.path.partition("?")[0]
        call = replace(call, path=path, argv=(), label_selector="", field_selector="")
    return replace(intent, target=intent.target.partition(b"?")[0], call=call)


def protocol_name(transport: str, protocol: str) -> str:
    """As in "ws-v5": how the bytes travelled and which protocol of streams they spoke."""
    if transport != "websocket":
        return transport
    if protocol.startswith("SPDY/"):
        return "ws-spdy"
    version, dot, _ = protocol.partition(".channel")
    return f"ws-{version}" if dot else "ws"


def durations(outcome: Outcome | None) -> tuple[Int | None, Int | None, Int | None]:
    """Microseconds upstream, in the gateway, and for the record."""
    if outcome is None:
        return None, None, None
    times: Timings = outcome.timings
    last_us = times.upstream_end_us if times.upstream_end_us is not None else times.upstream_head_us
    upstream_us = _between(times.upstream_sent_us, last_us)
    total_us = times.client_end_us if times.client_end_us is not None else outcome.at_us
    gateway_us = Int(max(0, total_us - (upstream_us or 0)))
    return (
        fitting(upstream_us),
        fitting(gateway_us),
        fitting(_between(times.decided_us, times.intent_durable_us)),
    )


def _between(start_us: int | None, end_us: int | None) -> int | None:
    return None if start_us is None or end_us is None else max(0, end_us - start_us)


def fitting(number: int | None) -> Int | None:
    """What fits a column of 32 bits."""
    return None if number is None else Int(max(-MAX_INT, min(number, MAX_INT)))
