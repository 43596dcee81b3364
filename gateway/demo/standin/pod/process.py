"""What a toy command is and what it sees. No process of the host is meant."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from gateway.demo.standin.pod.filetree import FileTree, resolve
from gateway.demo.standin.pod.streams import Sink, Source
from gateway.demo.standin.pod.terminal import Terminal


class UnknownCommand(Exception):
    """argv[0] is nothing this pod has."""


class Process:
    """What a command sees. terminal: None without a tty."""

    def __init__(
        self,
        argv: list[str],
        stdin: Source,
        stdout: Sink,
        stderr: Sink,
        tree: FileTree,
        environ: dict[str, str],
        terminal: Terminal | None,
    ) -> None:
        self.argv, self.stdin, self.stdout, self.stderr = argv, stdin, stdout, stderr
        self.tree, self.environ, self.terminal = tree, environ, terminal
        self.directory = environ.get("PWD", "/")

    async def complain(self, text: str) -> int:
        """Write `name: text` to stderr; returns 1."""
        await self.stderr(f"{self.argv[0]}: {text}\n".encode())
        return 1

    def resolve(self, path: str) -> str:
        return resolve(self.directory, path)

    def child(self, argv: list[str], **streams: Source | Sink) -> "Process":
        """Another process in the same place, with some streams replaced."""
        values = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr} | streams
        return Process(argv, tree=self.tree, environ=self.environ, terminal=self.terminal, **values)  # type: ignore[arg-type]


CommandFunction: TypeAlias = Callable[[Process], Awaitable[int]]
