"""Policies and facts in a line or two."""

from gateway.policy.decide import Policy
from gateway.policy.load import load_policy
from gateway.policy.model import ActiveGrant, Facts, JsonObject
from gateway.policy.problems import BadPolicy
from gateway.principal import Principal
from protocol.apicall import parse_call

NOON_NS = 1_767_614_400 * 10**9  # Monday, 2026-01-05 12:00 UTC
HEAD = "apiVersion: kubetape/v1\nkind: Policy\nmetadata: {name: p}\n"


def policy(text: str, *, name: str = "p.yaml") -> Policy:
    """A policy of one file named p; text: what stands below `metadata`."""
    return load_policy({name: (HEAD + text).encode()})


def rules(*lines: str) -> Policy:
    """A policy of these rules, each in flow style: `{name: a, match: {...}, action: allow}`."""
    return policy("rules:\n" + "".join(f"- {line}\n" for line in lines))


def problems(text: str) -> list[str]:
    """What is wrong with the text below HEAD; each as "line:column: message", lines counted from there."""
    try:
        policy(text)
    except BadPolicy as error:
        return [f"{one.line - 3}:{one.column}: {one.message}" for one in error.problems]
    return []


def facts(
    request: str,
    *,
    user: str = "ann",
    groups: tuple[str, ...] = (),
    issuer: str = "",
    claims: dict[str, object] | None = None,
    source: str = "10.1.2.3",
    at_ns: int = NOON_NS,
    body: JsonObject | None = None,
    old: JsonObject | None = None,
    grants: tuple[ActiveGrant, ...] = (),
) -> Facts:
    method, target = request.split(" ", 1)
    return Facts(
        principal=Principal(user, groups, "token", "0" * 32, issuer=issuer, claims=claims or {}),
        call=parse_call(method.encode(), target.encode()),
        source_address=source,
        at_ns=at_ns,
        object=body,
        old_object=old,
        grants=grants,
    )


def grant(bundle: str, *, id: str = "g-1", expires_ns: int = NOON_NS + 10**9) -> ActiveGrant:
    return ActiveGrant(id, bundle, expires_ns)
