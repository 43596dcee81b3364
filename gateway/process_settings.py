"""What a process sets for itself before it begins: limits, and who may end it."""

import resource
import signal
import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0002
"""How long the log's writer may hold the interpreter while a request waits (Python's own default is 5 ms)."""
MAX_OPEN_FILES: Final = 65_536
"""A watch holds two sockets; the usual soft limit of 1024 would end at 500 of them."""


def prepare_process() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold tokens and keys
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def leave_signals_to_parent() -> None:
    """For a child of a gateway. A service manager signals all processes at once; the order of the end is the parent's,
    which says so, or dies: then our standard input ends. A handler, not SIG_IGN: that would be inherited."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
