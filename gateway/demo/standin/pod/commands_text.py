"""Commands on text and bytes that flow: head, tail, wc, seq, grep, a few options each."""

from typing import Final

from gateway.demo.standin.pod.files import open_file
from gateway.demo.standin.pod.filetree import FileError
from gateway.demo.standin.pod.process import Process

MAX_KEPT_BYTES: Final = 1024 * 1024
"""Most a command holds of what has no newline, or of a tail."""


async def head(process: Process) -> int:
    unit, count, paths = _count_option(process.argv[1:], 10)
    for path in paths or ["-"]:
        left = count
        file = open_file(process, path)
        while block := await file.read():
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
        file = open_file(process, paths[0] if paths else "-")
        while block := await file.read():
            piece = block[skip:]
            skip = max(0, skip - len(block))
            await process.stdout(piece)
        return 0
    unit, count, paths = _count_option(words, 10)
    kept = b""
    file = open_file(process, paths[0] if paths else "-")
    while block := await file.read():
        kept = (kept + block)[-MAX_KEPT_BYTES:]
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
    file = open_file(process, paths[0] if paths else "-")
    while block := await file.read():
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
    file = open_file(process, words[1] if len(words) > 1 else "-")
    while block := await file.read():
        *lines, rest = (rest[-MAX_KEPT_BYTES:] + block).split(b"\n")
        for line in lines:
            if (pattern in (line.lower() if "i" in flags else line)) is ("v" not in flags):
                await process.stdout(line + b"\n")
                found = 0
    if rest and (pattern in rest) is ("v" not in flags):
        await process.stdout(rest + b"\n")
        found = 0
    return found
