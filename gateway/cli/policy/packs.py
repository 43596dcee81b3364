"""`kubetape policy packs`: the policies that come with kubetape, to load by name or to copy."""

import click

from gateway.policy.reading import Source
from gateway.policy_packs import pack_names, read_pack


@click.group("packs")
def packs() -> None:
    """Policies that come with kubetape.

    Load one with `kubetape serve --policy-pack NAME`, or copy it and make it yours.

    Example: kubetape policy packs show no-escape > policies/no-escape.yaml
    """


@packs.command("ls")
def ls() -> None:
    """Name them, and what each is for.

    Example: kubetape policy packs ls
    """
    for name in pack_names():
        policy = Source(name, read_pack(name)).policy
        click.echo(f"{name}\t{policy.metadata.description if policy is not None else ''}")


@packs.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print one.

    Example: kubetape policy packs show protect-prod > policies/protect-prod.yaml
    """
    click.echo(read_pack(name), nl=False)
