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
def memory_directory() -> Iterator[Path]:
    """Without a disk under it: what is raced for is the key, not the sync."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield Path(directory)


def run_race(place: str, directory: Path) -> tuple[set[int], set[int]]:
    pace = directory / "pace"
    pace.write_bytes(bytes(16))
    with start_racer(0, place, pace) as one, start_racer(1, place, pace) as other:
        try:
            outputs = [racer.communicate(timeout=120)[0] for racer in (one, other)]
        finally:
            one.kill()
            other.kill()
    assert [one.returncode, other.returncode] == [0, 0]
    return set(json.loads(outputs[0])), set(json.loads(outputs[1]))


def start_racer(racer: int, place: str, pace: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kit.state_race", str(racer), str(TIMES), place, str(pace)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
        text=True,
    )


def check(one: set[int], other: set[int]) -> None:
    assert one & other == set()
    assert one | other == set(range(TIMES))
    assert one, "there was no race"
    assert other, "there was no race"


@pytest.mark.slow
def test_exactly_one_of_two_processes_uses_each_approval_in_sqlite(memory_directory: Path) -> None:
    check(*run_race(str(memory_directory), memory_directory))


@pytest.mark.slow
def test_exactly_one_of_two_processes_uses_each_approval_in_postgresql(
    postgres_server: PostgresServer, memory_directory: Path
) -> None:
    check(*run_race(postgres_server.new_space(), memory_directory))
