"""Two processes race for one approval, 10,000 times: exactly one wins each."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.postgres_server import PostgresServer
from tests.kit.running import ROOT, environment

TIMES = 10_000


@pytest.fixture
def memory_directory() -> Iterator[str]:
    """Without a disk under it: what is raced for is the key, not the sync."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield directory


def run_race(place: str) -> tuple[set[int], set[int]]:
    racers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.kit.state_race", name, str(TIMES), place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
            text=True,
        )
        for name in ("one", "other")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate(timeout=120)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    one, other = (set(json.loads(output)) for output in outputs)
    return one, other


def check(one: set[int], other: set[int]) -> None:
    assert one & other == set()
    assert one | other == set(range(TIMES))
    assert one, "there was no race"
    assert other, "there was no race"


@pytest.mark.slow
def test_exactly_one_of_two_processes_uses_each_approval_in_sqlite(memory_directory: str) -> None:
    check(*run_race(memory_directory))


@pytest.mark.slow
def test_exactly_one_of_two_processes_uses_each_approval_in_postgresql(
    postgres_server: PostgresServer,
) -> None:
    check(*run_race(postgres_server.new_database()))
