"""Synthetic records as a gateway writes them of kubectl and other clients: shapes and order of today's records.

For training the compression dictionary and for benchmarks. Nothing here comes from a cluster. Header names and their
order are those seen from kubectl 1.32 over HTTP/2 (Go shuffles them); values are made up. Seeded: the same seed gives
the same records.
"""

import json
import random
import uuid
from collections.abc import Iterator
from typing import Final

from benchmarks.kubernetes_samples import (
    APPS,
    HEX,
    KNOWN,
    NAMESPACES,
    Sample,
    digits,
    terminal_text,
    uid,
    when,
)
from protocol.events import Headers
from storage.records import (
    AnyRecord,
    CallRecord,
    ChannelChunk,
    Exited,
    Intent,
    Outcome,
    PrincipalRecord,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    Timings,
    TunnelEnded,
    TunnelStarted,
    VerdictRecord,
    encode_record,
)

VERBS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
RESOURCES: Final = {
    "Pod": ("", "pods"),
    "Deployment": ("apps", "deployments"),
    "Service": ("", "services"),
    "ConfigMap": ("", "configmaps"),
    "Event": ("", "events"),
    "Lease": ("coordination.k8s.io", "leases"),
}
LISTED: Final = (
    ("", "pods"),
    ("apps", "deployments"),
    ("", "services"),
    ("", "events"),
    ("", "nodes"),
    ("", "namespaces"),
)
TABLE: Final = b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
VERSIONS: Final = ("v1.28.4", "v1.29.2", "v1.30.1", "v1.31.0", "v1.32.4", "v1.33.1", "v1.34.0", "v1.36.0")
COMMANDS: Final = (
    "get",
    "describe",
    "apply",
    "logs",
    "exec",
    "delete",
    "rollout status",
    "create",
    "edit",
    "auth can-i",
)
OTHER_AGENTS: Final = (
    "kubectl-dispatcher/v1.0 (linux/amd64)",
    "k9s/v0.32.5 (darwin/arm64) kubernetes/$Format",
    "Helm/3.16.2",
    "argocd-application-controller/v2.13.0 (linux/amd64) kubernetes/$Format",
    "OpenAPI-Generator/31.0.0/python",
)


class _Client:
    """Who calls, and what every call of the same run has in common."""

    def __init__(self, rng: random.Random) -> None:
        version, command = rng.choice(VERSIONS), rng.choice(COMMANDS)
        self.is_kubectl = rng.random() < 0.8
        self.agent = (
            f"kubectl/{version} ({rng.choice(['linux/amd64', 'darwin/arm64', 'windows/amd64'])}) "
            f"kubernetes/{digits(rng, HEX, 7)}"
            if self.is_kubectl
            else rng.choice(OTHER_AGENTS)
        )
        self.command = f"kubectl {command}" if self.is_kubectl else ""
        self.run = uid(rng) if self.is_kubectl else ""
        self.address = f"10.{rng.randint(0, 3)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}"
        self.source = f"{self.address}:{rng.randint(32768, 60999)}"
        self.user = rng.choice((f"{rng.choice(APPS)}@example.com", "root"))
        self.principal = (
            PrincipalRecord("root", ("kubetape:first-user",), "token", digits(rng, HEX, 32), "tokens.csv")
            if self.user == "root"
            else PrincipalRecord(
                self.user,
                ("system:authenticated", "developers"),
                "oidc",
                digits(rng, HEX, 32),
                "https://idp.example.com",
                self.user,
            )
        )

    def headers(self, rng: random.Random, accept: bytes, method: str) -> Headers:
        """As the client sent them, its credential removed."""
        headers = [
            (b"accept", accept),
            (b"user-agent", self.agent.encode()),
            (b"authorization", b"(removed)"),
        ]
        headers.append((b"accept-encoding", b"gzip"))
        if self.is_kubectl:
            headers.append((b"kubectl-command", self.command.encode()))
            headers.append((b"kubectl-session", self.run.encode()))
        if method in ("POST", "PUT", "PATCH"):
            kinds = {"PATCH": b"application/apply-patch+yaml"}
            headers.append((b"content-type", kinds.get(method, b"application/json")))
        rng.shuffle(headers)
        return tuple(headers)

    def upstream_headers(self, headers: Headers, exchange: bytes) -> Headers:
        """As the API server gets them."""
        kept = [
            (name, b"identity" if name == b"accept-encoding" else value)
            for name, value in headers
            if name != b"authorization"
        ]
        if self.user != "root":
            kept += [(b"impersonate-user", self.user.encode()), (b"impersonate-group", b"developers")]
        text = str(uuid.UUID(bytes=exchange)).encode()
        return (*kept, (b"audit-id", text), (b"x-forwarded-for", self.address.encode()))


