"""A gateway of several processes: what its supervisor holds and starts, and how it ends. docs/decisions/0014.

    supervisor     binds the ports, keeps them open, starts the others again, answers probes, hands keys to the keeper
      worker-0..   the data path, each on a socket and a log of its own
      control      management API, approvals, notices, on a log of its own
      keeper       index, tree, export, retention; reads all logs

The supervisor serves no call and writes no record: it has next to nothing to fail with.
"""

import socket
from functools import partial
from pathlib import Path

import trio

from gateway import journal
from gateway.announcement import Announcement
from gateway.child import Child
from gateway.config import BadConfig, Settings, parse_address
from gateway.console.serve import check_console
from gateway.decision_counts import DecisionCounts
from gateway.errors import GatewayError
from gateway.first_user import ensure_token
from gateway.fleet_report import joined_checks, joined_figures
from gateway.keeper import Keeper
from gateway.keeper_messages import Orders
from gateway.metrics import Metrics, ProcessFigures
from gateway.preparation import Preparation, prepare
from gateway.process_messages import CONTROL, WORKER, WorkerOrders, WorkerStatus, add_counts, pack_counts
from gateway.record_opening import gateway_id
from gateway.server.management import Check, serve_management
from gateway.shared_ports import bind_shared
from gateway.shutdown import GOING_DOWN, Shutdown
from gateway.slot import Slot
from gateway.start_lock import only_gateway
from storage.sources import LOCK_NAME, LOG_DIRECTORY, is_locked


class CannotStart(GatewayError):
    """A process of the gateway did not start; its own words say why."""


