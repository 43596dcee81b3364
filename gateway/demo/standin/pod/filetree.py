"""The files of a toy pod, in memory.

A file keeps its content up to 64 MiB; of a longer one only length and SHA-256 stay, so that a copy of
any size can be checked without being held. The files under /big have a length and a computed content
in which no two blocks are alike: a lost or swapped block shows. No path here is a path of the host.
"""

import hashlib
import posixpath
import time
from collections.abc import Iterator
from typing import Final

from gateway.demo.standin.seed import CUSTOMERS_CSV

MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
MAX_TREE_BYTES: Final = 256 * 1024 * 1024
MAX_FILES: Final = 10_000
BLOCK_BYTES: Final = 64 * 1024

_PATTERN: Final = hashlib.shake_128(b"kubetape stand-in").digest(BLOCK_BYTES - 8)


class FileError(Exception):
    """What a command prints after the path: "No such file or directory" and the like."""


class Node:
    """A file or a directory. content: a directory or a computed file has none."""

    def __init__(self, *, directory: bool = False, mode: int = 0o644) -> None:
        self.is_directory, self.mode = directory, mode
        self.modified_s = int(time.time())
        self.size_bytes = 0
        self.content: bytearray | None = None if directory else bytearray()
        self.sha256: str | None = None  # of a file whose content was not kept
        self.is_computed = False


class FileTree:
    """Paths given to it are absolute and clean: see `resolve`."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"/": Node(directory=True, mode=0o755)}

    def find(self, path: str) -> Node | None:
        return self._nodes.get(path)

    def get(self, path: str) -> Node:
        """Raises FileError when there is none."""
        node = self._nodes.get(path)
        if node is None:
            raise FileError("No such file or directory")
        return node

    def children(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        return sorted(
            posixpath.basename(one) for one in self._nodes if one != "/" and posixpath.dirname(one) == path
        )

    def walk(self, path: str) -> list[str]:
        """The path and all below it, parents first."""
        inside = path.rstrip("/") + "/"
        return sorted(one for one in self._nodes if one == path or one.startswith(inside))

    def make_directory(self, path: str, *, parents: bool = False) -> None:
        """Raises FileError: exists, or the parent does not."""
        node = self._nodes.get(path)
        if node is not None:
            if parents and node.is_directory:
                return
            raise FileError("File exists")
        if parents:
            self.make_directory(posixpath.dirname(path), parents=True)
        self._insert(path, Node(directory=True, mode=0o755))

    def remove(self, path: str, *, recursive: bool = False) -> None:
        node = self.get(path)
        if node.is_directory and not recursive:
            raise FileError("is a directory")
        for one in self.walk(path):
            if one != "/":
                del self._nodes[one]

    def write(self, path: str, *, mode: int = 0o644, append: bool = False) -> "FileWriter":
        """Open a file for writing, empty unless `append`. Raises FileError."""
        if append and (node := self._nodes.get(path)) is not None and node.content is not None:
            return FileWriter(self, node)
        node = Node(mode=mode)
        self._insert(path, node)
        return FileWriter(self, node)

    def put(self, path: str, content: bytes) -> None:
        """A small file, its directories included."""
        self.make_directory(posixpath.dirname(path), parents=True)
        writer = self.write(path)
        writer.add(content)
        writer.close()

    def put_computed(self, path: str, size_bytes: int) -> None:
        """A file whose content is computed when read."""
        self.make_directory(posixpath.dirname(path), parents=True)
        node = Node()
        node.content, node.is_computed, node.size_bytes = None, True, size_bytes
        self._insert(path, node)

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The content from an offset on, in blocks. Raises FileError."""
        node = self.get(path)
        if node.is_directory:
            raise FileError("Is a directory")
        if node.is_computed:
            return computed_blocks(node.size_bytes, start)
        if node.content is None:
            raise FileError(
                f"content not kept: the stand-in keeps {MAX_KEPT_BYTES >> 20} MiB of a file and checks the rest"
            )
        content = bytes(node.content)
        return (content[offset : offset + BLOCK_BYTES] for offset in range(start, len(content), BLOCK_BYTES))

    def kept_bytes(self) -> int:
        return sum(len(node.content) for node in self._nodes.values() if node.content is not None)

    def _insert(self, path: str, node: Node) -> None:
        parent = self._nodes.get(posixpath.dirname(path))
        if parent is None:
            raise FileError("No such file or directory")
        if not parent.is_directory:
            raise FileError("Not a directory")
        old = self._nodes.get(path)
        if old is not None and old.is_directory:
            raise FileError("Is a directory")
        if len(self._nodes) >= MAX_FILES:
            raise FileError("No space left on device")
        self._nodes[path] = node


class FileWriter:
    """Takes a file's content piece by piece."""

    def __init__(self, tree: FileTree, node: Node) -> None:
        self._tree, self._node = tree, node
        self._hash = hashlib.sha256(bytes(node.content or b""))
        self._room = MAX_TREE_BYTES - tree.kept_bytes()

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self._node.size_bytes += len(data)
        if self._node.content is None:
            return
        self._room -= len(data)
        if self._node.size_bytes > MAX_KEPT_BYTES or self._room < 0:
            self._node.content = None
        else:
            self._node.content += data

    def close(self) -> None:
        self._node.sha256 = None if self._node.content is not None else self._hash.hexdigest()


def computed_blocks(size_bytes: int, start: int = 0) -> Iterator[bytes]:
    """Blocks of 64 KiB, each beginning with its number, up to a length."""
    for number in range(start // BLOCK_BYTES, -(-size_bytes // BLOCK_BYTES)):
        block = number.to_bytes(8, "big") + _PATTERN
        end = min(BLOCK_BYTES, size_bytes - number * BLOCK_BYTES)
        yield block[max(0, start - number * BLOCK_BYTES) : end]


def resolve(directory: str, path: str) -> str:
    """An absolute clean path; above / there is only /."""
    joined = posixpath.normpath(posixpath.join(directory, path))
    return "/" + joined.lstrip("/")


def seed_tree(namespace: str, pod: str) -> FileTree:
    """The files a toy pod begins with."""
    tree = FileTree()
    for directory in ("/tmp", "/data", "/root", "/dev", "/bin"):
        tree.make_directory(directory)
    tree.put("/etc/hostname", f"{pod}\n".encode())
    tree.put("/etc/os-release", b'NAME="stand-in, not Linux"\nID=standin\n')
    tree.put("/app/config.yaml", f"service: {pod}\nnamespace: {namespace}\nlogLevel: info\n".encode())
    if namespace == "payments":
        tree.put("/data/customers.csv", CUSTOMERS_CSV.encode())
    else:
        tree.put("/data/readme.txt", b"nothing to see here\n")
    for name, size in (("1MiB.bin", 1 << 20), ("64MiB.bin", 64 << 20), ("1GiB.bin", 1 << 30)):
        tree.put_computed(f"/big/{name}", size)
    return tree
