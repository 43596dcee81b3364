"""The table of the API: which method and path does what, with the shapes that go in and out. Pure.

Everything that is served is here, and /openapi.json is made from it. A path is matched segment by segment, exactly:
no trailing slash, no escapes, nothing to normalise.
"""

import re
from typing import Final, NamedTuple

import msgspec

from gateway.console import approvals, grants, revocations
from gateway.console.answers import METHOD_NOT_ALLOWED, NOT_FOUND
from gateway.console.context import Handler
from gateway.console.documents import (
    GRANT_STATES,
    HOLD_STATES,
    ApprovalDocument,
    ApprovalList,
    BundleList,
    GrantDocument,
    GrantList,
    RevocationDocument,
    RevocationList,
    WhoamiDocument,
)
from gateway.console.whoami import whoami
from gateway.errors import BAD_REQUEST, Refusal
from protocol.query import parse_query

PREFIX: Final = "/api/v1"
_ID: Final = re.compile(r"[0-9A-Za-z]{1,26}")


class Route(NamedTuple):
    """query: parameter -> the values it may have. lines: with watch=true, `reply` documents as JSON lines."""

    method: str
    path: str
    handler: Handler
    reply: type[msgspec.Struct]
    body: type[msgspec.Struct] | None = None
    query: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - a NamedTuple's default
    status: int = 200
    lines: type[msgspec.Struct] | None = None

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").strip()


class Matched(NamedTuple):
    route: Route
    path_id: str
    query: dict[str, str]


ROUTES: Final = (
    Route(
        "GET",
        f"{PREFIX}/approvals",
        approvals.list_approvals,
        ApprovalList,
        query={"state": HOLD_STATES, "watch": ("true", "false")},
        lines=ApprovalDocument,
    ),
    Route("GET", f"{PREFIX}/approvals/{{id}}", approvals.get_approval, ApprovalDocument),
    Route(
        "POST",
        f"{PREFIX}/approvals/{{id}}/approve",
        approvals.approve,
        ApprovalDocument,
        approvals.ApproveBody,
    ),
    Route("POST", f"{PREFIX}/approvals/{{id}}/deny", approvals.deny, ApprovalDocument, approvals.DenyBody),
    Route("GET", f"{PREFIX}/bundles", grants.list_bundles, BundleList),
    Route("GET", f"{PREFIX}/grants", grants.list_grants, GrantList, query={"state": GRANT_STATES}),
    Route("POST", f"{PREFIX}/grants", grants.request_grant, GrantDocument, grants.RequestBody, status=201),
    Route("GET", f"{PREFIX}/grants/{{id}}", grants.get_grant, GrantDocument),
    Route("POST", f"{PREFIX}/grants/{{id}}/approve", grants.approve, GrantDocument, grants.ApproveGrantBody),
    Route("POST", f"{PREFIX}/grants/{{id}}/deny", grants.deny, GrantDocument, approvals.DenyBody),
    Route("POST", f"{PREFIX}/grants/{{id}}/revoke", grants.revoke, GrantDocument, grants.RevokeGrantBody),
    Route("GET", f"{PREFIX}/revocations", revocations.list_revocations, RevocationList),
    Route(
        "POST",
        f"{PREFIX}/revocations",
        revocations.revoke,
        RevocationDocument,
        revocations.RevokeBody,
        status=201,
    ),
    Route(
        "POST",
        f"{PREFIX}/revocations/{{id}}/lift",
        revocations.lift,
        RevocationDocument,
        revocations.LiftBody,
    ),
    Route("GET", f"{PREFIX}/whoami", whoami, WhoamiDocument),
)


def match_route(method: bytes, target: bytes) -> Matched:
    """The route of a request. Raises Refusal, RefusedTarget."""
    path, _, raw_query = target.partition(b"?")
    segments = path.decode("ascii", "replace").split("/")
    found = [(route, path_id) for route in ROUTES if (path_id := _matches(route, segments)) is not None]
    if not found:
        raise Refusal(NOT_FOUND, "nothing is served here: see /openapi.json")
    for route, path_id in found:
        if route.method.encode() == method:
            return Matched(route, path_id, _query(route, raw_query))
    allowed = ", ".join(sorted(route.method for route, _ in found))
    raise Refusal(METHOD_NOT_ALLOWED, f"this path takes {allowed}")


def _matches(route: Route, segments: list[str]) -> str | None:
    """The id in the path, "" for a route without one; None when it is another path."""
    wanted, path_id = route.path.split("/"), ""
    if len(wanted) != len(segments):
        return None
    for expected, segment in zip(wanted, segments, strict=True):
        if expected == "{id}" and _ID.fullmatch(segment):
            path_id = segment
        elif expected != segment:
            return None
    return path_id


def _query(route: Route, raw: bytes) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_query(raw):
        if name not in route.query or name in query or value not in route.query[name]:
            choices = "; ".join(f"{key}={'|'.join(values)}" for key, values in route.query.items())
            raise Refusal(BAD_REQUEST, f"the query may hold, once each: {choices or 'nothing'}")
        query[name] = value
    return query
