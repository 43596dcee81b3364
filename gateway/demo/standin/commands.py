"""The commands of a toy pod: what people and kubectl type most, a few options each.

Each takes a Process and gives an exit code; FileError becomes `name: text` and code 1. None touches
the host. /dev/zero, /dev/null and - (stdin) can be read where a file is expected.
"""

import hashlib
import posixpath
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import trio

from gateway.demo.standin.filetree import BLOCK_BYTES, FileError
from gateway.demo.standin.process import CommandFunction, Process
from gateway.demo.standin.tar_command import run_tar

_ZEROS: Final = bytes(BLOCK_BYTES)
MAX_SLEEP_S: Final = 86_400.0


async def read_file(process: Process, path: str) -> AsyncIterator[bytes]:
    """A file's blocks; "-" is stdin. Raises FileError naming the path."""
    if path in ("-", "/dev/stdin"):
        while piece := await process.stdin.read():
            yield piece
        return
    if path == "/dev/zero":
        while True:
            await trio.lowlevel.checkpoint()
            yield _ZEROS
    if path == "/dev/null":
        return
    try:
        for block in process.tree.read(process.resolve(path)):
            await trio.lowlevel.checkpoint()
            yield block
    except FileError as error:
        raise FileError(f"{path}: {error}") from error


async def echo(process: Process) -> int:
    words, newline, escapes = process.argv[1:], b"\n", False
    while words and words[0] in ("-n", "-e", "-ne", "-en"):
        newline = b"" if "n" in words[0] else newline
        escapes = escapes or "e" in words[0]
        del words[0]
    text = " ".join(words)
    if escapes:
        text = (
            text.replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace("\\r", "\r")
            .replace("\\033", "\x1b")
            .replace("\\e", "\x1b")
        )
    await process.stdout(text.encode("utf-8", "surrogateescape") + newline)
    return 0


async def cat(process: Process) -> int:
    code = 0
    for path in process.argv[1:] or ["-"]:
        try:
            async for block in read_file(process, path):
                await process.stdout(block)
        except FileError as error:
            code = await process.complain(str(error))
    return code


async def ls(process: Process) -> int:
    flags = "".join(word[1:] for word in process.argv[1:] if word.startswith("-"))
    paths = [word for word in process.argv[1:] if not word.startswith("-")] or ["."]
    code = 0
    for path in paths:
        place = process.resolve(path)
        node = process.tree.find(place)
        if node is None:
            code = await process.complain(f"{path}: No such file or directory")
            continue
        names = process.tree.children(place) if node.is_directory and "d" not in flags else [path]
        for name in names:
            await process.stdout(
                (_long_line(process, place, name, path) if "l" in flags else name + "\n").encode()
            )
    return code


def _long_line(process: Process, place: str, name: str, path: str) -> str:
    node = process.tree.get(place if name == path else posixpath.join(place, name))
    kind = "d" if node.is_directory else "-"
    bits = "".join(
        letter if node.mode >> shift & 1 else "-"
        for shift, letter in zip(range(8, -1, -1), "rwxrwxrwx", strict=True)
    )
    when = datetime.fromtimestamp(node.modified_s, UTC).strftime("%b %d %H:%M")
    return f"{kind}{bits} 1 root root {node.size_bytes:>10} {when} {name}\n"


async def env(process: Process) -> int:
    lines = [f"{key}={value}\n" for key, value in sorted(process.environ.items())]
    await process.stdout("".join(lines).encode())
    return 0


async def sleep(process: Process) -> int:
    text = process.argv[1] if len(process.argv) > 1 else ""
    try:
        seconds = float(text.removesuffix("s")) if text != "infinity" else MAX_SLEEP_S
    except ValueError:
        return await process.complain(f"invalid number '{text}'")
    await trio.sleep(min(max(seconds, 0.0), MAX_SLEEP_S))
    return 0


async def true(process: Process) -> int:
    return 0


async def false(process: Process) -> int:
    return 1


async def exit_now(process: Process) -> int:
    """`exit N` run without a shell: what a test of exit codes wants."""
    word = process.argv[1] if len(process.argv) > 1 else "0"
    return int(word) if word.isdigit() else 2


