"""The commands of a toy pod: what people and kubectl type most, a few options each.

Each takes a Process and gives an exit code; FileError becomes `name: text` and code 1. None touches
the host.
"""

import hashlib
import posixpath
from datetime import UTC, datetime
from typing import Final

import trio

from gateway.demo.standin.pod.commands_text import grep, head, seq, tail, wc
from gateway.demo.standin.pod.condition import run_test
from gateway.demo.standin.pod.files import open_file
from gateway.demo.standin.pod.filetree import FileError
from gateway.demo.standin.pod.process import CommandFunction, Process
from gateway.demo.standin.pod.tar_command import run_tar

MAX_SLEEP_S: Final = 86_400.0


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
            file = open_file(process, path)
            while block := await file.read():
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


async def sha256sum(process: Process) -> int:
    for path in process.argv[1:] or ["-"]:
        node = process.tree.find(process.resolve(path)) if path != "-" else None
        if node is not None and node.sha256 is not None:
            digest = node.sha256
        else:
            hashed = hashlib.sha256()
            file = open_file(process, path)
            while block := await file.read():
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
    "[": run_test,
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
    "test": run_test,
    "touch": touch,
    "true": true,
    "tty": tty,
    "uname": _say("stand-in, not Linux"),
    "wc": wc,
    "whoami": _say("root"),
}
