"""The tour: start everything, let the agent work, show the record. Honest about what is a stand-in."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import click
import trio

from gateway.app import Gateway, open_gateway
from gateway.config import Cluster, KubeconfigSource, Listen, Record, Settings
from gateway.demo.agent import HttpAgent, KubectlAgent
from gateway.demo.standin.server import Standin, serve_standin
from gateway.demo.standin.settings import StandinSettings
from gateway.demo.steps import STEPS
from gateway.errors import GatewayError

MAX_SHOWN_LINES: Final = 12


class TourFailed(GatewayError):
    """The tour cannot go on; the message says at what."""


class Tour:
    """One run of the demo. directory: where the gateway keeps its data."""

    def __init__(self, directory: Path, *, kubectl: str | None, pace: float, stay: bool, kept: bool) -> None:
        self._directory, self._kubectl, self._pace = directory, kubectl, pace
        self._stay, self._kept = stay, kept

    async def run(self) -> None:
        """Everything, in order. Raises TourFailed."""
        _title("kubetape demo: a stand-in API server (not Kubernetes); everything else is the product")
        async with trio.open_nursery() as nursery:
            standin: Standin = await nursery.start(
                serve_standin, StandinSettings(directory=self._directory / "standin")
            )
            gateway: Gateway = await nursery.start(open_gateway, self._settings())
            click.echo(f"stand-in API server: {standin.url}")
            click.echo(
                f"gateway:             https://127.0.0.1:{gateway.port}, recording to {self._directory}"
            )
            assert gateway.kubeconfig is not None
            await self._work(gateway.kubeconfig)
            await self._show(gateway.record.log_key)
            self._go_on(gateway.kubeconfig)
            if self._stay:
                click.echo("\nserving until Ctrl-C")
                await trio.sleep_forever()
            gateway.start_drain()
            await gateway.ended.wait()
            nursery.cancel_scope.cancel()

    def _settings(self) -> Settings:
        admin = self._directory / "standin" / "admin.kubeconfig"
        return Settings(
            listen=Listen(data="127.0.0.1:0", management="127.0.0.1:0"),
            clusters=[Cluster(name="stand-in", kubeconfig=KubeconfigSource(str(admin)))],
            record=Record(dir=str(self._directory)),
        )

    async def _work(self, kubeconfig: Path) -> None:
        if self._kubectl:
            home = self._directory / "standin" / "home"
            home.mkdir(parents=True, exist_ok=True)
            agent: KubectlAgent | HttpAgent = KubectlAgent(self._kubectl, kubeconfig, home, pace=self._pace)
            _title(f"an on-call robot works through the gateway, with the real {self._kubectl}")
        else:
            agent = HttpAgent(kubeconfig)
            _title("an on-call robot works through the gateway (no kubectl found: it speaks HTTP itself)")
        for step in STEPS:
            click.echo(f"\n# {step.say}\n$ kubectl {' '.join(step.words)}")
            try:
                output = await agent.run(step)
            except trio.TooSlowError as error:
                raise TourFailed(f"`kubectl {' '.join(step.words)}` did not end") from error
            _show_output(output)
            await trio.sleep(step.pause_s * self._pace)

    async def _show(self, log_key: str) -> None:
        """The record, through the same command line a person uses."""
        await trio.sleep(1.0)  # the index follows within a quarter of a second
        _title("what was recorded")
        await self._kubetape("sessions", "ls")
        _title("found again: who saw the customers?")
        await self._kubetape("sessions", "search", "Lovelace")
        _title("found again: what was deleted?")
        await self._kubetape("sessions", "search", "verb:delete")
        _title("the terminal session, replayed (idle time cut, four times as fast)")
        listed = await self._kubetape("sessions", "search", "command:exec", "-o", "name", quiet=True)
        if not listed.split():
            raise TourFailed("the exec sessions are not in the index")
        await self._kubetape("sessions", "play", listed.split()[0], "--speed", "4", "--idle-limit", "0.5")
        _title("and nothing of it was changed, removed or added since (no key is needed to check that)")
        await self._kubetape("verify", str(self._directory), "--vkey", log_key, in_directory=False)

    def _go_on(self, kubeconfig: Path) -> None:
        _title("go on by hand")
        if self._kept:
            click.echo(f"  kubetape sessions ls --data-dir {self._directory}")
            click.echo(f"  kubetape sessions search 'verb:get resource:secrets' --data-dir {self._directory}")
            click.echo(f"  kubetape sessions get <id> --bodies --data-dir {self._directory}")
        else:
            click.echo('  make demo ARGS="--keep DIR"     leaves the recording in DIR')
        if self._stay:
            click.echo(f"  export KUBECONFIG={kubeconfig.resolve()}; kubectl get pods -A")
        else:
            click.echo('  make demo ARGS="--stay"         keeps serving, to try kubectl against it')
        click.echo(
            "  kubetape serve --upstream-kubeconfig ~/.kube/config --data-dir ./tape     in front of a cluster"
        )

    async def _kubetape(self, *words: str, quiet: bool = False, in_directory: bool = True) -> str:
        """in_directory: name the data directory by its option."""
        where = ["--data-dir", str(self._directory)] if in_directory else []
        command = [sys.executable, "-m", "gateway.cli", *words, *where]
        if not quiet:
            click.echo(f"$ kubetape {' '.join(words)}")
        finished = await trio.run_process(
            command, capture_stdout=True, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        )
        output = finished.stdout.decode("utf-8", "replace")
        if finished.returncode:
            raise TourFailed(f"`kubetape {' '.join(words)}` failed: {output.strip()}")
        if not quiet:
            click.echo(output.rstrip())
        return output


def _title(text: str) -> None:
    click.echo(f"\n=== {text}")


def _show_output(output: str) -> None:
    lines = output.replace("\r\n", "\n").rstrip().split("\n")
    for line in lines[:MAX_SHOWN_LINES]:
        click.echo(f"  {line}")
    if len(lines) > MAX_SHOWN_LINES:
        click.echo(f"  ... {len(lines) - MAX_SHOWN_LINES} more lines, all recorded")
