"""What the operator reads: one JSON line per event on standard error. Never a header value, a body or a secret.

Calls are not logged here: they are in the record. This is for the program's own life and troubles.
"""

import json
import sys
import time
import traceback

from gateway.errors import innermost

_process: dict[str, object] = {}


def name_process(name: str) -> None:
    """From now on every line says which of a gateway's processes wrote it."""
    _process["process"] = name


def note(event: str, message: str, **facts: object) -> None:
    """Something the operator may want to know."""
    _write("info", event, message, facts)


def problem(event: str, message: str, error: BaseException | None = None, **facts: object) -> None:
    """Something the operator should look at. Of an unexpected error the place is logged, not its text."""
    if error is not None:
        leaf = innermost(error)
        facts["error"] = type(leaf).__name__
        facts["at"] = _place(leaf)
    _write("error", event, message, facts)


def _place(error: BaseException) -> str:
    """The innermost frames of ours: `file:line function`, enough to find the bug."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )


def _write(level: str, event: str, message: str, facts: dict[str, object]) -> None:
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1e6) % 1_000_000:06d}Z"
    entry = {"ts": stamp, "level": level, "event": event, "message": message, **_process, **facts}
    # ASCII: a terminal that shows this must not meet control or direction characters a peer chose.
    sys.stderr.write(json.dumps(entry, default=str).replace("\x7f", "\\u007f") + "\n")
    sys.stderr.flush()
