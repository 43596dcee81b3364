"""The gate on CPU per call of two trees: the arithmetic, and whose CPU it is. The whole takes minutes and is not run here."""

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.against import gateway_cpu_s, median_interval


def test_equal_rounds_leave_no_doubt() -> None:
    assert median_interval([1.1] * 50) == (1.1, 1.1)


def test_the_interval_holds_the_median_and_not_the_outliers_of_a_busy_machine() -> None:
    ratios = [1.0 + step / 1000 for step in range(-20, 21)] + [3.0, 4.0, 0.2]
    low, high = median_interval(ratios)
    assert low <= 1.0 <= high
    assert high - low < 0.03


def test_the_same_rounds_give_the_same_interval() -> None:
    ratios = [0.9, 1.0, 1.1, 1.3, 0.8, 1.05]
    assert median_interval(ratios) == median_interval(ratios)


def test_the_cpu_of_a_gateway_is_that_of_its_workers_too() -> None:
    before = gateway_cpu_s(os.getpid())
    program = "import time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True)\ninput()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        spent = gateway_cpu_s(os.getpid()) - before
        worker.communicate(b"\n")
    assert spent >= 0.2


def test_the_keeper_is_left_out() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)", "gateway.keeper_process"]
    with subprocess.Popen(command) as keeper:
        while b"keeper_process" not in Path(f"/proc/{keeper.pid}/cmdline").read_bytes():
            time.sleep(0.001)  # between fork and exec it is still us
        assert gateway_cpu_s(keeper.pid) == 0.0
        keeper.kill()
