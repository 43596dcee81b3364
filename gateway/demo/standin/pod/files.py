"""Opening a toy pod's files from commands: with stdin, /dev/zero and /dev/null among them."""

from typing import Final

import trio

from gateway.demo.standin.pod.filetree import BLOCK_BYTES, FileError, FileTree
from gateway.demo.standin.pod.process import Process
from gateway.demo.standin.pod.streams import Source, empty_source

_ZEROS: Final = bytes(BLOCK_BYTES)


def open_file(process: Process, path: str) -> Source:
    """A file's bytes; "-" is stdin. Raises FileError naming the path."""
    if path in ("-", "/dev/stdin"):
        return process.stdin
    try:
        return open_place(process.tree, process.resolve(path))
    except FileError as error:
        raise FileError(f"{path}: {error}") from error


def open_place(tree: FileTree, place: str) -> Source:
    """The bytes at an absolute path. Raises FileError."""
    if place == "/dev/zero":
        return Source(_read_zeros)
    if place == "/dev/null":
        return empty_source()
    blocks = tree.read(place)

    async def read_block() -> bytes:
        await trio.lowlevel.checkpoint()
        return next(blocks, b"")

    return Source(read_block)


async def _read_zeros() -> bytes:
    await trio.lowlevel.checkpoint()
    return _ZEROS
