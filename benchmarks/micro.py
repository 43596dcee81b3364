"""All the small benchmarks, shortly, one after the other: parsers, frames, log append, masks, decisions.

    python -m benchmarks.micro [--only NAME ...] [--json FILE]

Each is a program of its own and stays one; this runs them and puts what they print into one file: into the field
`micro` of a result of `kubetape bench` when FILE is one. What fails or is not here is named, and the others go on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.report import environment
from benchmarks.side_by_side.result import Result, read_result, write_result

TIMEOUT_S: Final = 300

LABELS: Final = 3
"""Columns of a printed row that are no figures: record_bytes, callers, urgent."""

PRINTS_JSON, PRINTS_LINES, WRITES_FILE = "prints", "lines", "file"
BENCHMARKS: Final[dict[str, tuple[str, list[str]]]] = {
    "parsers_http1": (PRINTS_JSON, []),
    "parsers_http2": (PRINTS_JSON, []),
    "parsers_spdy": (PRINTS_JSON, []),
    "parsers_websocket": (PRINTS_JSON, []),
    "append": (PRINTS_LINES, ["--seconds", "0.3", "--json"]),
    "keeper": (WRITES_FILE, ["--seconds", "0.3"]),
    "encryption": (WRITES_FILE, ["--seconds", "0.5"]),
    "masking": (WRITES_FILE, ["--seconds", "0.2"]),
    "masking_streams": (PRINTS_JSON, []),
    "decisions": (WRITES_FILE, []),
    "identity": (PRINTS_JSON, []),
    "known_requests": (PRINTS_JSON, []),
    "stored_bytes": (PRINTS_JSON, ["--rounds", "5", "--json"]),
    "workers": (WRITES_FILE, ["--seconds", "2", "--rounds", "1"]),
}
"""Name of the module -> where its figures come out, and what makes it short."""


def run_one(name: str) -> object:
    """The figures of one benchmark, or {"failed": why}."""
    how, arguments = BENCHMARKS[name]
    if find_spec(f"benchmarks.{name}") is None:
        return {"failed": "not here"}
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        command += ["--json", file.name] if how == WRITES_FILE else []
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
            return parse(how, ended.stdout if how != WRITES_FILE else file.read())
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines()
            return {"failed": lines[-1] if lines else f"exit code {error.returncode}"}
        except (subprocess.TimeoutExpired, ValueError) as error:
            return {"failed": str(error).splitlines()[0]}


def parse(how: str, text: str) -> object:
    """What a benchmark wrote -> its figures. Raises ValueError."""
    if how == PRINTS_LINES:
        return dict(_labelled(json.loads(line)) for line in text.splitlines())
    found = json.loads(text)
    if isinstance(found, dict):
        found.pop("environment", None)  # that of the whole file is the same
    return found


def _labelled(row: dict[str, object]) -> tuple[str, dict[str, object]]:
    """A row whose first columns say what it is about."""
    cells = list(row.items())
    return ", ".join(f"{name} {value}" for name, value in cells[:LABELS]), dict(cells[LABELS:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures there, or add them there"
    )
    options = parser.parse_args()
    result = Result(environment=environment())
    if options.json and options.json.exists():
        result = read_result(options.json)
    for name in options.only:
        print(f"{name} ...", file=sys.stderr)
        result.micro[name] = run_one(name)
        print(json.dumps({name: result.micro[name]}, indent=2))
    if options.json:
        write_result(options.json, result)


if __name__ == "__main__":
    main()
