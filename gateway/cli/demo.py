"""`kubetape demo`: the whole thing on a toy cluster inside one process, with a tour."""

import shutil
import sys
import tempfile
from pathlib import Path

import click
import trio

from gateway.demo.tour import Tour, TourFailed


@click.command("demo")
@click.option(
    "--keep", metavar="DIR", help="Leave the data directory there. Default: a temporary one, removed."
)
@click.option("--pace", default=1.0, show_default=True, help="How fast the agent works; 0: without pauses.")
@click.option(
    "--kubectl", metavar="FILE", help="The kubectl to use. Default: the one on PATH; none: HTTP by ourselves."
)
@click.option("--stay", is_flag=True, help="Keep serving after the tour, until Ctrl-C: try it by hand.")
def demo(keep: str | None, pace: float, kubectl: str | None, stay: bool) -> None:
    """Start a stand-in API server (not Kubernetes) and a real gateway in front of it, let an agent work
    through it for a minute, then show what was recorded: the list, a search, a replay.

    \b
    Example:
      kubetape demo --keep ./tape
      kubetape sessions search 'verb:delete' --data-dir ./tape
    """
    if pace < 0:
        raise click.BadParameter("a pace is 0 or more", param_hint="--pace")
    directory = Path(keep) if keep else Path(tempfile.mkdtemp(prefix="kubetape-demo-"))
    tour = Tour(
        directory, kubectl=kubectl or shutil.which("kubectl"), pace=pace, stay=stay, kept=keep is not None
    )
    try:
        trio.run(tour.run)
    except* (TourFailed, OSError) as group:
        click.echo(f"error: {group.exceptions[0]}", err=True)
        sys.exit(1)
    except* KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(130)
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