async def head(process: Process) -> int:
    unit, count, paths = _count_option(process.argv[1:], 10)
    for path in paths or ["-"]:
        left = count
        async for block in read_file(process, path):
            if unit == "c":
                piece = block[:left]
                left -= len(piece)
            else:
                lines = block.splitlines(keepends=True)[:left]
                piece = b"".join(lines)
                left -= piece.count(b"\n")
            await process.stdout(piece)
            if left <= 0:
                break
    return 0


async def tail(process: Process) -> int:
    """`tail -n N`, and `tail -c +N`, with which `kubectl cp --retries` resumes."""
    words = process.argv[1:]
    from_start = next((word for word in words if word.startswith(("-c+", "+"))), None)
    if from_start is not None:
        skip = max(0, int(from_start.lstrip("-c+") or 1) - 1)
        paths = [word for word in words if not word.startswith(("-", "+"))]
        async for block in read_file(process, paths[0] if paths else "-"):
            piece = block[skip:]
            skip = max(0, skip - len(block))
            await process.stdout(piece)
        return 0
    unit, count, paths = _count_option(words, 10)
    kept = b""
    async for block in read_file(process, paths[0] if paths else "-"):
        kept = kept + block
        kept = kept[-count:] if unit == "c" else b"".join(kept.splitlines(keepends=True)[-count:])
    await process.stdout(kept if count else b"")
    return 0


def _count_option(words: list[str], default: int) -> tuple[str, int, list[str]]:
    """(unit "c" or "n", count, paths) of head and tail."""
    unit, count, paths, at = "n", default, [], 0
    while at < len(words):
        word = words[at]
        if word[:2] in ("-c", "-n"):
            unit = word[1]
            if len(word) > 2:
                count = _number(word[2:])
            else:
                at += 1
                count = _number(words[at] if at < len(words) else "")
        elif word.startswith("-") and word[1:].isdigit():
            count = int(word[1:])
        else:
            paths.append(word)
        at += 1
    return unit, count, paths


