"""What start-up made, on huge pages where the machine has them."""

import gc
import mmap
import re
from pathlib import Path

import pytest

from gateway.settled_memory import MAPPINGS, SETTINGS, collapse_full_ranges, full_ranges, settle_memory

MIB = 1 << 20


def mapping(addresses: str, flags: str, file: str, size_kb: int, resident_kb: int) -> str:
    """As proc_pid_smaps(5) shows one."""
    lines = (f"Size: {size_kb:14} kB", "KernelPageSize:        4 kB", "MMUPageSize:           4 kB")
    rest = (f"Rss: {resident_kb:15} kB", f"Pss: {resident_kb:15} kB", "VmFlags: rd wr mr mw me ac sd")
    return "\n".join((f"{addresses} {flags} 00000000 {file}", *lines, *rest)) + "\n"


NOTHING = "00:00 0"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (mapping("00200000-00700000", "rw-p", f"{NOTHING}    [heap]", 5120, 5000), [2 * MIB, 4 * MIB]),
        (mapping("00100000-00500000", "rw-p", NOTHING, 4096, 4096), [2 * MIB]),
        (mapping("00200000-00400000", "rw-p", f"{NOTHING} [anon: obmalloc]", 2048, 2048), [2 * MIB]),
        (mapping("00300000-00500000", "rw-p", NOTHING, 2048, 2048), []),
        (mapping("00200000-00600000", "rw-p", NOTHING, 4096, 3000), []),
        (mapping("00200000-00600000", "r--p", NOTHING, 4096, 4096), []),
        (mapping("00200000-00600000", "rw-p", f"{NOTHING}   [stack]", 4096, 4096), []),
        (mapping("00200000-00600000", "rw-s", NOTHING, 4096, 4096), []),
        (mapping("00200000-00600000", "rw-p", "fe:00 7     /usr/lib/a.so", 4096, 4096), []),
        ("garbage\n", []),
    ],
)
def test_huge_pages_begin_where_whole_ones_are_nearly_full(shown: str, expected: list[int]) -> None:
    assert list(full_ranges(shown, 2 * MIB)) == expected


def test_every_mapping_is_judged_by_its_own_figures() -> None:
    empty = mapping("00200000-00600000", "rw-p", NOTHING, 4096, 0)
    full = mapping("00800000-00a00000", "rw-p", NOTHING, 2048, 2048)
    assert list(full_ranges(empty + full + empty, 2 * MIB)) == [8 * MIB]


@pytest.mark.skipif(
    not (SETTINGS / "enabled").exists() or "[never]" in (SETTINGS / "enabled").read_text(),
    reason="this machine has no huge pages",
)
def test_a_full_range_gets_huge_pages_and_keeps_its_content() -> None:
    page_bytes = int((SETTINGS / "hpage_pmd_size").read_text())
    with mmap.mmap(-1, 4 * page_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for at in range(0, len(memory), 4096):
            memory[at : at + 8] = at.to_bytes(8, "big")
        if not collapse_full_ranges():
            pytest.skip("the kernel is too old, or has no free huge page")
        assert sum(map(int, re.findall(r"AnonHugePages: +([1-9]\d*) kB", MAPPINGS.read_text())))
        assert all(int.from_bytes(memory[at : at + 8], "big") == at for at in range(0, len(memory), 4096))


@pytest.mark.parametrize(
    "files", [{}, {"enabled": "always madvise [never]"}, {"enabled": "[always]", "hpage_pmd_size": "none"}]
)
def test_where_there_are_none_nothing_happens(tmp_path: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert collapse_full_ranges(tmp_path) == 0


async def test_what_start_up_made_is_walked_by_the_collector_no_more() -> None:
    gc.unfreeze()
    try:
        await settle_memory()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
