"""Both directions of a tunnel and their end. Events are screened, recorded, then re-encoded for the other side.

What the guard hides is hidden in the record and for the client alike; what it does not let through never reaches the
cluster. The trap: whatever is in a leg's machine goes out with the next flush, whoever does it. So an event is given
to the machine only once its record is where it has to be.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from gateway.errors import ClientLeft, Refusal, UpstreamError
from gateway.live import LiveExchange
from gateway.services import Services
from gateway.tape import Tape
from gateway.tunnel_guard import TunnelGuard
from gateway.tunnel_leg import Leg, Lobby
from gateway.tunnel_record import TunnelRecord
from gateway.tunnel_steps import Question, ToClient, ToCluster
from protocol.errors import RemoteProtocolError
from protocol.events import Event, Failed, PeerClosed, Ping, Pong, TunnelClosed
from protocol.remotecommand_messages import closing_events
from storage.errors import LogFailed

GOODBYE_S: Final = 2.0
"""How long the last words to a client may take; one that does not read them has lost them."""
UNRECORDED: Final = "this session can no longer be recorded"
KEEPALIVE_S: Final = 30.0
"""Our pings to the API server: a silent session outlives its idle timeout, as it would without us."""
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Pumps:
    """Two pumps and the end of both. The first end, whoever causes it, ends the other direction too."""

    def __init__(
        self,
        client: Leg,
        cluster: Leg | None,
        tape: Tape,
        record: TunnelRecord,
        live: LiveExchange,
        guard: TunnelGuard | None,
    ) -> None:
        """cluster, guard: None for a tunnel that ends before there is a cluster in it: `conclude` only."""
        self._client, self._cluster = client, cluster
        self._tape, self._record, self._live, self._guard = tape, record, live, guard
        self._result, self._why, self._code = "", "", 503
        self._undelivered: list[Event] = []  # of the cluster: recorded, not handed on to the client yet

    async def run(self, services: Services, from_client: list[Event], from_cluster: bytes) -> None:
        """Carry events until one side ends, or the session is cut. from_client: what came while it waited."""
        cluster = self._the_cluster()
        async with trio.open_nursery() as nursery:

            async def pump_client() -> None:
                await self._guarded(self._pump_client, from_client, who="client-left")
                nursery.cancel_scope.cancel()

            async def pump_cluster() -> None:
                first = cluster.machine.receive(from_cluster) if from_cluster else []
                await self._guarded(self._pump_cluster, first, who="cluster-left")
                nursery.cancel_scope.cancel()

            with services.live.cuttable(self._live):
                nursery.start_soon(pump_client)
                nursery.start_soon(self._keep_alive)
                await pump_cluster()
            if self._live.reason:
                self.ends("cut", self._live.reason, code=self._live.answer.code)
            nursery.cancel_scope.cancel()

    def ends(self, result: str, why: str, *, code: int = 503) -> None:
        """The first reason given is the reason. code: HTTP status that says it best."""
        if not self._result:
            self._result, self._why, self._code = result, why, code

    # --- from the cluster ---------------------------------------------------------------------------

    async def _pump_cluster(self, events: list[Event]) -> None:
        cluster, guard = self._the_cluster(), self._the_guard()
        over = False
        while True:
            shown: list[Event] = []
            for event in events:
                over = self._is_end(event, "cluster-left") or over
                if not isinstance(event, Ping | Pong | Failed | PeerClosed):  # pings: answered by the machine
                    shown += guard.output(event)
            await self._hand_down(shown)
            if over:
                return
            while (hold_s := guard.hold_s) is not None:
                with trio.move_on_after(hold_s):
                    events = await cluster.receive()
                    break
                await self._hand_down(guard.flush_idle())
            else:
                events = await cluster.receive()

    async def _hand_down(self, shown: list[Event]) -> None:
        """Record what the client may see, wait where that is asked for, and send it."""
        for event in shown:
            self._record.carried(event, from_client=False)
            self._undelivered.append(event)
        await self._the_cluster().flush(wait=False)
        if self._record.must_be_durable:
            await self._tape.durable()
            self._record.must_be_durable = False
        await self._tape.flow()
        self._deliver()
        await self._client.flush()

    def _deliver(self) -> None:
        """Hand on to the client what was recorded for it, unless the log has failed since: it may have lost that."""
        with suppress(LogFailed):
            self._tape.check()
            for event in self._undelivered:
                self._client.machine.send(event)
        self._undelivered.clear()

    # --- from the client ----------------------------------------------------------------------------

    async def _pump_client(self, events: list[Event]) -> None:
        guard = self._the_guard()
        while not await self._pass_up(deque(events)):
            while (hold_s := guard.input_hold_s) is not None:
                with trio.move_on_after(hold_s):
                    events = await self._client.receive()
                    break
                if (typed := guard.input_idle()) is not None:
                    self._record.carried(typed, from_client=True)
            else:
                events = await self._client.receive()

    def _take(self, step: ToCluster, ready: list[Event]) -> None:
        if step.recorded is not None:
            self._record.carried(step.recorded, from_client=True)
        if step.event is not None:
            ready.append(step.event)

    async def _pass_up(self, events: deque[Event]) -> bool:
        """Screen, record and forward what the client said; True when it was the last."""
        guard, over, ready = self._the_guard(), False, list[Event]()
        while events and not over:
            event = events.popleft()
            if isinstance(event, Ping | Pong):
                continue
            over = self._is_end(event, "client-left")
            if isinstance(event, Failed | PeerClosed):
                continue
            for step in guard.input(event):
                if isinstance(step, ToCluster):
                    self._take(step, ready)
                elif isinstance(step, ToClient):
                    self._record.carried(step.event, from_client=False)
                    self._client.machine.send(step.event)
                else:
                    await self._forward(ready)
                    events.extend(await self._ask(step, ready))
        await self._forward(ready)
        return over

    async def _forward(self, ready: list[Event]) -> None:
        await self._client.flush(wait=False)
        await self._tape.flow()
        cluster = self._the_cluster()
        for event in ready:
            cluster.machine.send(event)
        ready.clear()
        await cluster.flush()

    async def _ask(self, question: Question, ready: list[Event]) -> list[Event]:
        """Have a typed line decided by people, while the client is kept alive; what it sent meanwhile."""
        lobby = Lobby(self._client)
        steps: list[ToCluster | ToClient] = []
        problem: Exception | None = None
        async with trio.open_nursery() as nursery:

            def tell(event: Event) -> None:
                self._say(event)
                nursery.start_soon(lobby.flush)

            nursery.start_soon(lobby.run)
            try:
                steps = await question.decide(lobby.left.wait, tell)
            except Exception as error:
                problem = error
            nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem
        for step in steps:
            if isinstance(step, ToCluster):
                self._take(step, ready)
            else:
                self._say(step.event)
        return lobby.events

    def _say(self, event: Event) -> None:
        """A line of ours for the client, recorded like any other."""
        self._record.carried(event, from_client=False)
        self._client.machine.send(event)

    # --- the end ------------------------------------------------------------------------------------

    def _is_end(self, event: Event, who: str) -> bool:
        if isinstance(event, Failed):
            name = "client" if who == "client-left" else "API server"
            self.ends("failed", f"the {name} broke the stream protocol: {event.error.why}")
        elif isinstance(event, PeerClosed | TunnelClosed):
            self.ends(who, "")
        return isinstance(event, Failed | PeerClosed | TunnelClosed)

    async def _guarded(
        self, pump: Callable[[list[Event]], Awaitable[None]], events: list[Event], *, who: str
    ) -> None:
        """Run a pump; whatever ends it is how the tunnel ended."""
        try:
            await pump(events)
        except _GONE:
            self.ends(who, "")
        except LogFailed:
            self.ends("failed", UNRECORDED)
        except Refusal as refusal:
            self.ends("denied", refusal.message, code=refusal.answer.code)
        except (ClientLeft, UpstreamError) as error:
            self.ends("failed", str(error))
        except RemoteProtocolError as error:
            self.ends("failed", f"the API server broke the stream protocol: {error.why}")

    async def conclude(self, protocol: str) -> None:
        """Say goodbye on both sides, in their protocol, after the outcome is in the log."""
        with suppress(LogFailed):
            if self._guard is not None and (typed := self._guard.finish_input()) is not None:
                self._record.carried(typed, from_client=True)
            for event in self._guard.finish() if self._guard else ():
                self._record.carried(event, from_client=False)
                self._undelivered.append(event)
        concluded = self._record.concluded  # by the cluster; a farewell says nothing of how the command ended
        with trio.move_on_after(GOODBYE_S) as scope:
            scope.shield = True
            if not concluded:
                self._deliver()
                if self._result != "client-left":
                    self._say_farewell(self._why or "the connection to the API server was lost", protocol)
            is_durable = await self._end_record(concluded)
            if self._undelivered and not is_durable:
                self._undelivered.clear()  # a result that may not survive is not given
                self._say_farewell(UNRECORDED, protocol)
            self._deliver()
            for leg in (self._client, self._cluster):
                try:
                    if leg is not None:
                        await leg.flush()
                except _GONE:
                    continue  # that side is gone already

    def _say_farewell(self, why: str, protocol: str) -> None:
        record = self._record
        farewell = closing_events(
            record.kind,
            record.tty,
            why if why.startswith("kubetape") else f"kubetape: {why}",
            protocol=protocol,
            code=self._code,
            connections=record.open_connections(),
        )
        for event in farewell:
            with suppress(LogFailed):  # the words that say so are the one thing that cannot be recorded
                record.carried(event, from_client=False)
            self._client.machine.send(event)

    async def _end_record(self, concluded: bool) -> bool:
        """Write how it ended; whether that, and all before it, survives a power cut."""
        result = self._result or "cut"
        if concluded and result in ("client-left", "cluster-left"):
            result = "completed"
        elif result == "cluster-left":
            result = "completed" if self._record.kind == "portforward" else "failed"
        try:
            if self._guard is not None:
                self._guard.note()
            self._record.ended(by=self._ended_by(result), why=self._why)
            self._tape.end(result, self._why, urgent=True)
            await self._tape.durable()
        except LogFailed:
            return False
        return True

    def _ended_by(self, result: str) -> str:
        if result in ("cut", "failed", "denied") and self._why:
            return "gateway"
        return "client" if self._result == "client-left" else "cluster"

    async def _keep_alive(self) -> None:
        cluster = self._the_cluster()
        try:
            while True:
                await trio.sleep(KEEPALIVE_S)
                cluster.machine.send(Ping())
                await cluster.flush(wait=False)
        except _GONE:
            return  # the pump sees the end as well

    def _the_guard(self) -> TunnelGuard:
        assert self._guard is not None
        return self._guard

    def _the_cluster(self) -> Leg:
        assert self._cluster is not None
        return self._cluster
