"""A whole gateway in this process, in front of the oracle, with raw clients and all records to look at."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from gateway import app, record_opening
from gateway.app import Gateway, open_gateway
from gateway.config import Cluster, KubeconfigSource, Listen, Record, Settings
from gateway.durability import Durability
from gateway.keeper_messages import KeeperStatus, Orders
from gateway.keys.opening import open_key_ring
from gateway.recorder import Recorder
from gateway.upstream.request import IdentityMode
from protocol.events import Headers
from storage.encryption.keys import DataKey
from storage.errors import LogFailed
from storage.files import REAL_FILES, FileOps
from storage.reader import iter_records
from storage.records import (
    ChannelChunk,
    Intent,
    Outcome,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    UnknownRecord,
    decode_record,
)
from tests.kit.orc import Orc, Script, open_orc
from tests.kit.raw_client import RawClient, Response, client_context, open_client

DEADLINE_S = 20.0
R = TypeVar("R")


@dataclass
class Exchange:
    """All records of one exchange, in order."""

    records: list[object] = field(default_factory=list)

    def all(self, kind: type[R]) -> list[R]:
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def intent(self) -> Intent:
        (intent,) = self.all(Intent)
        return intent

    @property
    def outcome(self) -> Outcome:
        (outcome,) = self.all(Outcome)
        return outcome

    @property
    def request_body(self) -> bytes:
        return b"".join(record.data for record in self.all(RequestBody))

    @property
    def response_body(self) -> bytes:
        return b"".join(record.data for record in self.all(ResponseBody))

    @property
    def response_headers(self) -> Headers:
        (started,) = self.all(ResponseStarted)
        return started.headers

    def channel(self, channel: int, *, from_client: bool) -> bytes:
        chunks = self.all(ChannelChunk)
        return b"".join(c.data for c in chunks if c.channel == channel and c.from_client is from_client)


@dataclass
class Rig:
    """orc, gateway and what is needed to talk to the gateway as its first user."""

    orc: Orc
    gateway: Gateway
    directory: Path
    cancel: Callable[[], None] = lambda: None  # stops the gateway as a second signal does
    files: FileOps = REAL_FILES  # what the log is written through

    @property
    def token(self) -> bytes:
        return self.gateway.first_token.encode()

    @property
    def host(self) -> bytes:
        return b"127.0.0.1:%d" % self.gateway.port

    def request(
        self, method: bytes, target: bytes, *fields: bytes, body: bytes = b"", token: bytes | None = None
    ) -> bytes:
        """An HTTP/1.1 request with Host and, unless token is b"", Authorization."""
        head = [method + b" " + target + b" HTTP/1.1", b"Host: " + self.host]
        if token != b"":
            head.append(b"Authorization: Bearer " + (token or self.token))
        if body:
            head.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join([*head, *fields, b"", b""]) + body

    def context(self, alpn: list[str] | None = None) -> ssl.SSLContext:
        return client_context(self.gateway.data_dir / "tls" / "ca.crt", alpn)

    def client(self, alpn: list[str] | None = None) -> AbstractAsyncContextManager[RawClient]:
        return open_client(self.gateway.port, self.context(alpn))

    async def ask(self, method: bytes, target: bytes, *fields: bytes, body: bytes = b"") -> Response:
        """One request on a connection of its own."""
        async with self.client() as client:
            request = self.request(method, target, *fields, body=body)
            return await client.ask(request, to_head=method == b"HEAD")

    async def written(self) -> list[object]:
        """All records there are now, after a sync."""
        recorder = self.gateway.recorder
        if recorder.failure is None and recorder.pending_bytes:
            while recorder.pending_bytes:
                await trio.sleep(0.005)
        return read_log(self.gateway.data_dir)

    async def exchanges(self) -> list[Exchange]:
        """In the order of their Intents."""
        return exchanges_of(await self.written())

    async def exchange(self) -> Exchange:
        """The only one."""
        (exchange,) = await self.exchanges()
        return exchange

    def left(self) -> list[Exchange]:
        """The exchanges in the log of a gateway that is gone."""
        return exchanges_of(read_log(self.gateway.data_dir))

    async def ended(self, condition: Callable[[], object] | None = None) -> None:
        """Until no exchange is under way (or the condition holds)."""
        if condition is None:
            await self.gateway.services.live.wait_none()
            return
        while not condition():
            await trio.sleep(0.002)


def read_log(data_dir: Path) -> list[object]:
    keys = open_key_ring(data_dir, [], use_kms=False)
    records: list[object] = [decode_record(raw) for _, raw in iter_records(data_dir / "log" / "0", keys=keys)]
    assert not any(isinstance(record, UnknownRecord) for record in records)
    return records


def exchanges_of(records: list[object]) -> list[Exchange]:
    found: dict[bytes, Exchange] = {}
    for record in records:
        exchange = getattr(record, "exchange", b"")
        if exchange:
            found.setdefault(exchange, Exchange()).records.append(record)
    return list(found.values())


class NoKeeper:
    """Instead of the keeper process, which costs half a second of a core to start."""

    problem = ""
    status = KeeperStatus()

    def __init__(self, orders: Orders) -> None:
        self._stopped = trio.Event()

    async def run(self) -> None:
        await self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()

    def tell_key_from_thread(self, data_key: DataKey) -> None:
        pass

    def report(self) -> tuple[KeeperStatus, float]:
        return self.status, 0.0


def rig_settings(kubeconfig: Path, directory: Path, **record: object) -> Settings:
    return Settings(
        listen=Listen(data="127.0.0.1:0", management="127.0.0.1:0", console="127.0.0.1:0"),
        clusters=[Cluster(name="orc", kubeconfig=KubeconfigSource(str(kubeconfig)))],
        record=Record(dir=str(directory), **record),  # type: ignore[arg-type]
        drain_seconds=1,
    )


@asynccontextmanager
async def open_rig(
    directory: Path,
    script: Script | None = None,
    *,
    files: FileOps = REAL_FILES,
    durability: Durability = Durability.BALANCED,
    identity: IdentityMode = IdentityMode.SHARED,
    orc: Orc | None = None,
    kubeconfig: Path | None = None,
    keeper: bool = False,
    change: Callable[[Settings], Settings] = lambda settings: settings,
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[Rig]:
    """Orc, gateway, and a deadline for the whole test. files: what the log is written through."""
    directory.mkdir(exist_ok=True)
    data_dir = directory / "data"
    with trio.fail_after(deadline_s), pytest.MonkeyPatch.context() as patch:
        if not keeper:
            patch.setattr(app, "Keeper", NoKeeper)
        patch.setattr(record_opening, "Recorder", partial(Recorder, files=files))
        async with open_orc(script) as own_orc, trio.open_nursery() as nursery:
            orc = orc or own_orc
            kubeconfig = kubeconfig or orc.write_kubeconfig(directory / "upstream.kubeconfig")
            settings = rig_settings(kubeconfig, data_dir, durability=durability)
            if identity is not IdentityMode.SHARED:
                (cluster,) = settings.clusters
                settings = _replace(settings, clusters=[_replace(cluster, identity=identity)])
            scope = trio.CancelScope()

            async def run(*, task_status: trio.TaskStatus[Gateway]) -> None:
                with scope, suppress(LogFailed):  # a failed log is said once more at the end
                    await open_gateway(change(settings), task_status=task_status)

            gateway: Gateway = await nursery.start(run)
            try:
                yield Rig(orc, gateway, directory, scope.cancel, files)
            finally:
                nursery.cancel_scope.cancel()


def _replace(struct: R, **changes: object) -> R:
    import msgspec

    return msgspec.structs.replace(struct, **changes)  # type: ignore[type-var]
