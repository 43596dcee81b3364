"""Flags and free text -> `Query`: `--user ann` is `user:ann`, so that either can be learnt from the other."""

import re
import time
from pathlib import Path
from typing import Final

import click

from gateway.cli.directory import Decorated, directory_option
from gateway.cli.output import COLOUR_CHOICES, FORMATS, Style, detect_style
from storage.query import Query, parse_field, parse_query

_FLAGS: Final = {
    "user": ("--user", "NAME", "Who asked."),
    "ns": ("--ns", "NAMESPACE", "Namespace."),
    "verb": ("--verb", "VERB", "get, list, watch, create, update, patch, delete, ..."),
    "resource": ("--resource", "RESOURCE", "pods, pods/exec, deployments.apps."),
    "name": ("--name", "NAME", "Object name."),
    "code": ("--code", "STATUS", "HTTP status: 403, 4xx."),
    "decision": ("--decision", "DECISION", "allow, deny or hold."),
    "hold": ("--hold", "RESULT", "How a hold ended: approved, denied, expired, waiting, ..."),
    "kind": ("--kind", "KIND", "call, exec, attach, portforward, log or watch."),
    "since": ("--since", "TIME", "From then on: 15m, 1d12h, 2026-01-31, 2026-01-31T08:00:00Z."),
    "until": ("--until", "TIME", "Up to then."),
}

_EXCLUSION: Final = re.compile(r"-[A-Za-z_]+:")


def filter_options(command: Decorated) -> Decorated:
    """Add the flags that narrow a list; they arrive as keyword arguments for `query_from`."""
    for field, (flag, metavar, help_text) in reversed(_FLAGS.items()):
        command = click.option(flag, field, metavar=metavar, help=help_text)(command)
    return command


class FilterCommand(click.Command):
    """A command that takes filter words: `-user:ci` among them excludes, and is no flag."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        # a leading blank makes it a word to the option parser, and nothing to the search language
        words = [f" {word}" if _EXCLUSION.match(word) else word for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])


def query_from(words: tuple[str, ...], flags: dict[str, str | None]) -> Query:
    """The words of the command line, joined by blanks, and its flags together. Raises BadQuery."""
    now_ns = time.time_ns()
    query = parse_query(" ".join(words), now_ns=now_ns)
    for field, value in flags.items():
        if value is not None:
            query = query.joined(parse_field(field, tuple(value.split(",")), now_ns=now_ns))
    return query


def output_options(command: Decorated) -> Decorated:
    """Add -o, --no-headers, --relative, --color; they arrive as keyword arguments for `style_from`."""
    options = (
        click.option(
            "-o",
            "--output",
            "output_format",
            type=click.Choice(FORMATS),
            default="table",
            help="Format. A table is plain columns, separated by tabs, unless stdout is a terminal.",
        ),
        click.option("--no-headers", is_flag=True, help="No line of column names."),
        click.option("--relative", is_flag=True, help="Times as '5m0s ago' instead of RFC 3339 in UTC."),
        click.option(
            "--color", type=click.Choice(COLOUR_CHOICES), default="auto", help="auto honours NO_COLOR."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def style_from(output_format: str, no_headers: bool, relative: bool, color: str) -> Style:
    now_ns = time.time_ns() if relative else None
    return detect_style(output_format, headers=not no_headers, colour=color, relative_to_ns=now_ns)


FILTER_HELP: Final = """FILTER narrows the list: field:value, field:one,two, -field:value, words, "exact words",
    pre*. In quotes or not, it is one expression."""


def data_dir_option(command: Decorated) -> Decorated:
    """Add --data-dir and --key; they arrive as `data_dir`, a path, and `key`."""
    return directory_option(key_option(command))


def record_option(command: Decorated) -> Decorated:
    """Add --data-dir and --store, which arrive as `data_dir`, and --key."""
    return click.option(
        "--data-dir",
        "--store",
        "data_dir",
        metavar="DIR|URL",
        envvar="KUBETAPE_RECORD__DIR",
        default="kubetape-data",
        show_default=True,
        help="Data directory of a gateway, a copy of one, or what was exported: s3://BUCKET/PREFIX.",
    )(key_option(command))


def key_option(command: Decorated) -> Decorated:
    """Add --key; it arrives as `key`, a tuple of paths."""
    return click.option(
        "--key",
        metavar="FILE",
        multiple=True,
        envvar="KUBETAPE_KEY",
        type=click.Path(path_type=Path),
        help="Opens an encrypted log: private key of a recipient (PEM), or a local key file. Repeatable; the "
        "local key of the data directory is used anyway.",
    )(command)
