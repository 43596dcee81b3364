"""How many processes can work at once here: what `workers: auto` means. Linux."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from gateway.config import MAX_WORKERS

CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")
"""Of a container: "quota period" or "max period" in microseconds (kernel.org, cgroup-v2)."""


def count_workers(wanted: int | Literal["auto"], *, cpu_max: Path = CPU_MAX) -> int:
    """wanted: of the configuration. auto: a worker for each CPU that this process may use, as far as they go."""
    if wanted != "auto":
        return wanted
    usable = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        quota, period = cpu_max.read_text().split()
        if quota != "max":
            usable = min(usable, math.ceil(int(quota) / int(period)))
    return max(1, min(usable, MAX_WORKERS))
