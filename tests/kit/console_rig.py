"""The management API over real HTTPS, on a real SQLite state, with people of every kind.

ann   asks (group devs)          bob   may decide, by name        sue   may decide, by group sre
adm   an admin (group admins)    eve   nobody                     olga  an admin and an approver (sre, admins)
"""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import trio

from gateway.config import Listen, Settings
from gateway.console.context import ConsoleServices
from gateway.console.serve import serve_console
from gateway.console.settings import Admins
from gateway.identity.authenticate import Authenticator
from gateway.identity.settings import CertificateRules, IdentitySettings
from gateway.identity.tokens import StaticTokens, append_token
from gateway.policy.decide import Policy
from gateway.policy.model import Approvers, GrantTerms
from gateway.principal import Principal
from gateway.server.names import HostNames
from gateway.server.tls import ensure_certificate, server_context
from gateway.sessions import make_session_id
from gateway.state.entries import AnyEntry, GrantRequested, HoldRequested, Requester
from gateway.state.follower import RecordEntry, SharedState
from gateway.state.signing import open_seal
from gateway.state.sqlite import SqliteStore
from gateway.state.store import StateStore
from tests.kit.raw_client import RawClient, Response, client_context, open_client

ISSUER = "tokens.csv"
PEOPLE = {
    "ann": ("devs",),
    "bob": (),
    "sue": ("sre",),
    "adm": ("admins",),
    "eve": (),
    "olga": ("sre", "admins"),
}
ANN_SESSION = "01K0000000ANNANNANNANNANN1"
S = 1_000_000_000
DEADLINE_S = 20.0

BUNDLES = {
    "debug-prod": GrantTerms(
        bundle="debug-prod",
        approvers=Approvers(("bob",), ("sre",), 1),
        max_duration_s=3600,
        requester_groups=("devs", "sre"),
        rules=("prod/debug",),
        reason="to look at a pod",
    ),
    "two-people": GrantTerms(
        bundle="two-people", approvers=Approvers(("bob",), ("sre",), 2), max_duration_s=600
    ),
    "not-for-ann": GrantTerms(
        bundle="not-for-ann", approvers=Approvers(("bob",)), max_duration_s=600, requester_users=("zoe",)
    ),
}


@dataclass
class ConsoleRig:
    """A running API and what is needed to talk to it."""

    port: int
    directory: Path
    state: SharedState
    tokens: dict[str, str]
    recorded: list[AnyEntry] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.directory / "tls" / "ca.crt"

    def open(self) -> Any:
        return open_client(self.port, client_context(self.ca))

    def request(
        self, who: str, method: str, target: str, body: object = None, fields: tuple[str, ...] = ()
    ) -> bytes:
        """An HTTP/1.1 request; who "": without a credential. body: bytes, or anything JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *fields]
        if who:
            lines.append(f"Authorization: Bearer {self.tokens[who]}")
        if body is not None and not any(line.lower().startswith("content-type:") for line in fields):
            lines.append("Content-Type: application/json")
        if content or method == "POST":
            lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*lines, "", ""]).encode() + content

    async def ask(
        self, who: str, method: str, target: str, body: object = None, *fields: str
    ) -> tuple[int, Any]:
        """Status and decoded body."""
        response = await self.raw(who, method, target, body, *fields)
        return response.status, json.loads(response.body) if response.body else None

    async def raw(self, who: str, method: str, target: str, body: object = None, *fields: str) -> Response:
        client: RawClient
        async with self.open() as client:
            request = self.request(who, method, target, body, fields)
            return await client.ask(request, to_head=method == "HEAD")

    async def hold(self, user: str = "ann", *, wait_s: float = 300, **changes: Any) -> HoldRequested:
        """A call of this person that waits."""
        entry = make_hold(self.state.now_ns(), user, wait_s, changes)
        await self.state.append(entry)
        return entry

    async def grant(self, user: str = "ann", **changes: Any) -> GrantRequested:
        """A request of this person for debug-prod."""
        now_ns = self.state.now_ns()
        fields: dict[str, Any] = {
            "at_ns": now_ns,
            "id": make_session_id(now_ns, secrets.randbits(80)),
            "expires_ns": now_ns + 600 * S,
            "requester": requester(user),
            "bundle": "debug-prod",
            "reason": "ticket 7",
            "duration_s": 1800,
            "approver_users": ("bob",),
            "approver_groups": ("sre",),
            "quorum": 1,
        }
        entry = GrantRequested(**(fields | changes))
        await self.state.append(entry)
        return entry


def requester(user: str) -> Requester:
    session = ANN_SESSION if user == "ann" else ""
    return Requester(user, PEOPLE[user], ISSUER, "c" * 32, session, "192.0.2.1")


def make_hold(now_ns: int, user: str, wait_s: float, changes: dict[str, Any]) -> HoldRequested:
    fields: dict[str, Any] = {
        "at_ns": now_ns,
        "id": make_session_id(now_ns, secrets.randbits(80)),
        "expires_ns": now_ns + int(wait_s * S),
        "requester": requester(user),
        "digest": "ab" * 32,
        "rules": ("prod/no-delete",),
        "approver_users": ("bob", "ann"),
        "approver_groups": ("sre",),
        "quorum": 1,
        "scope": "command",
        "method": "DELETE",
        "target": "/api/v1/namespaces/prod/pods/web-0",
        "verb": "delete",
        "resource": "pods",
        "namespace": "prod",
        "name": "web-0",
        "command": "k1",
        "reason": "deletes in prod need a second person",
    }
    return HoldRequested(**(fields | changes))


def fake_session(principal: Principal) -> str:
    """Only ann has a session on the data port."""
    return ANN_SESSION if principal.user == "ann" else ""


@asynccontextmanager
async def open_console(
    directory: Path,
    *,
    stale_after_s: float = 10.0,
    policy: Policy | None = None,
    store: StateStore | None = None,
    record: RecordEntry | None = None,
    certificates: CertificateRules | None = None,
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[ConsoleRig]:
    directory.mkdir(exist_ok=True)
    tokens = {user: append_token(directory / "tokens.csv", user, groups) for user, groups in PEOPLE.items()}
    certificate = ensure_certificate(directory / "tls", ["localhost", "127.0.0.1"])
    recorded: list[AnyEntry] = []
    state = SharedState(
        store or SqliteStore(directory),
        open_seal(directory, "gw-1", "prod"),
        record or (lambda entry, encoded, signature: recorded.append(entry)),
        stale_after_s=stale_after_s,
    )
    known = policy or Policy(sha256="0" * 64, files=("prod.yaml",), rules=(), grants=BUNDLES)
    services = ConsoleServices(
        authenticator=Authenticator(tokens=StaticTokens(directory / "tokens.csv"), certificates=certificates),
        state=state,
        host_names=HostNames(["localhost", "127.0.0.1"]),
        policy=lambda: known,
        session_of=fake_session,
        admins=Admins(groups=("admins",)),
    )
    settings = msgspec.structs.replace(
        Settings(listen=Listen(console="127.0.0.1:0")), identity=IdentitySettings(token_file="tokens.csv")
    )
    client_ca = Path(certificates.ca_file) if certificates is not None else None
    context = server_context(certificate, client_ca=client_ca)
    with trio.fail_after(deadline_s):
        async with trio.open_nursery() as nursery:
            await nursery.start(state.run)

            async def serve(*, task_status: trio.TaskStatus[int]) -> None:
                await serve_console(settings, services, context, task_status=task_status)

            port = await nursery.start(serve)
            try:
                yield ConsoleRig(port, directory, state, tokens, recorded)
            finally:
                nursery.cancel_scope.cancel()
