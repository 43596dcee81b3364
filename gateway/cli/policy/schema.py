"""`kubetape policy schema`: for editors that complete and check YAML."""

import click

from gateway.policy.schema import policy_schema


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of the policy file.

    In an editor: "# yaml-language-server: $schema=policy.schema.json" as the first line of a policy.

    Example: kubetape policy schema > policy.schema.json
    """
    click.echo(policy_schema(), nl=False)
