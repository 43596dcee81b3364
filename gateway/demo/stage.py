"""What every scene of the demo works with: two people, their hands and command lines, the gateway, the screen."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from gateway.app import Gateway
from gateway.demo.http_hands import HttpHands
from gateway.demo.kubectl_hands import KubectlHands
from gateway.demo.people import Person
from gateway.demo.screen import Screen
from gateway.demo.steps import Step
from gateway.errors import GatewayError


class TourFailed(GatewayError):
    """The tour cannot go on; the message says at what."""


@dataclass(frozen=True)
class Stage:
    """directory: the gateway's data. kubeconfigs: of people; pace: 0 is without pauses."""

    directory: Path
    gateway: Gateway
    kubeconfigs: Mapping[Person, Path]
    hands: Mapping[Person, KubectlHands | HttpHands]
    screen: Screen
    pace: float

    async def act(self, who: Person, step: Step) -> None:
        """Do one step as this person, and show it. Raises TourFailed."""
        self.begin(who, step)
        self.end(who, step, await self.perform(who, step))
        await self.pause(step.pause_s)

    def begin(self, who: Person, step: Step) -> None:
        """Show that it is given now."""
        self.screen.begin(who.name, step.command, step.say)

    async def perform(self, who: Person, step: Step) -> str:
        """What it printed, not shown yet. Raises TourFailed."""
        try:
            return await self.hands[who].run(step)
        except trio.TooSlowError as error:
            raise TourFailed(f"`{step.command}` did not end") from error

    def end(self, who: Person, step: Step, output: str) -> None:
        self.screen.end(who.name, step.command, output)

    async def pause(self, seconds: float) -> None:
        await trio.sleep(seconds * self.pace)

    async def kubetape(self, who: str, *words: str, quiet: bool = False) -> str:
        """Our own command line in a process of its own, as a person would run it. Raises TourFailed.

        who: whose kubeconfig it uses; "" for what reads the data directory.
        """
        shown = f"kubetape {shlex.join(words)}"
        environment = dict(os.environ)
        environment |= {"KUBECONFIG": str(self.directory / who / "kubeconfig")} if who else {}
        if not quiet:
            self.screen.begin(who, shown)
        finished = await trio.run_process(
            [sys.executable, "-m", "gateway.cli", *words],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
            env=environment,
        )
        output = finished.stdout.decode("utf-8", "replace")
        if finished.returncode:
            raise TourFailed(f"`{shown}` failed: {output.strip()}")
        if not quiet:
            self.screen.end(who, shown, output)
        return output
