"""How one process of a gateway is: checks for readyz, figures for metrics. Asked for, never pushed.

A check is a name and a function that returns "" when all is well, else one line. The names are part of what operators
write (`/readyz?exclude=NAME`), whether one process answers or a supervisor for several.
"""

from contextlib import suppress

from gateway.record_opening import OpenRecord
from gateway.recorder import Recorder
from gateway.server.management import Check
from gateway.services import Services
from storage.errors import LogFailed
from storage.files import Headroom


def ready_checks(record: OpenRecord, services: Services) -> list[Check]:
    """Of a process that serves the data path."""
    return [
        *record_checks(record),
        ("upstream", lambda: services.pool.last_error),
        *decision_checks(services),
    ]


def record_checks(record: OpenRecord) -> list[Check]:
    """Whether what happens can be recorded."""
    recorder = record.recorder
    return [
        ("recorder", lambda: str(recorder.failure) if recorder.failure else ""),
        ("disk-headroom", lambda: _disk_problem(recorder)),
        ("data-keys", lambda: _key_problem(record)),
    ]


def decision_checks(services: Services) -> list[Check]:
    """Whether it is known who asks, and what is in force."""
    policy = services.policy
    return [
        ("identity", services.authenticator.problem),
        ("state", lambda: _state_problem(services)),
        (f"policy-mode-{policy.mode.value}", policy.problem),
    ]


def figures(record: OpenRecord, services: Services) -> dict[str, float]:
    """By the names that `gateway.metrics` explains."""
    recorder, live, keys = record.recorder, services.live, record.keys
    found = {
        "kubetape_record_backlog_bytes": float(recorder.pending_bytes),
        "kubetape_record_failed": float(recorder.failure is not None),
        "kubetape_calls_active": float(len(live)),
        "kubetape_streams_active": float(live.long_running),
        "kubetape_approvals_pending": float(_pending(services)),
        "kubetape_data_keys_problem": float(keys is not None and bool(keys.problem)),
    }
    with suppress(LogFailed):
        found["kubetape_disk_headroom"] = float(recorder.headroom())
    return found


def _pending(services: Services) -> int:
    """Calls and grants that wait for people."""
    state = services.state
    now_ns = state.now_ns()
    holds = sum(hold.state(now_ns) == "pending" for hold in state.view.holds(now_ns))
    return holds + sum(grant.state(now_ns) == "pending" for grant in state.view.grants(now_ns))


def _disk_problem(recorder: Recorder) -> str:
    try:
        headroom = recorder.headroom()
    except LogFailed as error:
        return str(error)
    return (
        ""
        if headroom is Headroom.OK
        else f"disk space is {headroom.name.lower()}: free some, or move the data"
    )


def _key_problem(record: OpenRecord) -> str:
    """Only once no key is left: until then calls are recorded as ever."""
    keys = record.keys
    return keys.problem if keys is not None and not keys.is_ready else ""


def _state_problem(services: Services) -> str:
    """Without a policy nothing is held or granted, and revocations stay in force whatever the state does."""
    return services.state.problem() if services.policy.source is not None else ""
