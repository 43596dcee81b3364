"""The command line: one verb a file. This file holds the table of verbs and what every verb shares:
errors are one line on stderr, and exit codes mean the same everywhere.

    0 done   1 failed, or not found   2 wrong usage, or a search that cannot be understood
    3 invalid configuration or policy   6 store or cluster unreachable   130 interrupted
    10 to 15: what `verify` found (its --help)

Nothing but click is imported here (see `gateway.cli.lazy`).
"""

import errno
import os
import sys
from typing import Final, NoReturn

import click

from gateway.cli.lazy import Entry, LazyGroup

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_DENIED: Final = 4
EXIT_UNAUTHENTICATED: Final = 5
EXIT_UNREACHABLE: Final = 6
EXIT_TIMED_OUT: Final = 8
EXIT_INTERRUPTED: Final = 130

VERBS: Final = {
    "serve": Entry("gateway.cli.serve:serve", "Run the gateway."),
    "demo": Entry("gateway.cli.demo:demo", "The whole product on a built-in toy cluster, with a tour."),
    "sessions": Entry("gateway.cli.sessions:sessions", "Read, search, follow and replay what was recorded."),
    "policy": Entry("gateway.cli.policy:policy", "Check policy files, run their tests, explain decisions."),
    "verify": Entry("gateway.cli.verify:verify", "Prove that a log, or a copy of it, is untouched."),
    "reconcile": Entry(
        "gateway.cli.reconcile:reconcile", "Compare the record with the cluster's own audit log."
    ),
    "lake": Entry("gateway.cli.lake:lake", "Ask with SQL what was recorded."),
    "store": Entry("gateway.cli.store:store", "Work on the files of a data directory."),
    "keys": Entry("gateway.cli.keys:keys", "Keys that open the record: list, make, rotate, destroy."),
    "approvals": Entry(
        "gateway.cli.approvals:approvals", "Calls that wait for a person: see, approve, deny."
    ),
    "grants": Entry("gateway.cli.grants:grants", "Access just in time: request, approve, end."),
    "revoke": Entry("gateway.cli.revoke:revoke", "End a user's, token's or session's access at once."),
    "holds": Entry("gateway.cli.holds:holds", "Legal holds: what retention must not delete."),
    "witness": Entry("gateway.cli.witness:witness", "Run a witness for the logs of gateways."),
    "bench": Entry(
        "gateway.cli.bench:bench", "Measure what recording costs, beside kubectl proxy and HAProxy."
    ),
    "version": Entry("gateway.cli.version:version", "Print the version."),
}

_EPILOG: Final = (
    "Exit codes: 0 done, 1 failed or not found, 2 wrong usage, 3 invalid configuration or policy, 4 denied, 5 not authenticated, "
    "6 store or gateway unreachable, 8 timed out waiting, 130 interrupted."
)


@click.group(
    cls=LazyGroup, table=VERBS, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
def kubetape() -> None:
    """A flight recorder and gate for Kubernetes.

    Example: kubetape sessions search 'user:ann verb:delete since:1d'
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code. Any error is one line on stderr, never a traceback."""
    try:
        code = kubetape.main(args=arguments, prog_name="kubetape", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output has seen enough: | head
            _silence_stdout()
            code = 0
        else:
            code = _fail(error)
    except Exception as error:
        if os.environ.get("KUBETAPE_TRACEBACK"):
            raise
        code = _fail(error)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(error: Exception) -> int:
    from gateway.errors import GatewayError
    from storage.ansi import printable
    from storage.errors import BadQuery, StorageError

    if isinstance(error, StorageError | OSError | GatewayError):
        click.echo(f"error: {printable(str(error))}", err=True)
    else:
        what = printable(f"{type(error).__name__}: {error}")
        click.echo(f"error: {what} (a bug; KUBETAPE_TRACEBACK=1 shows where)", err=True)
    if type(error).__name__ == "StoreUnreachable":  # known without importing what it takes to reach one
        return EXIT_UNREACHABLE
    return EXIT_USAGE if isinstance(error, BadQuery) else EXIT_FAILED


def _silence_stdout() -> None:
    """The interpreter flushes stdout at exit; let it flush into nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