class Fleet:
    """The running whole. `open_fleet` makes and runs it."""

    def __init__(self, preparation: Preparation, keeper: Keeper, accept_loss: str) -> None:
        self.preparation, self.settings = preparation, preparation.settings
        self.keeper = keeper
        self._accept_loss = accept_loss  # for the first start only
        self.slots: list[Slot] = []
        self._sockets: dict[str, list[socket.socket]] = {}
        self._children: list[Child] = []  # those that may still live
        self._counted_before = DecisionCounts()  # by processes that have ended
        self.port = self.management_port = self.console_port = 0
        self.kubeconfig: Path | None = None
        self.shutdown = Shutdown(self.settings.listen.shutdown_delay_seconds)
        self._restart = trio.Event()

    # --- what it is told ----------------------------------------------------------------------------

    def start_drain(self) -> None:
        """Begin an orderly end; `open_fleet` returns when it is done."""
        self.shutdown.begin_at_once()

    def restart(self) -> None:
        """Replace one process after the other."""
        self._restart.set()

    def announcement(self) -> Announcement:
        """What to tell the person who started it."""
        started = [child.started for child in self._living() if child.started is not None]
        return Announcement(
            self.settings,
            self.preparation.upstream,
            self.port,
            self.management_port,
            self.console_port,
            tuple(one.log_key for one in started),
            started[0].policy,
            self.kubeconfig,
            f"{len(self.slots) - 1} workers, a control process and a keeper, each started again if it dies",
        )

    # --- its processes ------------------------------------------------------------------------------

    def bind(self, workers: int) -> None:
        """Open the ports and make a slot for every process. Raises CannotListen, BadConfig."""
        host, port = parse_address(self.settings.listen.data)
        sets = bind_shared(host, port, workers, option="--listen")
        self.port = sets[0][0].getsockname()[1]
        for number, sockets in enumerate(sets):
            self._add_slot(WORKER, f"{WORKER}-{number}", sockets)
        console: list[socket.socket] = []
        if self.settings.console_address:
            check_console(self.settings)
            console_host, console_port = parse_address(self.settings.console_address)
            (console,) = bind_shared(console_host, console_port, 1, option="--console-listen")
            self.console_port = console[0].getsockname()[1]
        self._add_slot(CONTROL, CONTROL, console)

    def close(self) -> None:
        for sockets in self._sockets.values():
            for one in sockets:
                one.close()

    def _add_slot(self, role: str, name: str, sockets: list[socket.socket]) -> None:
        self._sockets[name] = sockets
        self.slots.append(Slot(name, partial(self._make_child, role, name), self.settings.drain_seconds))

    def _make_child(self, role: str, name: str) -> Child:
        descriptors = [one.fileno() for one in self._sockets[name]]
        orders = WorkerOrders(role, name, self._free_log(), descriptors, self.settings, self._accept_loss)
        child = Child(orders, self.keeper.tell_key)
        self._children.append(child)
        return child

    def _free_log(self) -> int:
        """The lowest number of a log that nobody writes: no child of ours, and none that an earlier supervisor left."""
        used = {child.orders.log for child in self._living()}
        logs = self.preparation.data_dir / LOG_DIRECTORY
        number = 0
        while number in used or is_locked(logs / str(number) / LOCK_NAME):
            number += 1
        return number

    def _living(self) -> list[Child]:
        for child in self._children:
            if child.ended.is_set():
                add_counts(self._counted_before, child.status.counts)
        self._children = [child for child in self._children if not child.ended.is_set()]
        return self._children

    # --- its life -----------------------------------------------------------------------------------

    async def run(
        self, first_token: str, keeping: trio.Nursery, task_status: "trio.TaskStatus[Fleet]"
    ) -> None:
        """From the first start to the end of the last worker. keeping: where the keeper runs."""
        async with trio.open_nursery() as nursery:
            for slot in self.slots:
                slot.fill()  # in this order: the first worker writes log 0
            for slot in self.slots:
                nursery.start_soon(slot.run)
            for slot in self.slots:
                await slot.first_decided.wait()
            self._check_started()
            self._accept_loss = ""
            keeping.start_soon(self.keeper.run)  # the keys it reads with are there now
            await self._serve_management(nursery)
            self.kubeconfig = self.preparation.write_kubeconfig(first_token, self.port, self.console_port)
            nursery.start_soon(self._replace_all)
            task_status.started(self)
            await self.shutdown.draining.wait()
            await self._end()
            nursery.cancel_scope.cancel()

    def _check_started(self) -> None:
        for slot in self.slots:
            if slot.is_ready:
                continue
            failure = slot.first_failure
            if failure is None:
                raise CannotStart(f"{slot.name} ended before it served; its last words are above")
            raise BadConfig(failure.problem) if failure.is_config else CannotStart(failure.problem)

    async def _end(self) -> None:
        """Clients first; then those who decide. Ports stay open and served until no worker has anything to do."""
        *workers, control = self.slots
        async with trio.open_nursery() as draining:
            for slot in workers:
                draining.start_soon(slot.drain, GOING_DOWN)
        for group in (workers, [control]):
            async with trio.open_nursery() as finishing:
                for slot in group:
                    finishing.start_soon(slot.finish)

    async def _replace_all(self) -> None:
        """Slot by slot, whenever somebody asks for it."""
        while True:
            await self._restart.wait()
            self._restart = trio.Event()
            journal.note("restart", "replacing one process after the other")
            done = [slot.name for slot in self.slots if await slot.replace()]
            self.keeper.renew()
            journal.note("restart", f"replaced: {', '.join(done) or 'none'}")

    async def _serve_management(self, nursery: trio.Nursery) -> None:
        host, port = parse_address(self.settings.listen.management)
        metrics = Metrics(self._figures, self.keeper.report, self._counts, self._processes)
        serve = partial(
            serve_management,
            host,
            port,
            live=[("loop", lambda: "")],  # answering at all is the check
            ready=self._ready_checks(),
            metrics=metrics.text,
        )
        self.management_port = await nursery.start(serve)

    # --- how it is ----------------------------------------------------------------------------------

    def _statuses(self) -> dict[str, WorkerStatus]:
        return {child.name: child.status for child in self._living() if child.started is not None}

    def _ready_checks(self) -> list[Check]:
        names = joined_checks(self._statuses())
        return [
            *((slot.name, slot.problem) for slot in self.slots),
            *((name, partial(self._joined_check, name)) for name in names),
            ("shutdown", self.shutdown.problem),
        ]

    def _joined_check(self, name: str) -> str:
        return joined_checks(self._statuses()).get(name, "")

    def _figures(self) -> dict[str, float]:
        return joined_figures(self._statuses().values())

    def _counts(self) -> DecisionCounts:
        total = DecisionCounts()
        living = self._living()
        for counts in (pack_counts(self._counted_before), *(child.status.counts for child in living)):
            add_counts(total, counts)
        return total

    def _processes(self) -> list[ProcessFigures]:
        return [
            ProcessFigures(
                slot.name,
                not slot.problem(),
                slot.restarts,
                slot.child.status.figures.get("kubetape_calls_active", 0.0) if slot.child else 0.0,
            )
            for slot in self.slots
        ]


async def open_fleet(
    settings: Settings,
    workers: int,
    *,
    accept_loss: str = "",
    task_status: trio.TaskStatus[Fleet] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until drained, with so many workers. accept_loss: see `open_record`. Raises BadConfig and friends."""
    preparation = prepare(settings)
    with only_gateway(preparation.data_dir):
        first_token = "" if settings.has_identity else ensure_token(preparation.data_dir)
        keeper = Keeper(Orders(str(preparation.data_dir), gateway_id(preparation.data_dir), settings))
        fleet = Fleet(preparation, keeper, accept_loss)
        fleet.bind(workers)
        try:
            async with trio.open_nursery() as keeping:  # the keeper outlives all logs
                await fleet.run(first_token, keeping, task_status)
                keeper.stop()
        finally:
            fleet.close()
