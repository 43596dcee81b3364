"""`kubetape policy check`: would a gateway load these files?"""

from pathlib import Path

import click

from gateway.cli.policy.opening import open_policy, paths_argument


@click.command("check")
@paths_argument
def check(paths: tuple[Path, ...]) -> None:
    """Check policy files, and the *.yaml and *.yml of directories, together as a gateway would load them.

    Every mistake is one line, FILE:LINE:COLUMN. Exit codes: 0 good, 3 mistakes.

    Example: kubetape policy check policies/
    """
    policy = open_policy(paths)
    default = "allowed" if policy.default_allows else "denied"
    counts = (
        (len(policy.files), "file"),
        (len(policy.rules), "rule"),
        (len(policy.grants), "grant"),
        (len(policy.tests), "test"),
    )
    said = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    click.echo(f"{said}; what no rule allows is {default}; sha256 {policy.sha256}")
