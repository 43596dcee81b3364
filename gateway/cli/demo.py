"""`kubetape demo`: the whole thing on a toy cluster inside one process, with a tour."""

import shutil
import sys
import tempfile
from pathlib import Path

import click
import trio

from gateway.demo.stage import TourFailed
from gateway.demo.tour import Options, run_demo
from gateway.errors import innermost


@click.command("demo")
@click.option(
    "--keep", metavar="DIR", help="Leave the data directory there. Default: a temporary one, removed."
)
@click.option("--pace", default=1.0, show_default=True, help="How fast the agent works; 0: without pauses.")
@click.option(
    "--kubectl",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The kubectl to use. Default: the one on PATH; none: HTTP by ourselves.",
)
@click.option("--stay", is_flag=True, help="Keep serving after the tour, until Ctrl-C: try it by hand.")
@click.option("--no-tour", is_flag=True, help="Only serve, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: every step, and the figures.")
def demo(
    keep: str | None, pace: float, kubectl: str | None, stay: bool, no_tour: bool, as_json: bool
) -> None:
    """Start a stand-in API server (not Kubernetes) and a real gateway in front of it, let a robot and a person
    work through it for a minute: masked, blocked, held for approval, granted and revoked. Then show what was recorded.

    At a terminal you are asked to approve or deny; without one the demo decides.

    \b
    Example:
      kubetape demo --keep ./tape
      kubetape sessions search 'verb:delete' --data-dir ./tape
    """
    if pace < 0:
        raise click.BadParameter("a pace is 0 or more", param_hint="--pace")
    if as_json and (stay or no_tour):
        raise click.UsageError("--json is about the tour: it goes with neither --stay nor --no-tour")
    directory = Path(keep) if keep else Path(tempfile.mkdtemp(prefix="kubetape-demo-"))
    options = Options(
        directory=directory,
        kubectl=kubectl or shutil.which("kubectl"),
        pace=pace,
        stay=stay or no_tour,
        kept=keep is not None,
        tour=not no_tour,
        as_json=as_json,
    )
    code = 0
    try:
        trio.run(run_demo, options)
    except* (TourFailed, OSError) as group:
        click.echo(f"error: {innermost(group)}", err=True)
        code = 1
    except* KeyboardInterrupt:
        click.echo("stopped", err=True)
        code = 130
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    if code:
        sys.exit(code)  # not within: what is raised there comes out as a group
