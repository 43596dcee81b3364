"""One entry under `tests:` of a policy file -> the facts of the call it describes, and what is expected."""

from datetime import datetime
from typing import Final

import msgspec

from gateway.policy.model import ActiveGrant, Facts
from gateway.policy.syntax import CaseSpec
from gateway.principal import Principal
from protocol.apicall import parse_call
from protocol.errors import RefusedTarget

DEFAULT_AT_NS: Final = 1_767_614_400 * 10**9
"""Monday, 2026-01-05 12:00 UTC: when a test takes place that does not say when."""

_HOUR_NS: Final = 3600 * 10**9


class BadCase(Exception):
    """A test that cannot be run. field: of the test, as written in the file."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field: Final = field


class Case(msgspec.Struct, frozen=True):
    """A test that can be run. Rules are full ids; None: not looked at. policy: the name of the file's policy."""

    policy: str
    file: str
    line: int
    name: str
    facts: Facts
    expect: str
    rule: str | None
    masks: tuple[str, ...] | None
    shadow: tuple[str, ...] | None
    scope: str | None


def compile_case(spec: CaseSpec, *, policy: str, file: str, line: int) -> Case:
    """policy: the name of the file's policy, for rules written without it. Raises BadCase."""
    method, _, target = spec.request.partition(" ")
    try:
        call = parse_call(method.encode(), target.encode())
    except RefusedTarget as error:
        raise BadCase(
            "request", f"the gateway refuses this request whatever the policy says: {error}"
        ) from error
    at_ns = DEFAULT_AT_NS if spec.at is None else _parse_time(spec.at)
    person = spec.as_

    def full(name: str) -> str:
        return name if "/" in name else f"{policy}/{name}"

    return Case(
        policy=policy,
        file=file,
        line=line,
        name=spec.name or f"{person.user}: {spec.request}",
        facts=Facts(
            principal=Principal(
                user=person.user,
                groups=tuple(person.groups),
                method="oidc" if person.issuer else "token",
                credential_id="0" * 32,
                issuer=person.issuer,
                claims=person.claims,
            ),
            call=call,
            source_address=spec.source,
            at_ns=at_ns,
            object=spec.body,
            old_object=spec.old,
            grants=tuple(ActiveGrant(f"test-{b}", b, at_ns + _HOUR_NS) for b in spec.grants),
        ),
        expect=spec.expect,
        rule=None if spec.rule is None else full(spec.rule),
        masks=None if spec.masks is None else tuple(full(name) for name in spec.masks),
        shadow=None if spec.shadow is None else tuple(full(name) for name in spec.shadow),
        scope=spec.scope,
    )


def _parse_time(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadCase("at", f"{text!r} is no time: write 2026-01-31T10:00:00Z") from error
    if at.tzinfo is None:
        raise BadCase("at", f"{text!r} says no zone: write {text}Z")
    return int(at.timestamp()) * 10**9
