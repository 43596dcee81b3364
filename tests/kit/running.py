"""The program, run as a user runs it: a process, its two outputs, its exit code."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Ran(NamedTuple):
    """How a run ended. out and err: decoded, line ends as they came."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KUBETAPE_")}
    return kept | {"PYTHONPATH": str(ROOT), "NO_COLOR": "", "PYTHONWARNINGS": "error"} | changes


def run_cli(*arguments: str, cwd: Path | None = None, stdin: bytes = b"", **changes: str) -> Ran:
    """`kubetape ARGUMENTS` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        cwd=cwd,
        env=environment(**changes),
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode())
