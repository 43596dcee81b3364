"""kill -9 of a writing process at random moments, many runs on one directory."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.reader import iter_records
from storage.records import SegmentRecovered, decode_record
from tests.crash.log_writer import content

ROUNDS = 50
SEED = 20_260_504
ROOT = Path(__file__).resolve().parents[2]


def run_and_kill(directory: Path, rng: random.Random) -> int:
    """Start a writer, kill it after its first words and a random while; the last position it vouched for."""
    command = [sys.executable, "-m", "tests.crash.log_writer", str(directory), str(rng.randrange(1 << 30))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "the writer died before it wrote anything"
        time.sleep(rng.random() * 0.15)
        child.kill()
        said = first + child.stdout.read()
    # The last line may be cut by the kill.
    return int(said.rsplit(b"\n", 2)[-2])


def check(directory: Path, acknowledged: int) -> int:
    """Every record is there, in order, whole; returns how many. Only the log's own records differ."""
    count = 0
    for position, data in iter_records(directory):
        count += 1
        assert position.record_seq == count
        if data != content(count):
            found = decode_record(data)
            assert isinstance(found, SegmentRecovered), f"record {count} is not the one that was appended"
            assert found.finding != "corrupt"
    assert count >= acknowledged, f"{acknowledged} were acknowledged, {count} are there"
    return count


@pytest.mark.crash
@pytest.mark.slow
def test_no_acknowledged_record_is_lost_by_a_kill(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    total = 0
    for round_number in range(ROUNDS):
        acknowledged = run_and_kill(tmp_path, rng)
        assert acknowledged > total, f"round {round_number} of seed {SEED} in {tmp_path} wrote nothing"
        if round_number % 10 == 9:
            total = check(tmp_path, acknowledged)
    segments = [path.suffix for path in tmp_path.iterdir()]
    assert segments.count(".recovered") >= ROUNDS - 5
    assert segments.count(".kseg") > 0
    assert segments.count(".open") <= 2
    assert segments.count(".spare") <= 2
