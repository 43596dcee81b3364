"""Options that the verbs of `kubetape lake` share, and what they mean."""

import importlib
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from gateway.errors import GatewayError
from gateway.lake.engine import Limits
from gateway.lake.fetch import ObjectStore
from storage.query import parse_time

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
STORES: Final = "gateway.store.s3_files"
"""The module with `open_store`; imported when a store is asked for, because it brings boto3."""


def store_options(command: Decorated) -> Decorated:
    """Add --store and --since."""
    command = click.option(
        "--since", metavar="TIME", help="With --store: calls from then on: 15m, 1d12h, 2026-01-31."
    )(command)
    return click.option(
        "--store", metavar="URL", help="Rows exported to a bucket, s3://BUCKET/PREFIX, instead of --data-dir."
    )(command)


def resource_options(command: Decorated) -> Decorated:
    """Add --memory and --timeout; they arrive as arguments for `limits_from`."""
    command = click.option(
        "--timeout",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        help="Seconds until it is given up; 0: never.",
    )(command)
    return click.option(
        "--memory", type=click.IntRange(64), default=1024, show_default=True, help="MiB of memory at most."
    )(command)


def limits_from(memory: int, timeout: float) -> Limits:
    return Limits(memory_mib=memory, timeout_s=timeout)


def store_from(url: str) -> ObjectStore:
    """Open the store of a URL; nothing is asked of it yet. Raises ClickException."""
    try:
        module = importlib.import_module(STORES)
    except ModuleNotFoundError as error:
        if error.name != STORES:
            raise
        raise click.ClickException("this version cannot read stores; use --data-dir") from None
    try:
        store: ObjectStore = module.open_store(url)
    except GatewayError as error:
        raise click.BadParameter(str(error), param_hint="--store") from None
    return store


def since_ns(since: str | None) -> int:
    """Raises BadQuery."""
    return parse_time(since, now_ns=time.time_ns()) if since else 0
