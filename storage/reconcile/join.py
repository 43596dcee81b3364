"""Joins calls and audit events by id, in any number, with the memory of a few. Conduct.

Calls come first, then events, one at a time; then `findings`. What has to be looked up lies in a SQLite
database in a private temporary directory: disposable, gone with `close`.

The trap: who our credential is, is learnt from the events that join: so whether a stranger used it is known
only after the last event, and strangers wait until then. Of parts of the cluster itself, which may be most of
an audit log, only so many a user wait; the others are counted.
"""

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from storage.reconcile.audit_log import AuditEvent
from storage.reconcile.compare import (
    KINDS,
    Finding,
    Judge,
    differences,
    finding_of_event,
    is_system,
    may_repeat,
    unseen_calls,
)
from storage.reconcile.recorded import MARGIN_NS, NO_TIME, RecordedCall, RecordedCalls, Span
from storage.records import AnyRecord, UnknownRecord

MAX_WAITING_OF_SYSTEM_USER: Final = 10_000
MAX_LEARNED_USERS: Final = 10_000
MAX_ID_CHARS: Final = 256
COMMIT_ROWS: Final = 50_000

_SCHEMA: Final = """
CREATE TABLE recorded (audit_id TEXT PRIMARY KEY, call BLOB, seen INT DEFAULT 0, stamps BLOB DEFAULT x'80')
    WITHOUT ROWID;
CREATE TABLE strangers (audit_id TEXT PRIMARY KEY, user TEXT, at_ns INT, finding BLOB) WITHOUT ROWID;
CREATE TABLE different (audit_id TEXT, detail TEXT, at_ns INT, finding BLOB, PRIMARY KEY (audit_id, detail))
    WITHOUT ROWID;
"""
_encode = msgspec.msgpack.Encoder().encode
_CALL_DECODER: Final = msgspec.msgpack.Decoder(RecordedCall)
_FINDING_DECODER: Final = msgspec.msgpack.Decoder(Finding)
_STAMPS_DECODER: Final = msgspec.msgpack.Decoder(dict[str, list[int]])


class Counts(msgspec.Struct):
    """What was looked at. outside: audited calls of times that cannot be compared; left_out: of the cluster
    itself; rarely_audited: recorded calls that audit policies leave out, and that were not found."""

    recorded: int = 0
    events: int = 0
    joined: int = 0
    repeated_lines: int = 0
    outside: int = 0
    left_out: int = 0
    rarely_audited: int = 0
    findings: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(KINDS, 0))


