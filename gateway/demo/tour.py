"""The tour: start everything, play the scenes, show the figures. Honest about what is a stand-in."""

from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final

import click
import trio

from gateway.app import Gateway, open_gateway
from gateway.config import Cluster, KubeconfigSource, Listen, PolicySettings, Record, Settings
from gateway.console.settings import Admins, ConsoleSettings
from gateway.demo.figures import read_figures
from gateway.demo.http_hands import HttpHands
from gateway.demo.kubectl_hands import KubectlHands
from gateway.demo.people import AGENT, ONCALL, PEOPLE, TOKEN_FILE, Person, give_tokens, write_kubeconfigs
from gateway.demo.scenes import be_blocked, be_granted_and_revoked, be_held, look_and_be_masked, show_record
from gateway.demo.screen import Screen
from gateway.demo.stage import Stage, TourFailed
from gateway.demo.standin.server import Standin, serve_standin
from gateway.demo.standin.settings import StandinSettings
from gateway.identity.settings import IdentitySettings
from storage.errors import StorageError

PACKS: Final = ("protect-prod", "no-escape")
PATIENCE_S: Final = 60
"""A held call stays open longer than a person has for a key, so that no client has to come back."""


@dataclass(frozen=True)
class Options:
    """directory: where the gateway keeps its data; kept: it is left there. kubectl: None: HTTP by ourselves."""

    directory: Path
    kubectl: str | None
    pace: float
    stay: bool
    kept: bool
    tour: bool
    as_json: bool


async def run_demo(options: Options) -> None:
    """Everything, in order. Raises TourFailed, OSError."""
    screen, directory = Screen(as_json=options.as_json), options.directory
    screen.title("kubetape demo: a stand-in API server (not Kubernetes); everything else is the product")
    tokens = give_tokens(directory)
    _write_policies(directory)
    async with trio.open_nursery() as nursery:
        standin: Standin = await nursery.start(
            serve_standin, StandinSettings(directory=directory / "standin")
        )
        gateway: Gateway = await nursery.start(open_gateway, _settings(directory))
        kubeconfigs = write_kubeconfigs(
            directory, tokens, port=gateway.port, console_port=gateway.console_port
        )
        screen.say(f"stand-in API server: {standin.url}")
        screen.say(f"gateway:             https://127.0.0.1:{gateway.port}, recording to {directory}")
        screen.say(f"management API:      https://127.0.0.1:{gateway.console_port}")
        screen.say(f"policy:              {directory / 'policy'}, and the packs {', '.join(PACKS)}")
        stage = Stage(directory, gateway, kubeconfigs, _hands(options, kubeconfigs), screen, options.pace)
        if options.tour:
            await _play(stage, with_kubectl=options.kubectl is not None)
        _go_on(options, stage)
        if options.stay:
            screen.say("\nserving until Ctrl-C")
            await trio.sleep_forever()
        gateway.start_drain()
        await gateway.ended.wait()
        nursery.cancel_scope.cancel()


async def _play(stage: Stage, *, with_kubectl: bool) -> None:
    how = (
        "with the real kubectl"
        if with_kubectl
        else "without kubectl, which is not here: over HTTP and WebSocket"
    )
    stage.screen.say(f"\nagent-7 (group agents) and oncall (group sre) work through the gateway, {how}")
    await look_and_be_masked(stage)
    await be_blocked(stage)
    await be_held(stage)
    await be_granted_and_revoked(stage)
    await show_record(stage, stage.gateway.record.log_key)
    try:
        figures = await trio.to_thread.run_sync(partial(read_figures, stage.directory))
    except (click.ClickException, StorageError) as error:
        raise TourFailed(f"the record cannot be read: {error}") from error
    stage.screen.title("in figures")
    for line in figures.lines():
        stage.screen.say(line)
    stage.screen.document(figures=figures.as_data(), verified=True)


def _settings(directory: Path) -> Settings:
    admin = directory / "standin" / "admin.kubeconfig"
    return Settings(
        listen=Listen(data="127.0.0.1:0", management="127.0.0.1:0", console="127.0.0.1:0"),
        clusters=[Cluster(name="stand-in", kubeconfig=KubeconfigSource(str(admin)))],
        identity=IdentitySettings(token_file=str(directory / TOKEN_FILE)),
        policy=PolicySettings(dir=str(directory / "policy"), packs=list(PACKS)),
        record=Record(dir=str(directory)),
        console=ConsoleSettings(admins=Admins(users=(ONCALL.name,))),
        patience_seconds=PATIENCE_S,
    )


def _write_policies(directory: Path) -> None:
    """What is in force into `directory`/policy; beside it what is only proposed."""
    source = files("gateway.demo") / "policies"
    (directory / "policy").mkdir(exist_ok=True)
    (directory / "policy" / "payments.yaml").write_bytes((source / "payments.yaml").read_bytes())
    (directory / "stricter.yaml").write_bytes((source / "stricter.yaml").read_bytes())


def _hands(options: Options, kubeconfigs: dict[Person, Path]) -> dict[Person, KubectlHands | HttpHands]:
    if options.kubectl is None:
        return {person: HttpHands(kubeconfigs[person]) for person in PEOPLE}
    homes = options.directory / "standin"
    return {
        person: KubectlHands(
            options.kubectl, kubeconfigs[person], homes / f"home-{person.name}", pace=options.pace
        )
        for person in PEOPLE
    }


def _go_on(options: Options, stage: Stage) -> None:
    say, directory = stage.screen.say, options.directory
    stage.screen.title("go on by hand")
    if options.stay:
        for person in (AGENT, ONCALL):
            say(
                f"  export KUBECONFIG={stage.kubeconfigs[person].resolve()}     # as {person.name}: kubectl get pods -A"
            )
        say("  kubetape approvals watch; kubetape grants ls     as oncall, while agent-7 deletes a pod")
    else:
        say(
            '  make demo ARGS="--stay"         keeps serving, to try kubectl and `kubetape approvals` against it'
        )
    if not options.kept:
        say('  make demo ARGS="--keep DIR"     leaves the recording and the policy in DIR')
    if options.kept or options.stay:
        packs = " ".join(f"--pack {name}" for name in PACKS)
        policy = f"{directory / 'policy'} {packs}"
        request = "DELETE /api/v1/namespaces/payments/pods/worker"
        say(f"  kubetape sessions ls --data-dir {directory}")
        say(f"  kubetape sessions search 'decision:hold' --data-dir {directory}")
        say(f"  kubetape policy explain --as {AGENT.name} --group agents {request!r} {policy}")
        say(
            f"  kubetape policy replay --policy {directory / 'policy'} --policy {directory / 'stricter.yaml'} {packs} "
            f"--data-dir {directory}"
        )
    say("  kubetape serve --upstream-kubeconfig ~/.kube/config --policy DIR     in front of a cluster")
