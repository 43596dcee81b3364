"""What an exec's argv runs: the programs in it for rules that deny, and the allow-list mode for agents.

Argv rules are enforcement: the container runtime runs exactly these words, no shell in between unless the argv names
one. `programs` shows deny rules what is inside (`env`, `nohup`, `sh -c "..."`); `ArgvRules` allows only what is written
down, word by word, and looks into nothing.

The trap: a deny rule can always be got round (another program does the same, a shell decodes text), so a rule that must
hold is an allow-list. And an allowed program that starts others (find, xargs, awk, tar, git) allows all of them.
"""

import shlex
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.policy.word_glob import matches_glob

SHELLS: Final = frozenset(
    ("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox-sh", "fish", "csh", "tcsh")
)

MAX_PROGRAMS: Final = 64
"""Most programs looked at in one argv; a longer `sh -c` text is opaque."""

MAX_DEPTH: Final = 4
"""Deepest nesting of wrappers and `sh -c` looked into."""

_WRAPPERS: Final = frozenset(
    (
        *("env", "nohup", "nice", "ionice", "setsid", "timeout", "stdbuf", "sudo", "doas", "exec", "command"),
        *(
            "busybox",
            "toybox",
            "chroot",
            "xargs",
            "watch",
            "unshare",
            "nsenter",
            "chpst",
            "su-exec",
            "gosu",
            "time",
        ),
    )
)
_SEPARATOR_CHARS: Final = frozenset(";&|(){}!")
_SHELL_WORDS: Final = frozenset(("if", "then", "else", "elif", "do", "while", "until", "fi", "done", "time"))
_SYSTEM_DIRECTORIES: Final = ("/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/", "/usr/local/bin/")
_EXPANSIONS: Final = ("$", "`", "<(", ">(", "\n")


class Program(msgspec.Struct, frozen=True):
    """One program in an argv. argv[0] is its name without directories.

    is_opaque: a shell reads its words from a text that could not be followed (expansions, a script, stdin).
    """

    argv: tuple[str, ...]
    is_opaque: bool = False


def programs(argv: Sequence[str]) -> tuple[Program, ...]:
    """The programs an argv names, outermost first: what is behind wrappers and inside `sh -c` texts as well."""
    found: list[Program] = []
    _collect(tuple(argv), found, MAX_DEPTH)
    return tuple(found)


def is_shell(argv: Sequence[str]) -> bool:
    """Whether a shell would read commands from stdin or a terminal: its typed lines are worth judging."""
    return any(program.argv[0] in SHELLS and _script(program.argv) is None for program in programs(argv))


def _collect(argv: tuple[str, ...], found: list[Program], depth: int) -> None:
    if not argv or len(found) >= MAX_PROGRAMS:
        return
    name = _base_name(argv[0])
    argv = (name, *argv[1:])
    if depth == 0:
        found.append(Program(argv, is_opaque=True))
        return
    inner, is_opaque = _inside(argv)
    found.append(Program(argv, is_opaque))
    for program in inner:
        _collect(program, found, depth - 1)


def _inside(argv: tuple[str, ...]) -> tuple[list[tuple[str, ...]], bool]:
    """The argvs inside an argv, and whether there may be others."""
    if argv[0] in SHELLS:
        script = _script(argv)
        return ([], True) if script is None else _commands(script)
    if argv[0] in _WRAPPERS:
        return [argv[start:] for start in _inner_starts(argv)], False
    return [], False


def _base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].lstrip("-")


def _inner_starts(argv: tuple[str, ...]) -> list[int]:
    """Where the program of a wrapper may begin: options with a value make it a guess, so every first word counts."""
    starts = []
    for at in range(1, min(len(argv), 8)):
        word = argv[at]
        if word.startswith("-") or "=" in word.partition("/")[0]:
            continue
        starts.append(at)
        if not word[:1].isdigit() and not argv[at - 1].startswith("-"):
            break
    return starts


def _script(argv: tuple[str, ...]) -> str | None:
    """The text behind `sh -c`; None: there is none (a script file, or commands from stdin)."""
    for at, word in enumerate(argv[1:], 1):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            return argv[at + 1] if at + 1 < len(argv) else None
        if not word.startswith(("-", "+")):
            return None
    return None


def _commands(script: str) -> tuple[list[tuple[str, ...]], bool]:
    """The commands of a shell text by their words; and whether it has what only a shell can read."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return [], True
    commands: list[list[str]] = [[]]
    for word in words:
        if _SEPARATOR_CHARS.issuperset(word):
            commands.append([])
        elif commands[-1] or not (word in _SHELL_WORDS or "=" in word.partition("/")[0]):
            commands[-1].append(word)
    # The words are shown all the same: a deny rule may match what can be read of an opaque text.
    is_opaque = any(mark in script for mark in _EXPANSIONS) or len(commands) > MAX_PROGRAMS
    return [tuple(command) for command in commands if command], is_opaque


class ArgvRules(msgspec.Struct, frozen=True):
    """The allow-list: one tuple of globs per allowed command, one glob per word; "**" at the end: any further words.

    A program written without directory is allowed by that name and in the system's directories only.
    """

    allow: tuple[tuple[str, ...], ...]

    def allows(self, argv: Sequence[str], *, tty: bool, stdin: bool) -> bool:
        """Whether an exec may run. With a terminal or stdin an allowed program could be told to do more: never."""
        return not tty and not stdin and any(_matches(tuple(argv), globs) for globs in self.allow)


def _matches(argv: tuple[str, ...], globs: tuple[str, ...]) -> bool:
    if not argv or not globs or not _is_program(argv[0], globs[0]):
        return False
    words, patterns = argv[1:], globs[1:]
    if patterns[-1:] == ("**",):
        patterns = patterns[:-1]
        words = words[: len(patterns)] if len(words) >= len(patterns) else words
    return len(words) == len(patterns) and all(map(_is_word, words, patterns))


def _is_program(word: str, name: str) -> bool:
    return word == name or (
        "/" not in name and word in (directory + name for directory in _SYSTEM_DIRECTORIES)
    )


def _is_word(word: str, glob: str) -> bool:
    """A star must not lead out of the directory written before it."""
    leads_out = ".." in word.split("/") and ".." not in glob
    return matches_glob(word, glob) and not leads_out
