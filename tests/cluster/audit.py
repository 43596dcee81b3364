"""The cluster's audit log against our record: the same requests, one to one, joined by Audit-ID.

The API server writes one line per stage. An event is ours when the user it acted for is one that only our
gateway acts for. Source: k8s.io/apiserver pkg/apis/audit/v1 types.go.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from storage.reconcile.compare import is_same_target
from storage.records import SubRequest
from tests.kit.tape_reading import Recorded

DEADLINE_S = 30.0
"""Until the API server has noticed that the clients of its last watches left."""


HIJACKED = ("exec", "attach", "portforward", "proxy")
"""What the API server hands on to a kubelet: audited as 101 once it does, even if the kubelet then says 403."""


class User(msgspec.Struct, frozen=True):
    username: str = ""
    groups: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    code: int = 0


class AuditEvent(msgspec.Struct, frozen=True, rename="camel"):
    """What of an event is compared."""

    stage: str
    verb: str
    user: User
    audit_id: str = msgspec.field(name="auditID")
    request_uri: str = msgspec.field(name="requestURI")
    impersonated_user: User | None = None
    response_status: Answer | None = None

    @property
    def acting(self) -> str:
        """The user whose rights counted."""
        return (self.impersonated_user or self.user).username


class AuditTail:
    """Reads on from where the log ended when this was made, also past a rotation."""

    def __init__(self, log: Path) -> None:
        self._log = log
        begun = log.stat()
        self._inode, self._offset = begun.st_ino, begun.st_size
        self._text: list[bytes] = []
        self.events: list[AuditEvent] = []

    def read(self) -> list[AuditEvent]:
        """All events so far."""
        decoder = msgspec.json.Decoder(AuditEvent)
        for whole in self._read_on():
            self._text.append(whole)
            self.events += [decoder.decode(line) for line in whole.splitlines()]
        return self.events

    def write_to(self, path: Path) -> Path:
        """Write the lines so far as a log of their own."""
        self.read()
        path.write_bytes(b"".join(self._text))
        return path

    def _read_on(self) -> Iterator[bytes]:
        """Whole lines: the rest of the file read last, then of every one that came after it."""
        for path in self._files_since():
            with path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._offset = inode, 0
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole) + len(newline)
            yield whole + newline

    def _files_since(self) -> list[Path]:
        """The file read last, wherever it is now, and newer ones: audit.log becomes audit-<time>.log."""
        rotated = sorted(self._log.parent.glob(f"{self._log.stem}-*{self._log.suffix}"))
        files = [*rotated, self._log]
        at = [number for number, path in enumerate(files) if path.stat().st_ino == self._inode]
        assert at, f"{self._log} was rotated, and what it became is gone"
        return files[at[0] :]

    def read_until_over(self, audit_ids: set[str]) -> list[AuditEvent]:
        """All events, once each of these requests has ended (or the deadline has passed)."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            ended = {event.audit_id for event in self.read() if event.stage in ("ResponseComplete", "Panic")}
            if audit_ids <= ended or time.monotonic() > deadline:
                return self.events
            time.sleep(0.1)


def went_upstream(recorded: Recorded) -> bool:
    """Whether the cluster saw it: not what was held and never approved, nor what we answered ourselves."""
    outcome = recorded.outcome
    was_sent = outcome is None or outcome.timings.upstream_sent_us is not None
    return bool(recorded.intent.upstream_target) and was_sent


def differences(
    exchanges: dict[str, Recorded],
    events: list[AuditEvent],
    *,
    acting: set[str],
    own: Mapping[str, SubRequest] | None = None,
) -> list[str]:
    """In words, every way in which the two tell different stories; [] if none.

    acting: the users of our gateway alone; shared mode has one, impersonation as many as there are people. own: what
    the gateway asked itself, by Audit-ID.
    """
    forwarded = {key: one for key, one in exchanges.items() if went_upstream(one)}
    asked = own or {}
    ours = [
        event
        for event in events
        if event.acting in acting or event.audit_id in forwarded or event.audit_id in asked
    ]
    found = [
        f"{times} events of stage {stage} for {audit_id}"
        for (audit_id, stage), times in Counter((one.audit_id, one.stage) for one in ours).items()
        if times != 1
    ]
    ended = {event.audit_id for event in ours if event.stage == "ResponseComplete"}
    found += [
        f"recorded as forwarded, not in the audit log: {_show(one)}"
        for key, one in forwarded.items()
        if key not in ended
    ]
    found += [f"asked, not in the audit log: {one}" for key, one in asked.items() if key not in ended]
    for event in ours:
        if event.audit_id in asked:
            found += _differences_of_own(asked[event.audit_id], event)
        elif event.audit_id not in forwarded:
            found.append(f"in the audit log, not recorded: {event}")
        elif (why := _compare(forwarded[event.audit_id], event, acting)) is not None:
            found.append(f"{why}: recorded {_show(forwarded[event.audit_id])}, audited {event}")
    return found


def _compare(recorded: Recorded, event: AuditEvent, acting: set[str]) -> str | None:
    intent = recorded.intent
    assert intent.call is not None
    assert intent.principal is not None
    if event.verb != intent.call.verb:
        return "different verbs"
    if not is_same_target(intent.upstream_target.decode(), event.request_uri):
        return "different targets"
    if event.acting not in acting:
        return "a user that is not ours"
    if intent.upstream_identity == "impersonate" and event.acting != intent.principal.user:
        return "somebody else's rights"
    status = event.response_status.code if event.response_status else 0
    if status == 101 and intent.call.subresource in HIJACKED:
        return None
    if event.stage == "ResponseComplete" and recorded.outcome and recorded.outcome.result == "completed":
        return None if status == recorded.status else "different statuses"
    return None


def _differences_of_own(asked: SubRequest, event: AuditEvent) -> list[str]:
    """A request of the gateway's own."""
    if not is_same_target(asked.target.decode(), event.request_uri):
        return [f"different targets: asked {asked.target!r}, audited {event}"]
    status = event.response_status.code if event.response_status else 0
    if event.stage == "ResponseComplete" and status != asked.status:
        return [f"different statuses: asked {asked.target!r}, {asked.status}, audited {event}"]
    return []


def _show(recorded: Recorded) -> str:
    intent, outcome = recorded.intent, recorded.outcome
    return f"{intent.method} {intent.upstream_target!r}, {recorded.status}, {outcome.result if outcome else None}"
