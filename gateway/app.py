"""The only place where long-lived objects are made and meet.

`open_gateway` is a whole gateway in this process (its keeper apart). `open_parts` and `run_parts` are what every
process of a gateway has, whether it is the only one, a worker or the control process (docs/decisions/0014): a record
of its own, the policy in force, its view of the shared state. They are taken down in the reverse order: clients
first, the log last.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from gateway import exchange, heartbeat, journal
from gateway.announcement import Announcement, say_what_decides
from gateway.config import Settings, parse_address
from gateway.console.context import ConsoleServices
from gateway.console.serve import effective_admins, serve_console
from gateway.data_path import DataPath
from gateway.decision_parts import DecisionParts, load_policy, open_decision_parts
from gateway.first_user import ensure_token
from gateway.health import figures, ready_checks
from gateway.keeper import Keeper
from gateway.keeper_messages import Orders
from gateway.live import Live
from gateway.metrics import Metrics
from gateway.notify.running import notify_people
from gateway.policy_in_force import PolicyInForce
from gateway.preparation import Preparation, prepare
from gateway.record_opening import OpenRecord, gateway_id, open_record
from gateway.recorder import Recorder
from gateway.server.listening import open_listeners
from gateway.server.management import Check, serve_management
from gateway.services import Services
from gateway.sessions import Sessions
from gateway.shutdown import GOING_DOWN, Shutdown
from gateway.start_lock import only_gateway
from gateway.upstream.pool import Pool
from storage.encryption.keys import DataKey
from storage.errors import LogFailed
from storage.records import LogStopped


class Part(NamedTuple):
    """What tells one process of a gateway from the others.

    log: number of the log it writes. tell_key, accept_loss: see `open_record`. sessions: where it looks them up; None:
    it is the only one.
    """

    log: int = 0
    tell_key: Callable[[DataKey], None] = lambda _: None
    accept_loss: str = ""
    sessions: Sessions | None = None


class Gateway:
    """The running parts of one process; in the only process of a gateway: where it listens, and how to end it."""

    def __init__(
        self, preparation: Preparation, record: OpenRecord, services: Services, data: DataPath
    ) -> None:
        self.preparation = preparation
        self.settings = preparation.settings
        self.data_dir = preparation.data_dir
        self.record = record
        self.recorder = record.recorder
        self.services = services
        self.data = data
        self.listener = data.listener
        self.management_port = 0
        self.console_port = 0
        self.first_token = ""  # of observe mode's one user
        self.kubeconfig: Path | None = None
        self.shutdown = Shutdown(self.settings.listen.shutdown_delay_seconds)
        self.ended = trio.Event()  # log closed, and the keeper is done with it

    @property
    def port(self) -> int:
        return self.listener.port

    def start_drain(self) -> None:
        """Begin an orderly end; `open_gateway` returns when it is done."""
        self.shutdown.begin_at_once()

    def restart(self) -> None:
        """Replace one process after the other: there is only this one."""
        journal.problem("restart", "one process cannot be replaced under its clients: start with --workers 2")

    def announcement(self) -> Announcement:
        """What to tell the person who started it."""
        return Announcement(
            self.settings,
            self.preparation.upstream,
            self.port,
            self.management_port,
            self.console_port,
            (self.record.log_key,),
            say_what_decides(self.services.policy, self.settings.policy.origin),
            self.kubeconfig,
        )

    def console_services(self) -> ConsoleServices:
        """What the management API meets."""
        services = self.services
        return ConsoleServices(
            authenticator=services.authenticator,
            state=services.state,
            host_names=services.host_names,
            policy=lambda: services.policy.current,
            session_of=services.sessions.open_session,
            admins=effective_admins(self.settings),
        )


class OpenParts(NamedTuple):
    """What is open before anything runs."""

    preparation: Preparation
    policy: PolicyInForce
    record: OpenRecord
    sessions: Sessions


async def open_parts(preparation: Preparation, part: Part) -> OpenParts:
    """Load the policy and open the log. Raises what these do: nothing has been started then."""
    policy = await load_policy(preparation.settings)
    record = open_record(
        preparation.settings,
        preparation.data_dir,
        policy,
        upstream=preparation.upstream,
        number=part.log,
        tell_key=part.tell_key,
        accept_loss=part.accept_loss,
    )
    return OpenParts(preparation, policy, record, part.sessions or Sessions())


async def run_parts(
    parts: OpenParts, serve: Callable[[Gateway, trio.Nursery], Awaitable[None]]
) -> LogFailed | None:
    """Run what decides and records, and `serve` on top of it; end all of it in order when `serve` returns.

    serve: starts its tasks in the nursery, and returns when this process has told its clients goodbye. Returns what
    went wrong with the log, for others still have to end.
    """
    preparation, policy, record = parts.preparation, parts.policy, parts.record
    pool = Pool(preparation.cluster)
    failure: LogFailed | None = None
    try:
        async with trio.open_nursery() as nursery:
            live = Live()
            deciding = open_decision_parts(
                preparation.settings,
                preparation.data_dir,
                gateway_id(preparation.data_dir),
                policy,
                record.recorder,
                live,
            )
            services = _services(parts, deciding, live, pool)
            data = DataPath(preparation.settings, services, preparation.context)
            gateway = Gateway(preparation, record, services, data)
            await deciding.start(nursery)
            await nursery.start(services.authenticator.run)
            nursery.start_soon(heartbeat.beat, gateway.recorder)
            nursery.start_soon(_end_streams_when_recording_fails, gateway)
            await serve(gateway, nursery)
            nursery.cancel_scope.cancel()
    finally:
        pool.close()
        failure = await _close(record.recorder)
    return failure


def _services(parts: OpenParts, deciding: DecisionParts, live: Live, pool: Pool) -> Services:
    preparation, settings = parts.preparation, parts.preparation.settings
    return Services(
        authenticator=preparation.authenticator(),
        recorder=parts.record.recorder,
        sessions=parts.sessions,
        live=live,
        pool=pool,
        identity_mode=settings.cluster.identity,
        durability=settings.record.durability,
        host_names=preparation.host_names(),
        policy=deciding.policy,
        state=deciding.state,
        revocations=deciding.revocations,
        budgets=deciding.budgets,
        counts=deciding.counts,
        patience_s=settings.patience_seconds,
    )


async def _close(recorder: Recorder) -> LogFailed | None:
    """End the log in order; what went wrong is returned, for the keeper still has to end."""
    with suppress(LogFailed):  # it has been reported
        recorder.append(LogStopped(time.time_ns(), "drained"), urgent=True)
    try:
        await recorder.close()
    except LogFailed as failure:
        return failure
    return None


async def _end_streams_when_recording_fails(gateway: Gateway) -> None:
    await gateway.recorder.failed.wait()
    journal.problem(
        "recording", f"recording failed, every call is refused from now on: {gateway.recorder.failure}"
    )
    gateway.services.live.cut_all(exchange.UNRECORDED_STREAM)


# --- a whole gateway in one process ------------------------------------------------------------------


async def open_gateway(
    settings: Settings,
    *,
    accept_loss: str = "",
    task_status: trio.TaskStatus[Gateway] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until drained. accept_loss: see `open_record`. Raises BadConfig and friends before anything is
    started."""
    preparation = prepare(settings)
    with only_gateway(preparation.data_dir):
        await _open_only_process(preparation, accept_loss, task_status)


