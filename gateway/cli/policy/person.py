"""Who asks, on the command line: --as, --group, --claim, --issuer, --grant -> a person of a test."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

from gateway.policy.syntax import PersonSpec

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_LISTS: Final = (
    ("--group", "groups", "NAME", "A group of theirs; may be repeated."),
    ("--claim", "claims", "NAME=VALUE", "A claim of their token; the same name again adds a value."),
)


def person_options(*, required: bool) -> Callable[[Decorated], Decorated]:
    """Add --as, --group, --claim and --issuer; they arrive as arguments for `person_from`."""

    def add(command: Decorated) -> Decorated:
        command = click.option("--issuer", default="", metavar="URL", help="Issuer of their token.")(command)
        for flag, name, metavar, text in reversed(_LISTS):
            command = click.option(flag, name, multiple=True, metavar=metavar, help=text)(command)
        return click.option("--as", "user", required=required, metavar="USER", help="Who asks.")(command)

    return add


def person_from(user: str, groups: Iterable[str], claims: Iterable[str], issuer: str) -> PersonSpec:
    """Raises click.UsageError for a claim without a value."""
    values: dict[str, list[str]] = {}
    for claim in claims:
        name, equals, value = claim.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{claim!r} is no claim: write NAME=VALUE")
        values.setdefault(name, []).append(value)
    return PersonSpec(user, list(groups), {name: list(found) for name, found in values.items()}, issuer)
