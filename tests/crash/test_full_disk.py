"""A disk that is really full: a small tmpfs, mounted where root may do so."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from storage.errors import LogFailed
from storage.files import Headroom
from storage.reader import iter_records
from tests.kit.acks import PATIENCE_S, SMALL, Acks, open_log

SIZE_BYTES = 1 << 20
SETTINGS = msgspec.structs.replace(SMALL, segment_bytes=128 << 10, first_segment_bytes=64 << 10)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def fill(path: Path) -> None:
    """Take what is left of a disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(fd, bytes(4096)) == 4096:
            pass
    os.close(fd)


def noise(position: int) -> bytes:
    return b"%08d" % position + os.urandom(2000)


@pytest.mark.crash
def test_a_full_disk_latches_the_log_and_keeps_what_was_acknowledged(small_disk: Path) -> None:
    directory = small_disk / "log"
    acks = Acks()
    log = open_log(directory, acks, settings=SETTINGS)
    position = 0
    while not acks.failures:
        try:
            position = log.append(noise(position + 1), urgent=True)
        except LogFailed:
            break
        acks.wait_durable(position)
    failure = acks.wait_failure()
    assert failure.why == "No space left on device"
    assert log.headroom() == Headroom.CRITICAL
    durable = acks.durable
    with pytest.raises(LogFailed):
        log.append(b"x", urgent=True)
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)
    kept = [data for _, data in iter_records(directory)]
    assert len(kept) >= durable > 100
    assert all(data.startswith(b"%08d" % number) for number, data in enumerate(kept, 1))


@pytest.mark.crash
def test_spares_carry_the_log_on_when_nothing_else_is_left(small_disk: Path) -> None:
    """The reserve: zeros already written need no new space."""
    directory = small_disk / "log"
    directory.mkdir()
    for name in ("a.spare", "b.spare"):
        (directory / name).write_bytes(bytes(SETTINGS.segment_bytes))
    acks = Acks()
    log = open_log(directory, acks, settings=msgspec.structs.replace(SETTINGS, spares=2))
    fill(small_disk / "ballast")
    written = 0
    while written < 500 and acks.wait_durable(log.append(noise(written + 1), urgent=True)):
        written += 1
    assert written * 2000 > SETTINGS.segment_bytes, "the first small segment alone would not hold so much"
    assert acks.wait_failure().why == "No space left on device"
    with pytest.raises(LogFailed):
        log.close(PATIENCE_S)
    assert len(list(iter_records(directory))) >= written
