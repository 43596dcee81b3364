"""The options of every verb that asks the management API."""

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from protocol.durations import parse_duration_s

_ID: Final = re.compile("[0-9A-Za-z]{4,26}")
_FILE: Final = click.Path(path_type=Path)


class Named(NamedTuple):
    """What was said on the command line; None: nothing."""

    server: str | None = None
    ca: Path | None = None
    token_file: Path | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    data_dir: Path | None = None


def console_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --server, --ca, --token-file, --kubeconfig, --context, --data-dir; they arrive as one `named`."""

    @wraps(command)
    def gathered(*args: Any, **values: Any) -> Any:
        fields = {field: values.pop(field) for field in Named._fields}
        return command(*args, named=Named(**fields), **values)

    options = (
        click.option("--server", metavar="URL", envvar="KUBETAPE_CONSOLE", help="Of the management API."),
        click.option("--ca", metavar="FILE", type=_FILE, help="PEM, instead of the kubeconfig's CA."),
        click.option(
            "--token-file", metavar="FILE", type=_FILE, help="Bearer token, instead of the kubeconfig's."
        ),
        click.option(
            "--kubeconfig",
            metavar="FILE",
            type=_FILE,
            help="Default: the first file of $KUBECONFIG, then ~/.kube/config.",
        ),
        click.option("--context", metavar="NAME", help="Of the kubeconfig; default: the current one."),
        click.option(
            "--data-dir", metavar="DIR", type=_FILE, help="Of a gateway on this machine: its own kubeconfig."
        ),
    )
    for option in reversed(options):
        gathered = option(gathered)
    return gathered


def api_id(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A callback for arguments that name something: nothing else gets into a path."""
    del context, parameter
    if not _ID.fullmatch(value):
        raise click.BadParameter("an id has 4 to 26 letters and digits")
    return value.upper()


def seconds_of(text: str, option: str) -> int:
    """90s, 15m, 1h30m -> whole seconds. Raises click.BadParameter."""
    seconds = parse_duration_s(text)
    if not seconds or seconds != int(seconds):
        raise click.BadParameter("write a duration: 90s, 15m, 1h30m", param_hint=option)
    return int(seconds)
