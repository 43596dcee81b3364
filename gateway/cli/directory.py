"""The option that names a data directory on this machine. Verbs that also read buckets have one of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def directory_option(command: Decorated) -> Decorated:
    """Add --data-dir; it arrives as `data_dir`, a path."""
    return click.option(
        "--data-dir",
        metavar="DIR",
        envvar="KUBETAPE_RECORD__DIR",
        default="kubetape-data",
        show_default=True,
        type=click.Path(path_type=Path),
        help="Data directory of a gateway, or a copy of one.",
    )(command)