def _number(text: str) -> int:
    """A count with an optional k, M or G of 1024. Raises FileError."""
    factor = {"k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdigit():
        raise FileError(f"invalid number '{text}'")
    return int(digits) * factor


async def wc(process: Process) -> int:
    flags = "".join(word[1:] for word in process.argv[1:] if word.startswith("-")) or "lwc"
    paths = [word for word in process.argv[1:] if not word.startswith("-")]
    lines = words = size = 0
    in_word = False
    async for block in read_file(process, paths[0] if paths else "-"):
        lines += block.count(b"\n")
        size += len(block)
        if "w" in flags:
            # a word cut by a block border counts once
            words += len(block.split()) - (in_word and not block[:1].isspace())
            in_word = not block[-1:].isspace()
    found = [str(value) for flag, value in (("l", lines), ("w", words), ("c", size)) if flag in flags]
    await process.stdout((" ".join(found + paths) + "\n").encode())
    return 0


async def seq(process: Process) -> int:
    numbers = [int(word) for word in process.argv[1:3] if word.lstrip("-").isdigit()]
    if not numbers:
        return await process.complain("missing operand")
    first, last = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    for start in range(first, last + 1, 1000):
        await process.stdout(
            "".join(f"{number}\n" for number in range(start, min(start + 1000, last + 1))).encode()
        )
    return 0


async def grep(process: Process) -> int:
    """Fixed strings only; -v and -i."""
    flags = "".join(word[1:] for word in process.argv[1:] if word.startswith("-"))
    words = [word for word in process.argv[1:] if not word.startswith("-")]
    if not words:
        return await process.complain("no pattern")
    pattern = words[0].encode()
    pattern = pattern.lower() if "i" in flags else pattern
    found, rest = 1, b""
    async for block in read_file(process, words[1] if len(words) > 1 else "-"):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if (pattern in (line.lower() if "i" in flags else line)) is ("v" not in flags):
                await process.stdout(line + b"\n")
                found = 0
    if rest and (pattern in rest) is ("v" not in flags):
        await process.stdout(rest + b"\n")
        found = 0
    return found


async def sha256sum(process: Process) -> int:
    for path in process.argv[1:] or ["-"]:
        node = process.tree.find(process.resolve(path)) if path != "-" else None
        if node is not None and node.sha256 is not None:
            digest = node.sha256
        else:
            hashed = hashlib.sha256()
            async for block in read_file(process, path):
                hashed.update(block)
            digest = hashed.hexdigest()
        await process.stdout(f"{digest}  {path}\n".encode())
    return 0


async def stty(process: Process) -> int:
    terminal = process.terminal
    if terminal is None:
        return await process.complain("standard input: Not a tty")
    for word in process.argv[1:]:
        if word == "size":
            await process.stdout(f"{terminal.rows} {terminal.columns}\n".encode())
        elif word in ("echo", "-echo"):
            terminal.echoes = word == "echo"
        else:
            return await process.complain(f"invalid argument '{word}'")
    return 0


async def tty(process: Process) -> int:
    await process.stdout(b"/dev/pts/0\n" if process.terminal else b"not a tty\n")
    return 0 if process.terminal else 1


async def test(process: Process) -> int:
    words = process.argv[1:]
    if process.argv[0].endswith("["):
        if not words or words.pop() != "]":
            return 2
    negated = bool(words) and words[0] == "!"
    words = words[1:] if negated else words
    result = _test(process, words)
    return result if result > 1 else int(bool(result) is not negated)


def _test(process: Process, words: list[str]) -> int:
    """0 true, 1 false, 2 not understood."""
    if len(words) == 1:
        return 0 if words[0] else 1
    if len(words) == 2:
        node = process.tree.find(process.resolve(words[1]))
        answers = {
            "-d": node is not None and node.is_directory,
            "-f": node is not None and not node.is_directory,
            "-e": node is not None,
            "-s": node is not None and node.size_bytes > 0,
            "-n": words[1] != "",
            "-z": words[1] == "",
            "-t": process.terminal is not None,
        }
        return 2 if words[0] not in answers else int(not answers[words[0]])
    if len(words) == 3 and words[1] in ("=", "==", "!="):
        return int((words[0] == words[2]) is (words[1] == "!="))
    numeric = len(words) == 3 and all(word.lstrip("-").isdigit() for word in (words[0], words[2]))
    if numeric and words[1] in ("-eq", "-ne", "-lt", "-gt", "-le", "-ge"):
        left, right = int(words[0]), int(words[2])
        compared = {
            "-eq": left == right,
            "-ne": left != right,
            "-lt": left < right,
            "-gt": left > right,
            "-le": left <= right,
            "-ge": left >= right,
        }
        return int(not compared[words[1]])
    return 2


async def mkdir(process: Process) -> int:
    parents = any(word.startswith("-") and "p" in word for word in process.argv[1:])
    for path in process.argv[1:]:
        if not path.startswith("-"):
            process.tree.make_directory(process.resolve(path), parents=parents)
    return 0


async def rm(process: Process) -> int:
    flags = "".join(word[1:] for word in process.argv[1:] if word.startswith("-"))
    code = 0
    for path in (word for word in process.argv[1:] if not word.startswith("-")):
        try:
            process.tree.remove(process.resolve(path), recursive="r" in flags.lower())
        except FileError as error:
            if "f" not in flags:
                code = await process.complain(f"can't remove '{path}': {error}")
    return code


async def touch(process: Process) -> int:
    for path in process.argv[1:]:
        if process.tree.find(process.resolve(path)) is None:
            process.tree.write(process.resolve(path)).close()
    return 0


def _say(text: str) -> CommandFunction:
    async def say(process: Process) -> int:
        await process.stdout(text.format(**{"PWD": process.directory} | process.environ).encode() + b"\n")
        return 0

    return say


async def date(process: Process) -> int:
    await process.stdout(datetime.now(UTC).strftime("%a %b %d %H:%M:%S UTC %Y\n").encode())
    return 0


COMMANDS: Final[dict[str, CommandFunction]] = {
    "[": test,
    "cat": cat,
    "date": date,
    "echo": echo,
    "env": env,
    "exit": exit_now,
    "false": false,
    "grep": grep,
    "head": head,
    "hostname": _say("{HOSTNAME}"),
    "id": _say("uid=0(root) gid=0(root)"),
    "ls": ls,
    "mkdir": mkdir,
    "printenv": env,
    "pwd": _say("{PWD}"),
    "rm": rm,
    "seq": seq,
    "sha256sum": sha256sum,
    "sleep": sleep,
    "stty": stty,
    "tail": tail,
    "tar": run_tar,
    "test": test,
    "touch": touch,
    "true": true,
    "tty": tty,
    "uname": _say("stand-in, not Linux"),
    "wc": wc,
    "whoami": _say("root"),
}
