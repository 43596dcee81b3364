"""The reader of the cluster's audit log itself; needs no cluster."""

import json
from pathlib import Path

from tests.cluster.audit import AuditTail


def test_a_log_that_was_rotated_is_read_on_where_it_was_left(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    _append(log, "before")
    tail = AuditTail(log)
    _append(log, "first")
    assert [one.audit_id for one in tail.read()] == ["first"]
    for number, name in enumerate(("second", "third")):
        _append(log, name)
        log.rename(tmp_path / f"audit-2026-11-27T03-28-1{number}.204.log")
        log.touch()
    _append(log, "fourth")
    log.write_bytes(log.read_bytes() + b'{"stage": "cut in the mid')
    assert [one.audit_id for one in tail.read()] == ["first", "second", "third", "fourth"]
    copied = tail.write_to(tmp_path / "copied").read_text().splitlines()
    assert [json.loads(line)["auditID"] for line in copied] == ["first", "second", "third", "fourth"]


def _append(log: Path, audit_id: str) -> None:
    event = {
        "stage": "ResponseComplete",
        "verb": "get",
        "user": {"username": "ann"},
        "auditID": audit_id,
        "requestURI": "/api",
    }
    with log.open("a") as file:
        file.write(json.dumps(event) + "\n")
