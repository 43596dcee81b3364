"""What `workers: auto` means."""

import os
from pathlib import Path

import pytest

from gateway.cpus import count_workers

USABLE = len(os.sched_getaffinity(0))


def test_a_number_is_that_number(tmp_path: Path) -> None:
    assert count_workers(3, cpu_max=tmp_path / "none") == 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000\n", USABLE),
        ("100000 100000\n", 1),
        ("1000 100000\n", 1),
        (f"{USABLE * 100000 + 50000} 100000\n", USABLE),
        ("garbage\n", USABLE),
    ],
)
def test_auto_is_one_a_cpu_that_this_container_may_use(tmp_path: Path, content: str, expected: int) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(content)
    assert count_workers("auto", cpu_max=path) == expected


def test_auto_without_a_container_counts_the_cpus(tmp_path: Path) -> None:
    assert count_workers("auto", cpu_max=tmp_path / "none") == USABLE
