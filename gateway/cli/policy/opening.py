"""What the verbs on policies share: paths and packs -> files -> a policy, with all mistakes on stderr and exit code 3."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NoReturn

import click

from gateway.cli import EXIT_USAGE
from gateway.policy.cases import BadCase, compile_case
from gateway.policy.decide import Policy
from gateway.policy.load import load_policy
from gateway.policy.model import Facts
from gateway.policy.problems import BadPolicy
from gateway.policy.syntax import CaseSpec
from gateway.policy_packs import read_packs
from gateway.policy_source import read_policy_files
from storage.ansi import printable

EXIT_INVALID: Final = 3


paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
pack_option = click.option(
    "--pack",
    "packs",
    multiple=True,
    metavar="NAME",
    help="A policy that comes with kubetape joins the files; may be repeated.",
)


def open_policy(paths: tuple[Path, ...], packs: tuple[str, ...] = ()) -> Policy:
    """The policy of these files, directories and packs together (none: the current directory). Ends the program if it
    is bad."""
    return load_files(read_files(paths or (() if packs else (Path(),)), packs))


def load_files(files: Mapping[str, bytes]) -> Policy:
    """Ends the program if they are no policy."""
    try:
        return load_policy(files)
    except BadPolicy as error:
        for problem in error.problems:
            click.echo(printable(str(problem)), err=True)
        count = len(error.problems)
        click.echo(f"error: {count} {'mistake' if count == 1 else 'mistakes'}", err=True)
        sys.exit(EXIT_INVALID)


def read_files(paths: Iterable[Path], packs: Iterable[str] = ()) -> Mapping[str, bytes]:
    """Files under the name they were given by, those of a directory with its name before. Raises UnreadablePolicy,
    UnknownPack, OSError."""
    files: dict[str, bytes] = {}
    for path in paths:
        if path.is_dir():
            _, found = read_policy_files(path)
            files.update({str(path / name): content for name, content in found.items()})
        else:
            files[str(path)] = path.read_bytes()
    return {**files, **read_packs(packs)}


def facts_from(spec: CaseSpec) -> Facts:
    """A call as the options describe it. Ends the program if there can be no such call."""
    try:
        return compile_case(spec, policy="", file="", line=0).facts
    except BadCase as error:
        usage_error(str(error))


def usage_error(message: str) -> NoReturn:
    """One line, and exit code 2."""
    click.echo(f"error: {printable(message)}", err=True)
    sys.exit(EXIT_USAGE)
