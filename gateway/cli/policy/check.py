"""`kubetape policy check`: would a gateway load these files?"""

import sys
from pathlib import Path

import click

from gateway.cli import EXIT_FAILED
from gateway.cli.policy.opening import open_policy, pack_option, paths_argument
from gateway.policy.decide import Policy
from gateway.policy.lint import find_openings
from storage.ansi import printable


@click.command("check")
@click.option("--lint", is_flag=True, help="Also name the ways out of the recorded path that nothing bars.")
@pack_option
@paths_argument
def check(lint: bool, packs: tuple[str, ...], paths: tuple[Path, ...]) -> None:
    """Check policy files, and the *.yaml and *.yml of directories, together as a gateway would load them.

    Every mistake is one line, FILE:LINE:COLUMN. Exit codes: 0 good, 1 --lint found something, 3 mistakes.

    Example: kubetape policy check policies/
    """
    policy = open_policy(paths, packs)
    default = "allowed" if policy.default_allows else "denied"
    counts = (
        (len(policy.files), "file"),
        (len(policy.rules), "rule"),
        (len(policy.grants), "grant"),
        (len(policy.tests), "test"),
    )
    said = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    click.echo(f"{said}; what no rule allows is {default}; sha256 {policy.sha256}")
    if lint and _warn(policy):
        sys.exit(EXIT_FAILED)


def _warn(policy: Policy) -> bool:
    """Whether there was anything to warn of."""
    openings = find_openings(policy)
    for opening in openings:
        by = printable(", ".join(opening.rules))
        click.echo(f"warning: {opening.what}: allowed by {by}, and nothing denies or holds it", err=True)
    if openings:
        click.echo("the pack no-escape bars these ways: kubetape policy packs show no-escape", err=True)
    return bool(openings)
