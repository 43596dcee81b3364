"""What the verbs on policies share: paths -> files -> a policy, with all mistakes on stderr and exit code 3."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from gateway.policy.decide import Policy
from gateway.policy.load import load_policy
from gateway.policy.problems import BadPolicy
from gateway.policy_source import read_policy_files
from storage.ansi import printable

EXIT_INVALID: Final = 3

paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


def open_policy(paths: tuple[Path, ...]) -> Policy:
    """The policy of these files and directories together (none: the current directory). Ends the program if it is bad."""
    try:
        return load_policy(_read(paths or (Path(),)))
    except BadPolicy as error:
        for problem in error.problems:
            click.echo(printable(str(problem)), err=True)
        count = len(error.problems)
        click.echo(f"error: {count} {'mistake' if count == 1 else 'mistakes'}", err=True)
        sys.exit(EXIT_INVALID)


def _read(paths: tuple[Path, ...]) -> Mapping[str, bytes]:
    """Files under the name they were given by, those of a directory with its name before."""
    files: dict[str, bytes] = {}
    for path in paths:
        if path.is_dir():
            _, found = read_policy_files(path)
            files.update({str(path / name): content for name, content in found.items()})
        else:
            files[str(path)] = path.read_bytes()
    return files
