"""A real disk whose power can be cut: ext4 in an image file that lies on XFS, which copies a file in no time.

A copy (`cp --reflink`) of the image while it is written holds exactly what the kernel had handed to the disk at that
moment; what was only in the page cache of ext4 is not in it. Mounting the copy replays ext4's journal, as after a
real cut. It needs root, loop devices, XFS with reflink, and mkfs.xfs (package xfsprogs, installed where apt may).
What a disk does to writes it has, but has not been told to flush, is not modelled here: see `write_images`.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

XFS_BYTES: Final = 4 << 30
"""Sparse. Copies share what they have in common."""
IMAGE_BYTES: Final = 192 << 20
_INSTALL: Final = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "xfsprogs"]

BUSY_S: Final = 20.0


class NoImages(Exception):
    """Why there can be no such disk here."""


def run(*command: str | Path) -> None:
    """Raises NoImages with what the program said."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, check=False, timeout=120)
    except FileNotFoundError:
        raise NoImages(f"{command[0]} is not installed") from None
    if done.returncode:
        raise NoImages(
            f"{' '.join(map(str, command))}: {done.stderr.decode(errors='replace').strip()[-300:]}"
        )


def need_image_disk(directory: Path) -> "ImageDisk":
    """Such a disk, or skip the test with the reason."""
    try:
        return ImageDisk(directory)
    except NoImages as why:
        pytest.skip(f"power cuts on a real file system cannot be made here: {why}")


class ImageDisk:
    """`mount` is the disk; `cut` copies it as it is. Use it as a context manager. Raises NoImages."""

    def __init__(self, directory: Path) -> None:
        if os.geteuid() != 0:
            raise NoImages("mounting needs root")
        if shutil.which("mkfs.xfs") is None and shutil.which("apt-get") is not None:
            subprocess.run(_INSTALL, capture_output=True, check=False, timeout=300)
        directory.mkdir(parents=True)
        self._xfs, self.mount, self._copy = (directory / name for name in ("xfs", "disk", "copy"))
        self._image = self._xfs / "disk.img"
        self._mounted: list[Path] = []
        for path in (self._xfs, self.mount, self._copy):
            path.mkdir()
        backing = directory / "xfs.img"
        try:
            _sparse(backing, XFS_BYTES)
            run("mkfs.xfs", "-q", "-m", "reflink=1", backing)
            self._attach(backing, self._xfs)
            _sparse(self._image, IMAGE_BYTES)
            run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self._image)
            self._attach(self._image, self.mount)
        except NoImages:
            self.close()
            raise

    def _attach(self, image: Path, point: Path) -> None:
        run("mount", "-o", "loop", image, point)
        self._mounted.append(point)

    def __enter__(self) -> "ImageDisk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        while self._mounted:
            subprocess.run(["umount", "--lazy", str(self._mounted.pop())], check=False, capture_output=True)

    def cut(self, name: str) -> Path:
        """The disk as it would be found if the power went now."""
        image = self._xfs / f"{name}.img"
        run("cp", "--reflink=always", self._image, image)
        return image

    @contextlib.contextmanager
    def after_the_cut(self, image: Path) -> Iterator[Path]:
        """Mount a copy, journal replay included; removed afterwards, unless the caller fails."""
        self._attach(image, self._copy)
        try:
            yield self._copy
        finally:
            self._detach(self._copy)
        image.unlink()

    def _detach(self, mount: Path) -> None:
        """The keeper of a killed gateway may have a file open for a second or two."""
        give_up_s = time.monotonic() + BUSY_S
        while True:
            try:
                run("umount", mount)
                break
            except NoImages:
                if time.monotonic() > give_up_s:
                    raise
                time.sleep(0.1)
        self._mounted.remove(mount)


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
