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
    click.echo(
        f"{len(policy.files)} files, {len(policy.rules)} rules, {len(policy.grants)} grants, "
        f"{len(policy.tests)} tests; what no rule allows is {default}; sha256 {policy.sha256}"
    )
