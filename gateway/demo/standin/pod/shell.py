"""The toy shell: runs argv and scripts inside a toy pod. Never starts a process of the host.

`run_argv` is what exec starts; `sh -c TEXT` and an interactive `sh` end in `Shell.run`. Commands are
functions in `commands`; the shell knows cd, exit, export and sh itself.
"""

from typing import Final

import trio

from gateway.demo.standin.pod.commands import COMMANDS
from gateway.demo.standin.pod.files import open_place
from gateway.demo.standin.pod.filetree import FileError, FileWriter, resolve
from gateway.demo.standin.pod.process import Process, UnknownCommand
from gateway.demo.standin.pod.shell_syntax import (
    Command,
    For,
    List,
    Redirection,
    ShellSyntaxError,
    Simple,
    While,
    expand_word,
    parse_script,
)
from gateway.demo.standin.pod.streams import Pipe, Sink, Source, discard

NOT_FOUND: Final = 127
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
MAX_LOOPS: Final = 1_000_000


class _Exit(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def run_argv(process: Process) -> int:
    """Run a command to its end; its exit code, 0 to 255. Raises UnknownCommand."""
    name = process.argv[0].rpartition("/")[2]
    command = _run_sh if name in ("sh", "bash", "ash") else COMMANDS.get(name)
    if command is None:
        raise UnknownCommand(process.argv[0])
    try:
        return await command(process) & 0xFF
    except FileError as error:
        return await process.complain(str(error))
    except ValueError:
        return await process.complain("invalid argument")
    except trio.BrokenResourceError:
        return BROKEN_PIPE


async def _run_sh(process: Process) -> int:
    shell = Shell(process)
    flags = process.argv[1:]
    if flags and flags[0].startswith("-") and flags[0].endswith("c"):
        if len(flags) < 2:
            return await process.complain("-c: option requires an argument")
        return await shell.run_text(flags[1])
    if flags and not flags[0].startswith("-"):
        script = b"".join(process.tree.read(process.resolve(flags[0])))
        return await shell.run_text(script.decode(errors="replace"))
    return await shell.run_interactively()


class Shell:
    """One shell: variables, directory, last exit code."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._environ = dict(process.environ)
        self._directory = process.directory
        self._last = 0

    async def run_text(self, text: str) -> int:
        """Run a script to its end; its exit code."""
        try:
            return await self._run_list(parse_script(text), self._process)
        except ShellSyntaxError as error:
            await self._process.stderr(f"sh: {error}\n".encode())
            return 2
        except _Exit as leaving:
            return leaving.code & 0xFF

    async def run_interactively(self) -> int:
        """Read lines from stdin until `exit` or the end; prompt with a terminal."""
        process, terminal = self._process, self._process.terminal
        while True:
            if terminal:
                await process.stdout(f"{self._directory} # ".encode())
            line = await self._typed_line(process)
            if line is None:
                self._last = INTERRUPTED
                continue
            if not line:
                return self._last
            try:
                script = parse_script(line.decode(errors="replace"))
                with trio.CancelScope() as foreground:
                    if terminal:
                        terminal.foreground = foreground
                    await self._run_list(script, process)
                if foreground.cancelled_caught:
                    self._last = INTERRUPTED
            except ShellSyntaxError as error:
                await process.stderr(f"sh: {error}\n".encode())
                self._last = 2
            except _Exit as leaving:
                return leaving.code & 0xFF
            finally:
                if terminal:
                    terminal.foreground = None

    async def _typed_line(self, process: Process) -> bytes | None:
        """The next line, b"" at the end of input; None: ^C at the prompt, which only begins a new one."""
        with trio.CancelScope() as waiting:
            if process.terminal:
                process.terminal.foreground = waiting
            return await process.stdin.read_line()
        return None

    async def _run_list(self, script: List, process: Process) -> int:
        for item in script.items:
            if (item.joint == "&&" and self._last) or (item.joint == "||" and not self._last):
                continue
            code = await self._run_pipeline(item.pipeline, process)
            self._last = int(not code) if item.negated else code
        return self._last

    async def _run_pipeline(self, commands: tuple[Command, ...], process: Process) -> int:
        if len(commands) == 1:
            return await self._run_command(commands[0], process)
        codes = [0] * len(commands)
        pipes = [Pipe() for _ in commands[1:]]

        async def run_part(index: int) -> None:
            streams: dict[str, Source | Sink] = {}
            if index:
                streams["stdin"] = pipes[index - 1].source
            if index < len(pipes):
                streams["stdout"] = pipes[index].write
            try:
                codes[index] = await self._run_command(
                    commands[index], process.child(process.argv, **streams)
                )
            except trio.BrokenResourceError:
                codes[index] = BROKEN_PIPE
            except _Exit as leaving:  # a part of a pipeline is a shell of its own
                codes[index] = leaving.code
            finally:
                if index < len(pipes):
                    pipes[index].end()
                if index:
                    pipes[index - 1].abandon()

        async with trio.open_nursery() as nursery:
            for index in range(len(commands)):
                nursery.start_soon(run_part, index)
        return codes[-1]

    async def _run_command(self, command: Command, process: Process) -> int:
        if isinstance(command, For):
            values = [value for word in command.words for value in expand_word(word, self._look_up)]
            for value in values[:MAX_LOOPS]:
                self._environ[command.name] = value
                self._last = await self._run_list(command.body, process)
            return self._last
        if isinstance(command, While):
            for _ in range(MAX_LOOPS):
                if await self._run_list(command.condition, process):
                    break
                await self._run_list(command.body, process)
                await trio.lowlevel.checkpoint()
            return 0
        return await self._run_simple(command, process)

    async def _run_simple(self, command: Simple, process: Process) -> int:
        argv = [value for word in command.words for value in expand_word(word, self._look_up)]
        assigned: dict[str, str] = {}
        while argv and (equals := argv[0].find("=")) > 0 and argv[0][:equals].isidentifier():
            assignment = argv.pop(0)
            assigned[assignment[:equals]] = assignment[equals + 1 :]
        if not argv and not command.redirections:
            self._environ |= assigned
            return 0
        try:
            child, writers = self._redirect(command.redirections, process.child(argv or ["true"]))
        except FileError as error:
            await process.stderr(f"sh: {error}\n".encode())
            return 1
        child.environ, child.directory = self._environ | assigned, self._directory
        try:
            return await self._run_words(child)
        finally:
            for writer in writers:
                writer.close()

    async def _run_words(self, process: Process) -> int:
        name, *arguments = process.argv
        if name == "exit":
            raise _Exit(int(arguments[0]) if arguments and arguments[0].isdigit() else self._last)
        if name == "cd":
            wanted = resolve(self._directory, arguments[0] if arguments else "/root")
            node = process.tree.find(wanted)
            if node is None or not node.is_directory:
                return await process.complain(f"can't cd to {wanted}: No such file or directory")
            self._directory = self._environ["PWD"] = wanted
            return 0
        if name == "export":
            self._environ |= {
                key: value for key, _, value in (one.partition("=") for one in arguments) if value
            }
            return 0
        if name == "read":
            line = await process.stdin.read_line()
            self._environ[arguments[-1] if arguments else "REPLY"] = line.decode(errors="replace").rstrip(
                "\n"
            )
            return 0 if line else 1
        try:
            return await run_argv(process)
        except UnknownCommand:
            await process.stderr(f"sh: {name}: not found\n".encode())
            return NOT_FOUND

    def _redirect(
        self, redirections: tuple[Redirection, ...], process: Process
    ) -> tuple[Process, list[FileWriter]]:
        writers: list[FileWriter] = []
        for one in redirections:
            target = "".join(expand_word(one.word, self._look_up))
            if one.operator == "<":
                process.stdin = open_place(process.tree, resolve(self._directory, target))
                continue
            sink: Sink
            if one.operator == ">&":
                sink = process.stdout if target == "1" else process.stderr
            elif target == "/dev/null":
                sink = discard
            elif target in ("/dev/stdout", "/dev/stderr"):
                sink = process.stdout if target == "/dev/stdout" else process.stderr
            else:
                path = resolve(self._directory, target)
                try:
                    writer = process.tree.write(path, append=one.operator == ">>")
                except FileError as error:
                    raise FileError(f"can't create {target}: {error}") from error
                writers.append(writer)
                sink = _file_sink(writer)
            if one.descriptor == 1:
                process.stdout = sink
            else:
                process.stderr = sink
        return process, writers

    def _look_up(self, name: str) -> str:
        return str(self._last) if name == "?" else self._environ.get(name, "")


def _file_sink(writer: FileWriter) -> Sink:
    async def write(data: bytes) -> None:
        writer.add(data)
        await trio.lowlevel.checkpoint()

    return write
