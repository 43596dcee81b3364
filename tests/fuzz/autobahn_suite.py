"""Install and run the Autobahn test suite against our WebSocket machine, as server and as client.

The suite exists for Python 2.7 only. It is installed once, beside nothing else, into a cache directory of
the user. Run it by `tests/fuzz/autobahn`; `tests/protocol/test_websocket_autobahn.py` runs a part of it.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import trio

from tests.fuzz import autobahn_echo

PACKAGE = "autobahntestsuite==25.10.1"
PROTOCOL_CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
LIMIT_CASES = ("9.*",)
EXCLUDED = ("12.*", "13.*")  # permessage-deflate, which we never agree to
PASSING = frozenset(("OK", "NON-STRICT", "INFORMATIONAL"))


class SuiteUnavailable(Exception):
    """Why the suite cannot run here."""


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "kubetape-autobahn"


def find_python2() -> str:
    """A Python 2.7 with pip: $PYTHON2, one on the PATH, or one of pyenv. Raises SuiteUnavailable."""
    candidates = [os.environ.get("PYTHON2"), shutil.which("python2.7"), shutil.which("python2")]
    if pyenv := shutil.which("pyenv"):
        listed = subprocess.run([pyenv, "whence", "--path", "python2.7"], capture_output=True, text=True)
        candidates += listed.stdout.split()
    for candidate in filter(None, candidates):
        try:
            probe = subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, text=True)
        except OSError:
            continue
        if probe.returncode == 0 and "python 2.7" in probe.stdout:
            return candidate
    raise SuiteUnavailable("no Python 2.7 with pip: set PYTHON2, or install python2.7")


def installed_site(python2: str) -> Path:
    """The directory that holds the suite, installed now if need be. Raises SuiteUnavailable."""
    site = cache_directory() / "site"
    if (site / "complete").exists():
        return site
    shutil.rmtree(site, ignore_errors=True)
    patience = ["--retries", "1", "--timeout", "15"]
    command = [python2, "-m", "pip", "install", "--quiet", *patience, "--target", str(site), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SuiteUnavailable(f"pip could not install {PACKAGE}: {done.stderr.strip().splitlines()[-1:]}")
    # --target loses the .pth file that makes zope a namespace package.
    (site / "zope" / "__init__.py").touch()
    (site / "complete").touch()
    return site


class Suite:
    """One installed suite. directory: scratch space for its spec and its reports."""

    def __init__(self, python2: str, site: Path, directory: Path) -> None:
        self._command = [python2, "-m", "autobahntestsuite.wstest"]
        self._environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONWARNINGS": "ignore"}
        self._directory = directory

    async def run_against_server(self, cases: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """Our machine as server: {case: {"behavior": ..., "behaviorClose": ...}}."""
        async with trio.open_nursery() as nursery:
            port = await nursery.start(autobahn_echo.serve, 0)
            spec = {"servers": [{"agent": "kubetape", "url": f"ws://127.0.0.1:{port}"}]}
            await trio.run_process(
                self._arguments("fuzzingclient", spec, cases),
                env=self._environment,
                cwd=self._directory,
                stdout=subprocess.DEVNULL,
            )
            nursery.cancel_scope.cancel()
        return self._results()

    async def run_against_client(self, cases: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """Our machine as client; see `run_against_server`."""
        port = _free_port()
        arguments = self._arguments("fuzzingserver", {"url": f"ws://127.0.0.1:{port}"}, cases)
        async with trio.open_nursery() as nursery:
            start = partial(
                trio.run_process,
                [*arguments, "-u", "0"],
                env=self._environment,
                cwd=self._directory,
                stdout=subprocess.DEVNULL,
                check=False,
            )
            process: trio.Process = await nursery.start(start)
            await _wait_until_listening(port)
            await autobahn_echo.run_all_client_cases(port, "kubetape")
            process.terminate()
        return self._results()

    def _arguments(self, mode: str, spec: dict[str, object], cases: tuple[str, ...]) -> list[str]:
        spec |= {
            "outdir": "reports",
            "cases": list(cases),
            "exclude-cases": list(EXCLUDED),
            "exclude-agent-cases": {},
        }
        spec |= {"options": {"failByDrop": False}}
        (self._directory / "spec.json").write_text(json.dumps(spec))
        return [*self._command, "-m", mode, "-s", "spec.json"]

    def _results(self) -> dict[str, dict[str, str]]:
        index = json.loads((self._directory / "reports" / "index.json").read_text())
        results: dict[str, dict[str, str]] = index["kubetape"]
        return results


def failures(results: dict[str, dict[str, str]]) -> dict[str, str]:
    """Cases where the behaviour, or that while closing, is not acceptable."""
    return {
        case: f"{result['behavior']}, closing {result['behaviorClose']}"
        for case, result in results.items()
        if result["behavior"] not in PASSING or result["behaviorClose"] not in PASSING
    }


def summary(results: dict[str, dict[str, str]]) -> str:
    """One line per group of cases."""
    groups: dict[int, Counter[str]] = {}
    for case, result in results.items():
        groups.setdefault(int(case.split(".")[0]), Counter())[result["behavior"]] += 1
    lines = [f"{group:>4}.*  {_counts(groups[group])}" for group in sorted(groups)]
    return "\n".join([*lines, f"total   {_counts(sum(groups.values(), Counter()))}"])


def _counts(counter: Counter[str]) -> str:
    return f"{counter.total():>4} cases: " + ", ".join(
        f"{count} {name}" for name, count in counter.most_common()
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _wait_until_listening(port: int) -> None:
    with trio.fail_after(30):
        while True:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                return
            except OSError:
                await trio.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the Autobahn test suite against our WebSocket machine.")
    parser.add_argument(
        "--limits", action="store_true", help="also run the cases about limits and performance (9.*)"
    )
    parser.add_argument("--side", choices=("server", "client", "both"), default="both")
    parser.add_argument("--reports", type=Path, help="keep the suite's reports below this directory")
    options = parser.parse_args()
    try:
        python2 = find_python2()
        site = installed_site(python2)
    except SuiteUnavailable as unavailable:
        print(f"cannot run the Autobahn suite: {unavailable}", file=sys.stderr)
        return 2
    cases = PROTOCOL_CASES + (LIMIT_CASES if options.limits else ())
    failed = False
    for side in ("server", "client") if options.side == "both" else (options.side,):
        with tempfile.TemporaryDirectory() as scratch:
            directory = options.reports / side if options.reports else Path(scratch)
            directory.mkdir(parents=True, exist_ok=True)
            suite = Suite(python2, site, directory)
            run = suite.run_against_server if side == "server" else suite.run_against_client
            results = trio.run(run, cases)
        print(f"our machine as {side}\n{summary(results)}")
        for case, why in failures(results).items():
            failed = True
            print(f"  FAILED {case}: {why}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