def exchange(rng: random.Random, samples: tuple[Sample, ...] = KNOWN) -> Iterator[list[AnyRecord]]:
    """The records of one API call, as commits at low load hold them: the intent, then the answer."""
    client, shown = _Client(rng), rng.choice(samples)(rng)
    ident = uuid.UUID(bytes=rng.randbytes(16), version=4).bytes
    is_table = shown.get("kind") == "Table"
    method = "GET" if is_table else rng.choice(["GET", "GET", "GET", "POST", "PATCH", "DELETE"])
    call, target = _call(rng, method, shown, is_table=is_table)
    headers = client.headers(rng, TABLE if is_table else b"application/json", method)
    mode = rng.choice(("observe", "enforce"))
    intent = Intent(
        ident,
        1_780_000_000_000_000_000 + rng.randrange(10**16),
        digits(rng, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26),
        digits(rng, HEX, 16),
        client.source,
        rng.choice(["1.1", "2", "2"]),
        method,
        target.encode(),
        headers,
        client.principal,
        call,
        VerdictRecord("allow", mode, ("developers-read",), "c0ffee" * 10 + "beef")
        if mode == "enforce"
        else VerdictRecord("allow", mode),
        1 if method != "GET" else 2,
        target.encode(),
        client.upstream_headers(headers, ident),
        "shared" if client.user == "root" else "impersonate",
        client.agent,
        client.command,
        client.run,
        "TLSv1.3",
    )
    body = json.dumps(shown, separators=(",", ":")).encode()
    yield [intent, RequestBody(ident, 0, body)] if method in ("POST", "PATCH") else [intent]
    yield list(_answer(rng, ident, body + b"\n", int(str(shown.get("code", 200)))))


def _call(
    rng: random.Random, method: str, shown: dict[str, object], *, is_table: bool
) -> tuple[CallRecord, str]:
    """The call, and its target as the client wrote it."""
    group, resource = rng.choice(LISTED) if is_table else RESOURCES.get(str(shown.get("kind")), ("", "pods"))
    namespace = "" if resource in ("nodes", "namespaces") else rng.choice(NAMESPACES)
    name = "" if is_table else f"{rng.choice(APPS)}-{digits(rng, HEX, 9)}"
    path = f"/apis/{group}/v1" if group else "/api/v1"
    path += f"/namespaces/{namespace}/{resource}" if namespace else f"/{resource}"
    if name and method != "POST":
        path += f"/{name}"
    verb = "list" if is_table else VERBS[method]
    queries = {"GET": "?limit=500" if is_table else "", "PATCH": "?fieldManager=kubectl-client-side-apply"}
    query = queries.get(method, "?fieldManager=kubectl-client-side-apply&fieldValidation=Strict")
    return CallRecord(verb, group, "v1", resource, "", namespace, name, path), path + query


def _answer(rng: random.Random, ident: bytes, body: bytes, code: int) -> Iterator[AnyRecord]:
    at_us = rng.randint(500, 90_000)
    date = f"{rng.choice(['Mon', 'Tue', 'Wed', 'Thu', 'Fri'])}, {rng.randint(10, 28)} May 2026 {when(rng)[11:19]} GMT"
    headers: list[tuple[bytes, bytes]] = [
        (b"audit-id", str(uuid.UUID(bytes=ident)).encode()),
        (b"cache-control", b"no-cache, private"),
        (b"content-type", b"application/json"),
        (b"date", date.encode()),
    ]
    if rng.random() < 0.7:
        headers.append((b"x-kubernetes-pf-flowschema-uid", uid(rng).encode()))
        headers.append((b"x-kubernetes-pf-prioritylevel-uid", uid(rng).encode()))
    yield ResponseStarted(ident, at_us, code, tuple(headers))
    yield ResponseBody(ident, at_us + rng.randint(20, 300), 0, body)
    times = sorted(rng.randint(10, at_us) for _ in range(4))
    timings = Timings(*times, at_us, at_us + rng.randint(20, 300), at_us + rng.randint(300, 900))
    yield Outcome(ident, at_us + 1000, "completed", code, "", 0, len(body), timings)


def terminal(rng: random.Random) -> Iterator[list[AnyRecord]]:
    """The records of one exec, as commits hold them."""
    ident, at_us = rng.randbytes(16), rng.randint(500, 90_000)
    transport, protocol = rng.choice((("websocket", "v5.channel.k8s.io"), ("spdy", "v4.channel.k8s.io")))
    yield [TunnelStarted(ident, at_us, "exec", transport, protocol, rng.random() < 0.5)]
    for _ in range(rng.randint(1, 20)):
        at_us += rng.randint(200, 900_000)
        from_client = rng.random() < 0.4
        yield [ChannelChunk(ident, at_us, 0 if from_client else 1, from_client, terminal_text(rng))]
    success = b'{"metadata":{},"status":"Success"}'
    yield [
        ChannelChunk(ident, at_us, 3, False, success),
        Exited(ident, at_us, 0, ""),
        TunnelEnded(ident, at_us, "cluster", 1000),
        Outcome(ident, at_us + 300, "completed", 101, exit_code=0),
    ]


def commits(seed: int, count: int, samples: tuple[Sample, ...] = KNOWN) -> list[list[bytes]]:
    """Encoded records of mixed traffic, `count` commits of them; a fifth of the exchanges are terminals."""
    rng = random.Random(seed)
    out: list[list[bytes]] = []
    while len(out) < count:
        made = terminal(rng) if rng.random() < 0.2 else exchange(rng, samples)
        out.extend([encode_record(record) for record in commit] for commit in made)
    return out[:count]


def records(seed: int, count: int, samples: tuple[Sample, ...] = KNOWN) -> list[bytes]:
    """`count` encoded records of the same traffic."""
    return [record for commit in commits(seed, count, samples) for record in commit][:count]
