"""What start-up made lives as long as the process: no longer walked by the collector, and on huge pages where Linux has them.

A call touches objects all over some 20 MB of them, 5000 pages of 4 KiB; the processor remembers where some of those are, and
in a virtual machine looking up the others goes through two tables at once: 2 to 6 % of a call's CPU. MADV_COLLAPSE
copies a range to one page of 2 MiB and changes nothing for memory that comes later. It is a wish: an older
kernel (before 6.1), a sandbox, or memory too fragmented refuses it, and all stays as it was.
The trap: a huge page is there as a whole. A range that is half empty would cost what it does not hold, so it is left alone.
Source: madvise(2); kernel.org, admin-guide/mm/transhuge; proc_pid_smaps(5).
"""

import ctypes
import gc
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

SETTINGS: Final = Path("/sys/kernel/mm/transparent_hugepage")
MAPPINGS: Final = Path("/proc/self/smaps")
MADV_COLLAPSE: Final = 25
NEARLY_FULL: Final = 0.9
_WRITABLE_AND_OF_NO_FILE: Final = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) rw-p [0-9a-f]+ 00:00 0 *(?:\[(?:heap|anon:.*)\])?\n"
    r"Size: +(\d+) kB\n(?:(?!Rss).*\n)*?Rss: +(\d+) kB\n",
    re.MULTILINE,
)


async def settle_memory() -> None:
    """Once, when everything is open. Collapsing takes 10 to 40 ms of CPU: in a thread, while calls are served."""
    gc.collect()
    gc.freeze()
    await trio.to_thread.run_sync(collapse_full_ranges, abandon_on_cancel=True)


def collapse_full_ranges(settings: Path = SETTINGS) -> int:
    """How many huge pages this process has got. None where whoever runs this machine said never."""
    with suppress(OSError, ValueError, AttributeError):
        if "[never]" in (settings / "enabled").read_text():
            return 0
        page_bytes = int((settings / "hpage_pmd_size").read_text())
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        ranges = full_ranges(MAPPINGS.read_text(), page_bytes)
        return sum(madvise(start, page_bytes, MADV_COLLAPSE) == 0 for start in ranges)
    return 0


def full_ranges(smaps: str, page_bytes: int) -> Iterator[int]:
    """Where huge pages could begin: within mappings of memory alone that are nearly full."""
    for low, high, size_kb, resident_kb in _WRITABLE_AND_OF_NO_FILE.findall(smaps):
        if int(resident_kb) < NEARLY_FULL * int(size_kb):
            continue
        first = -(-int(low, 16) // page_bytes) * page_bytes
        yield from range(first, int(high, 16) - page_bytes + 1, page_bytes)
