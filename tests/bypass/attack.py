"""What an attack is here: a body that asserts safety, and the gateway it is run against.

One body serves two tests: against the product it must pass, against a build that lacks the one defence it is
about (see `weakened`) it must fail. So a body says with every assertion what would have happened.
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from gateway.config import Settings
from gateway.upstream.request import IdentityMode
from storage.files import REAL_FILES, FileOps
from storage.records import Intent, Outcome
from tests.kit import requestinfo
from tests.kit.gateway_rig import Exchange, Rig, open_rig
from tests.kit.orc import Script
from tests.kit.raw_client import Response

Body = Callable[[Rig], Awaitable[None]]
NOTHING_MORE_S = 0.05
"""How long something that must not come is waited for."""


@dataclass(frozen=True)
class Attack:
    """A body and its scene.

    script, files: made anew for each run. prepare: patches that belong to the scene, not to a weakening
    (an issuer of ours, short timeouts). deadline_s: a body that stands still for so long has failed.
    """

    body: Body
    script: Callable[[], Script] | None = None
    files: Callable[[], FileOps] = lambda: REAL_FILES
    identity: IdentityMode = IdentityMode.SHARED
    change: Callable[[Settings], Settings] = lambda settings: settings
    prepare: Callable[[pytest.MonkeyPatch], None] = lambda patch: None
    deadline_s: float = 5.0

    def under(self, identity: IdentityMode) -> "Attack":
        """The same attack where the API server is told something else about who asks."""
        return replace(self, identity=identity)

    async def against(self, directory: Path) -> None:
        """Run the body against a gateway of its own. Raises AssertionError, bare, if it succeeds."""
        succeeded: AssertionError | None = None
        script = self.script() if self.script else None
        with pytest.MonkeyPatch.context() as patch:
            self.prepare(patch)
            async with open_rig(
                directory, script, files=self.files(), identity=self.identity, change=self.change
            ) as rig:
                with trio.move_on_after(self.deadline_s) as scope:
                    try:
                        await self.body(rig)
                    except* AssertionError as group:
                        succeeded = _first(group)
        if scope.cancelled_caught:
            raise AssertionError(f"the attack stood still for {self.deadline_s} s")
        if succeeded is not None:
            raise succeeded


def attack(**scene: object) -> Callable[[Body], Attack]:
    """Make an Attack of a body. scene: fields of `Attack`."""

    def wrap(body: Body) -> Attack:
        return Attack(body, **scene)  # type: ignore[arg-type]

    return wrap


@dataclass(frozen=True)
class OwnScene:
    """An attack that no rig fits: it sets its own scene, in a directory, and asserts outside of it."""

    run: Callable[[Path], Awaitable[None]]

    async def against(self, directory: Path) -> None:
        await self.run(directory)


def _first(group: BaseExceptionGroup[AssertionError]) -> AssertionError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, AssertionError)
    return error


async def answer_to(rig: Rig, wire: bytes, *, alpn: list[str] | None = None) -> Response | None:
    """What is answered to these bytes; None: nothing, the connection was closed."""
    async with rig.client(alpn) as client:
        try:
            await client.send(wire)
            return await client.response()
        except (EOFError, trio.BrokenResourceError):
            return None


def refused(response: Response | None) -> bool:
    """Whether the gateway said no, or nothing."""
    return response is None or response.status >= 400


async def recorded(rig: Rig) -> list[Exchange]:
    """All exchanges, once none is under way: each begins and ends once, and tells what the cluster saw."""
    await rig.ended()
    exchanges = await rig.exchanges()
    for exchange in exchanges:
        assert len(exchange.all(Intent)) == 1, "the cluster was asked for what no record holds"
        assert len(exchange.all(Outcome)) == 1, "an exchange has no end in the record"
    told = {str(uuid.UUID(bytes=e.intent.exchange)).encode(): e for e in exchanges}
    for request in rig.orc.requests:
        exchange = told.get(request.header(b"audit-id") or b"")
        assert exchange is not None, "the cluster saw a request that no record holds"
        assert exchange.intent.upstream_target == request.target, "record and cluster saw two targets"
        _assert_one_reading(exchange, request.method.decode(), request.target)
    assert rig.orc.failures == [], "the cluster was sent something that is not HTTP"
    return exchanges


def _assert_one_reading(exchange: Exchange, method: str, target: bytes) -> None:
    call = exchange.intent.call
    assert call is not None, "the cluster saw a call that was not understood"
    theirs = requestinfo.read(method, target)
    ours = (call.verb, call.group, call.namespace, call.resource, call.subresource, call.name)
    assert ours == (
        theirs.verb,
        theirs.group,
        theirs.namespace,
        theirs.resource,
        theirs.subresource,
        theirs.name,
    ), "record and cluster read two different calls"
