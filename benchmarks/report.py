"""Samples -> figures, and the facts about machine and commit that make figures comparable."""

import json
import os
import platform
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def percentile(samples: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the samples lie, by nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(samples: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and the mean, in the unit of the samples."""
    return {
        "p50": percentile(samples, 0.5),
        "p90": percentile(samples, 0.9),
        "p99": percentile(samples, 0.99),
        "mean": statistics.fmean(samples),
        "count": len(samples),
    }


def environment() -> dict[str, str]:
    """Commit, machine and versions, as far as they explain a difference."""
    git = ["git", "-C", str(Path(__file__).parent)]
    is_ours = bool(
        _said([*git, "ls-files", Path(__file__).name])
    )  # else the repository of somebody's site-packages
    return {
        "commit": _said([*git, "rev-parse", "--short", "HEAD"]) if is_ours else "unknown",
        "changed": "yes" if is_ours and _said([*git, "status", "--porcelain", "-uno"]) else "no",
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "cpu": cpu_model(),
        "kernel": platform.release(),
        "openssl": ssl.OPENSSL_VERSION,
    }


def cpu_model() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor() or "unknown"


def _said(command: list[str]) -> str:
    """What a program printed; "" when it is not there or failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads, those that ended included.

    By the process's own CPU clock: exact to the nanosecond, where /proc/<pid>/stat counts ticks of 10 ms.
    """
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), with CPUCLOCK_SCHED


def write_json(path: str | None, result: dict[str, object]) -> None:
    if path:
        Path(path).write_text(json.dumps({"environment": environment(), **result}, indent=2) + "\n")
        print(f"wrote {path}", file=sys.stderr)
