"""`kubetape policy test`: the tests in the files, run by the code that decides in the data path."""

import sys
from pathlib import Path

import click

from gateway.cli import EXIT_FAILED
from gateway.cli.policy.opening import open_policy, pack_option, paths_argument
from gateway.policy.testing import run_tests
from storage.ansi import printable


@click.command("test")
@click.option("-v", "--verbose", is_flag=True, help="Name the tests that pass, too.")
@pack_option
@paths_argument
def test(verbose: bool, packs: tuple[str, ...], paths: tuple[Path, ...]) -> None:
    """Run the tests that stand in policy files. All files given are one policy.

    Exit codes: 0 all pass, 1 a test fails (or there is none), 3 the files are no policy.

    Example: kubetape policy test policies/
    """
    failed = passed = 0
    for result in run_tests(open_policy(paths, packs)):
        where = f"{result.case.file}:{result.case.line}"
        if result.failures:
            failed += 1
            click.echo(printable(f"FAIL {where} {result.case.name}"))
            for failure in result.failures:
                click.echo(printable(f"     {failure}"))
        else:
            passed += 1
            if verbose:
                click.echo(printable(f"ok   {where} {result.case.name}"))
    click.echo(f"{passed} passed, {failed} failed")
    if failed or not passed:
        sys.exit(EXIT_FAILED)
