"""`kubetape version`."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click


@click.command("version")
def version() -> None:
    """Print the version of kubetape and of Python.

    Example: kubetape version
    """
    try:
        number = version_of("kubetape")
    except PackageNotFoundError:  # run from a source tree that is not installed
        number = "unknown"
    click.echo(f"kubetape {number} (Python {platform.python_version()})")
