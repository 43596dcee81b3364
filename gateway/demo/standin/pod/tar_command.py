"""`tar cf -` and `tar xf -` on a toy pod's files: what `kubectl cp` runs on the other side.

Streams both ways; a member of any size passes without being held whole.
"""

import posixpath

from gateway.demo.standin.pod.archive import (
    END_OF_ARCHIVE,
    ArchiveReader,
    Entry,
    EntryData,
    EntryEnd,
    encode_entry,
    padding,
)
from gateway.demo.standin.pod.filetree import FileError, FileWriter, resolve
from gateway.demo.standin.pod.process import Process


async def run_tar(process: Process) -> int:
    """Create to stdout or extract from stdin; -C and the options kubectl gives are known."""
    letters, directory, paths = _parse_options(process)
    if "c" in letters:
        return await _create(process, directory, paths)
    if "x" in letters:
        return await _extract(process, directory)
    return await process.complain("you must specify one of c and x")


def _parse_options(process: Process) -> tuple[str, str, list[str]]:
    """(option letters, directory, paths); the archive itself must be "-"."""
    letters, directory, paths = "", process.directory, []
    words = process.argv[1:]
    at = 0
    while at < len(words):
        word = words[at]
        if word.startswith("--"):
            at += 1
            continue  # --no-same-owner and the like: there is one owner
        if at == 0 or (word.startswith("-") and len(word) > 1):
            options = word.lstrip("-")
            letters += options
            for option in options:
                if option in "fC":
                    at += 1
                    value = words[at] if at < len(words) else ""
                    if option == "f" and value != "-":
                        raise FileError("this tar reads stdin and writes stdout only: use f -")
                    directory = resolve(process.directory, value) if option == "C" else directory
        else:
            paths.append(word)
        at += 1
    return letters, directory, paths


async def _create(process: Process, directory: str, paths: list[str]) -> int:
    code = 0
    for path in paths:
        top = resolve(directory, path)
        if process.tree.find(top) is None:
            code = await process.complain(f"{path}: No such file or directory") + 1
            continue
        if path.startswith("/"):
            await process.stderr(b"tar: removing leading '/' from member names\n")
        for place in process.tree.walk(top):
            name = (path + place[len(top) :] if top != "/" else path.rstrip("/") + place).lstrip("/")
            await _write_member(process, place, name)
    await process.stdout(END_OF_ARCHIVE)
    return code


async def _write_member(process: Process, place: str, name: str) -> None:
    node = process.tree.get(place)
    entry = Entry(name, node.size_bytes, node.mode, node.is_directory, not node.is_directory)
    if not node.is_directory:
        blocks = process.tree.read(place)
        first = next(blocks, b"")  # a file whose content was not kept fails here, before its header
        await process.stdout(encode_entry(entry, node.modified_s))
        await process.stdout(first)
        for block in blocks:
            await process.stdout(block)
        await process.stdout(padding(node.size_bytes))
    else:
        await process.stdout(encode_entry(entry, node.modified_s))


async def _extract(process: Process, directory: str) -> int:
    reader = ArchiveReader()
    writer: FileWriter | None = None
    try:
        while data := await process.stdin.read():
            for event in reader.receive(data):
                if isinstance(event, Entry):
                    writer = _open_member(process, directory, event)
                elif isinstance(event, EntryData) and writer:
                    writer.add(event.data)
                elif isinstance(event, EntryEnd) and writer:
                    writer.close()
                    writer = None
    except ValueError as error:
        return await process.complain(str(error)) + 1
    if writer or not reader.is_complete:
        return await process.complain("short read: the archive is cut") + 1
    return 0


def _open_member(process: Process, directory: str, entry: Entry) -> FileWriter | None:
    place = resolve(directory, entry.name.lstrip("/"))
    if entry.is_directory:
        process.tree.make_directory(place, parents=True)
        return None
    if not entry.is_file:
        return None  # links and devices have no place in this tree
    process.tree.make_directory(posixpath.dirname(place), parents=True)
    return process.tree.write(place, mode=entry.mode)
