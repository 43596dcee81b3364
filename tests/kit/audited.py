"""A cluster's audit log as it would stand beside a log of ours, line by line, and ways to tell lies in it."""

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from storage.records import AnyRecord, Intent, LogStarted, Outcome, Timings
from tests.kit.recorded import SECOND_NS, START_NS, Tape

GATEWAY = "session-gateway"


def stamp(at_ns: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def forwarded(records: Iterable[AnyRecord], *, identity: str = "shared") -> list[AnyRecord]:
    """Records as of calls that went upstream and were answered: as the gateway writes them."""
    changed: list[AnyRecord] = []
    for record in records:
        if isinstance(record, Intent) and record.verdict.action == "allow":
            record = msgspec.structs.replace(
                record, upstream_target=record.target, upstream_identity=identity
            )
        elif isinstance(record, Outcome) and record.result in ("completed", "client-left"):
            record = msgspec.structs.replace(
                record, timings=Timings(upstream_sent_us=10, upstream_head_us=900)
            )
        changed.append(record)
    return changed


def story(*, identity: str = "shared", calls: int = 6) -> list[AnyRecord]:
    """A run of some deletions a minute apart, with a started and a stopped log around."""
    tape = Tape(start_ns=START_NS)
    tape.started()
    for number in range(calls):
        tape.wait(60)
        tape.delete(name=f"pod-{number}")
    tape.wait(60)
    tape.stopped()
    return forwarded(tape.records, identity=identity)


def event(
    audit_id: str, at_ns: int, *, verb: str, uri: str, user: str = GATEWAY, acting: str = "", code: int = 200,
    stage: str = "ResponseComplete", took_ns: int = 3_000_000, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """One event as kube-apiserver writes it."""
    impersonated = {"impersonatedUser": {"username": acting}} if acting else {}
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": audit_id,
        "stage": stage,
        "requestURI": uri,
        "verb": verb,
        "user": {"username": user, "groups": ["system:authenticated"]},
        **impersonated,
        "sourceIPs": ["10.0.0.9", "10.1.1.1"],
        "userAgent": "kubectl/v1.31.0",
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": stamp(at_ns),
        "stageTimestamp": stamp(at_ns + took_ns),
        **more,
    }


def audited(records: Iterable[AnyRecord], *, user: str = GATEWAY) -> list[dict[str, Any]]:
    """What the API server would have written of the forwarded calls, with calls of others around them."""
    outcomes = {record.exchange: record for record in records if isinstance(record, Outcome)}
    events = [stranger("system:apiserver", START_NS - 600 * SECOND_NS, uri="/api/v1/namespaces")]
    for record in records:
        if isinstance(record, Intent) and record.upstream_target and record.call and record.principal:
            outcome = outcomes.get(record.exchange)
            acting = record.principal.user if record.upstream_identity == "impersonate" else ""
            events.append(
                event(
                    str(uuid.UUID(bytes=record.exchange)), record.at_ns + 1_000_000, verb=record.call.verb,
                    uri=record.upstream_target.decode(), user=user, acting=acting,
                    code=outcome.status if outcome else 200,
                )
            )  # fmt: skip
    events.append(stranger("system:apiserver", START_NS + 36_000 * SECOND_NS, uri="/api/v1/namespaces"))
    return events


def stranger(
    user: str, at_ns: int, *, uri: str = "/api/v1/secrets", verb: str = "get", **more: Any
) -> dict[str, Any]:
    """A call that did not come through us."""
    name = f"{user}{uri}{at_ns}"
    return event(str(uuid.uuid5(uuid.NAMESPACE_URL, name)), at_ns, verb=verb, uri=uri, user=user, **more)


def as_lines(events: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def log_started(upstream: str) -> LogStarted:
    return LogStarted(START_NS, "gw", "1", 0, "observe", upstream=upstream)