async def _open_only_process(
    preparation: Preparation, accept_loss: str, task_status: trio.TaskStatus[Gateway]
) -> None:
    settings = preparation.settings
    first_token = "" if settings.has_identity else ensure_token(preparation.data_dir)
    keeper = Keeper(Orders(str(preparation.data_dir), gateway_id(preparation.data_dir), settings))
    parts = await open_parts(preparation, Part(0, keeper.tell_key_from_thread, accept_loss))
    ended = trio.Event()

    async def serve(gateway: Gateway, nursery: trio.Nursery) -> None:
        gateway.first_token, gateway.ended = first_token, ended
        await nursery.start(notify_people, settings, gateway.services.state)
        await _start(gateway, nursery, keeper)
        task_status.started(gateway)
        await gateway.shutdown.draining.wait()
        await gateway.data.drain(accepting=True)
        await gateway.data.end(GOING_DOWN)

    # The keeper outlives the log, and brings everything made of it to its end.
    async with trio.open_nursery() as keeping:
        keeping.start_soon(keeper.run)
        failure = await run_parts(parts, serve)
        keeper.stop()
    ended.set()
    if failure is not None:
        raise failure


async def _start(gateway: Gateway, nursery: trio.Nursery, keeper: Keeper) -> None:
    services, settings = gateway.services, gateway.settings
    host, port = parse_address(settings.listen.data)
    await gateway.data.start(nursery, await open_listeners(host, port, option="--listen"))
    management_host, management_port = parse_address(settings.listen.management)
    gateway.management_port = await nursery.start(
        partial(
            serve_management,
            management_host,
            management_port,
            live=[("loop", lambda: "")],  # answering at all is the check
            ready=_ready_checks(gateway),
            metrics=Metrics(
                partial(figures, gateway.record, services),
                keeper.report,
                lambda: services.counts,
            ).text,
        )
    )
    if settings.console_address:
        serve = partial(serve_console, settings, gateway.console_services(), gateway.preparation.context)
        gateway.console_port = await nursery.start(serve)
    gateway.kubeconfig = gateway.preparation.write_kubeconfig(
        gateway.first_token, gateway.port, gateway.console_port
    )


def _ready_checks(gateway: Gateway) -> list[Check]:
    return [*ready_checks(gateway.record, gateway.services), ("shutdown", gateway.shutdown.problem)]
