"""What a process that serves calls sets for itself before it begins, whoever started it."""

import resource
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