class Join:
    """One comparison. Use as a context manager."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="kubetape-reconcile-"))
        self._db = sqlite3.connect(self._directory / "join.sqlite", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")
        self._rows = 0
        self._system_waiting: Counter[str] = Counter()
        self._system_uncounted: Counter[str] = Counter()  # of those, beyond what waits
        self.counts = Counts()
        self.learned_users: set[str] = set()
        self.recorded_span = NO_TIME
        self.holes: list[Span] = []  # of any log of ours: a call may have been in it
        self.audited_span = NO_TIME

    def __enter__(self) -> "Join":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- filling -----------------------------------------------------------------------------------

    def add_log(self, records: Iterable[tuple[int, AnyRecord | UnknownRecord]]) -> None:
        """All records of one log of ours, each with its number."""
        calls = RecordedCalls()
        for seq, record in records:
            for call in calls.take(seq, record):
                self._add_call(call)
        for call in calls.finish():
            self._add_call(call)
        self.recorded_span = self.recorded_span.joined(calls.span)
        self.holes += calls.holes

    def speaks_until(self, at_ns: int) -> None:
        """Our record is known to be whole up to a time: a gateway writes it now, or somebody says so."""
        self.recorded_span = self.recorded_span.joined(Span(at_ns, at_ns))

    def _add_call(self, call: RecordedCall) -> None:
        added = self._db.execute(
            "INSERT OR IGNORE INTO recorded (audit_id, call) VALUES (?, ?)", (call.audit_id, _encode(call))
        )
        self.counts.recorded += added.rowcount
        self._count_row()

    def add_event(self, event: AuditEvent) -> None:
        """One event of the audit log."""
        self.counts.events += 1
        self.audited_span = self.audited_span.joined(Span(event.staged_ns, event.staged_ns))
        row = self._db.execute(
            "SELECT call, seen, stamps FROM recorded WHERE audit_id = ?", (event.audit_id,)
        ).fetchone()
        if row is None:
            self._add_stranger(event)
        else:
            self._join(event, _CALL_DECODER.decode(row[0]), row[1], _STAMPS_DECODER.decode(row[2]))
        self._count_row()

    def _join(
        self, event: AuditEvent, call: RecordedCall, is_seen: int, stamps: dict[str, list[int]]
    ) -> None:
        seen = stamps.setdefault(event.stage, [])
        if event.staged_ns in seen:
            self.counts.repeated_lines += 1  # parts of a log may overlap
            return
        self.counts.joined += not is_seen
        seen.append(event.staged_ns)
        found = differences(call, event)
        if len(seen) > (2 if may_repeat(call) else 1):
            found.append(f"audited more than once: {event.stage}")
            del seen[2:]
        for detail in found:
            finding = finding_of_event("differs", event, detail)
            self._db.execute(
                "INSERT OR IGNORE INTO different VALUES (?, ?, ?, ?)",
                (event.audit_id, detail, finding.at_ns, _encode(finding)),
            )
        if not found and len(self.learned_users) < MAX_LEARNED_USERS:
            self.learned_users.add(event.user.username)
        self._db.execute(
            "UPDATE recorded SET seen = 1, stamps = ? WHERE audit_id = ?", (_encode(stamps), event.audit_id)
        )

    def _add_stranger(self, event: AuditEvent) -> None:
        user = event.user.username
        finding = finding_of_event("around", event, "")
        if is_system(user):
            if self._system_waiting[user] >= MAX_WAITING_OF_SYSTEM_USER:
                self._system_uncounted[user] += event.stage == "ResponseComplete"
                return
            self._system_waiting[user] += 1
        # The last stage has the status; the first may be all there is.
        self._db.execute(
            "INSERT INTO strangers VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET finding = excluded.finding "
            "WHERE ? = 'ResponseComplete'",
            (event.audit_id[:MAX_ID_CHARS], user, finding.at_ns, _encode(finding), event.stage),
        )

    def _count_row(self) -> None:
        self._rows += 1
        if self._rows % COMMIT_ROWS == 0:  # bounds what SQLite keeps of one transaction
            self._db.execute("COMMIT")
            self._db.execute("BEGIN")

    # --- judging -----------------------------------------------------------------------------------

    def window(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Span:
        """The time both logs can speak of, borders left out; empty if there is none."""
        wanted = Span(since_ns or 0, 2**63 - 1 if until_ns is None else until_ns)
        return self.recorded_span.overlap(self.audited_span).inner(MARGIN_NS).overlap(wanted)

    def findings(
        self, window: Span, *, gateway_users: Collection[str] = (), include_system: bool = False
    ) -> Iterator[Finding]:
        """All findings, the serious kinds first, each kind in the order of time. Counts them, too.

        gateway_users: names or patterns of our credential; () for those that were learnt.
        """
        users = frozenset(gateway_users or self.learned_users)
        judge = Judge(window, users, include_system, self.holes)
        for finding in self._all(judge):
            self.counts.findings[finding.kind] += 1
            yield finding
        for user, count in self._system_uncounted.items():
            kind = judge.judge_stranger(user, window.start_ns)
            if kind in self.counts.findings:
                self.counts.findings[kind] += count
            else:
                self.counts.left_out += count

    def _all(self, judge: Judge) -> Iterator[Finding]:
        yield from self._strangers(judge, "unrecorded")
        different = self._db.execute("SELECT finding FROM different ORDER BY at_ns")
        for finding in map(_decode_finding, different):
            if judge.window.holds(finding.at_ns):
                yield finding
        calls = self._db.execute("SELECT call FROM recorded WHERE seen = 0")
        decoded = (_CALL_DECODER.decode(call) for (call,) in calls)
        yield from unseen_calls(decoded, judge.window, self._left_out_of_audit)
        yield from self._strangers(judge, "around")

    def _left_out_of_audit(self) -> None:
        self.counts.rarely_audited += 1

    def _strangers(self, judge: Judge, wanted: str) -> Iterator[Finding]:
        rows = self._db.execute("SELECT user, at_ns, finding FROM strangers ORDER BY at_ns")
        for user, at_ns, encoded in rows:
            kind = judge.judge_stranger(user, at_ns)
            if kind == wanted:
                yield msgspec.structs.replace(
                    _FINDING_DECODER.decode(encoded), kind=kind, detail=_WORDS[kind]
                )
            elif wanted == "around" and kind in ("outside", "system"):
                self.counts.outside += kind == "outside"
                self.counts.left_out += kind == "system"


_WORDS: Final = {
    "unrecorded": "made with the gateway's credential, and there is no record of it",
    "around": "reached the cluster without the gateway",
}


def _decode_finding(row: tuple[bytes]) -> Finding:
    return _FINDING_DECODER.decode(row[0])
