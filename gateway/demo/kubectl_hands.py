"""Runs steps of the demo with the real kubectl, as a person would type them."""

import os
import pty
import subprocess
from pathlib import Path
from typing import Final

import trio

from gateway.demo.steps import Step

STEP_TIMEOUT_S: Final = 60.0
TYPING_S: Final = 0.03
THINKING_S: Final = 0.6
MIN_THINKING_S: Final = 0.4
"""The prompt of the line before is there by then."""


class KubectlHands:
    """One person's kubectl. A -it session gets a real pseudo-terminal and is typed into."""

    def __init__(self, kubectl: str, kubeconfig: Path, home: Path, *, pace: float) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._kubectl, self._pace = kubectl, pace
        # A HOME of its own: kubectl caches discovery there, by host and port.
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home), "TERM": "xterm"}

    async def run(self, step: Step) -> str:
        """What the command printed. Its exit code is for the record to show. Raises trio.TooSlowError."""
        with trio.fail_after(STEP_TIMEOUT_S):
            if step.terminal:
                return await self._in_terminal(step)
            finished = await trio.run_process(
                [self._kubectl, *step.words],
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
                env=self._environment,
            )
            return finished.stdout.decode("utf-8", "replace")

    async def _in_terminal(self, step: Step) -> str:
        ours, theirs = pty.openpty()
        process = await trio.lowlevel.open_process(
            [self._kubectl, *step.words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environment,
            start_new_session=True,
        )
        os.close(theirs)
        seen = bytearray()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._type, ours, step.terminal)
                while data := await _read(ours):
                    seen += data
                await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            os.close(ours)
        return seen.decode("utf-8", "replace")

    async def _type(self, terminal: int, lines: tuple[str, ...]) -> None:
        """Like a person: think, then one key after the other."""
        for line in lines:
            await trio.sleep(max(THINKING_S * self._pace, MIN_THINKING_S))
            for character in line + "\r":
                os.write(terminal, character.encode())
                await trio.sleep(TYPING_S * self._pace)


async def _read(terminal: int) -> bytes:
    await trio.lowlevel.wait_readable(terminal)
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: the other end is closed
        return b""
