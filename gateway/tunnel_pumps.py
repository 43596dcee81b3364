"""Both directions of a tunnel. Events are screened, recorded, then re-encoded for the other side.

What the guard hides is hidden in the record and for the client alike; what it does not let through never reaches the
cluster. The trap: whatever is in a leg's machine goes out with the next flush, whoever does it. So an event is given
to the machine only once its record is where it has to be.
"""

from collections import deque
from collections.abc import Awaitable, Iterable
from typing import Final

import trio

from gateway.errors import ClientLeft, Refusal, UpstreamError
from gateway.live import LiveExchange
from gateway.services import Services
from gateway.tape import Tape
from gateway.tunnel_ending import GONE, UNRECORDED, TunnelEnding
from gateway.tunnel_guard import TunnelGuard
from gateway.tunnel_leg import Leg, Lobby
from gateway.tunnel_record import TunnelRecord
from gateway.tunnel_steps import Question, ToClient, ToCluster
from protocol.errors import RemoteProtocolError
from protocol.events import Event, Failed, PeerClosed, Ping, Pong, TunnelClosed
from storage.errors import LogFailed

_ENDS: Final = (Failed, PeerClosed, TunnelClosed)
_OF_ONE_LEG: Final = (Ping, Pong, Failed, PeerClosed)
"""Not for the other side; pings are answered by the machine."""


class Pumps:
    """Two pumps. The first end, whoever causes it, ends the other direction too."""

    def __init__(
        self,
        client: Leg,
        cluster: Leg,
        tape: Tape,
        record: TunnelRecord,
        live: LiveExchange,
        guard: TunnelGuard,
        ending: TunnelEnding,
    ) -> None:
        self._client, self._cluster = client, cluster
        self._tape, self._record, self._live, self._guard = tape, record, live, guard
        self._ending = ending
        self._all_said = False  # by the cluster
        self._is_cluster_over = False  # nothing of the client is recorded any more
        self._is_asking = False  # people; meanwhile another task reads from the client
        ending.cluster, ending.guard = cluster, guard

    async def run(self, services: Services, from_client: list[Event], from_cluster: bytes) -> None:
        """Carry events until one side ends, or the session is cut. from_client: what came while it waited."""
        is_woken = False
        async with trio.open_nursery() as nursery:

            async def pump_client() -> None:
                try:
                    await self._guarded(self._pump_client(from_client), who="client-left")
                except trio.TooSlowError:
                    if not self._is_cluster_over:
                        raise
                if not self._is_cluster_over:
                    nursery.cancel_scope.cancel()

            with services.live.cuttable_within(self._live, nursery.cancel_scope):
                nursery.start_soon(pump_client)
                first = await self._cluster.receive(from_cluster) if from_cluster else []
                await self._guarded(self._pump_cluster(first), who="cluster-left")
                self._is_cluster_over = True
                # Almost always the other pump waits for the client: to wake it there costs less than to cancel it.
                is_woken = not self._is_asking and self._client.stream.interrupt()
                if is_woken and self._all_said:
                    await self._guarded(self._hand_down_the_end(), who="client-left")
                elif not is_woken:
                    nursery.cancel_scope.cancel()
        if self._all_said and not is_woken and not self._live.reason:
            await self._guarded(self._hand_down_the_end(), who="client-left")
        if self._live.reason:
            self._ending.ends("cut", self._live.reason, code=self._live.answer.code)

    # --- from the cluster ---------------------------------------------------------------------------

    async def _pump_cluster(self, events: list[Event]) -> None:
        guard = self._guard
        while True:
            for event in events:
                if isinstance(event, _ENDS):
                    self._all_said = True
                    self._note_end(event, "cluster-left")
                if not isinstance(event, _OF_ONE_LEG):
                    self._record_output(guard.output(event) if guard.looks_at_output else (event,))
            if self._all_said:
                return
            await self._hand_down()
            while (hold_s := guard.hold_s) is not None:
                with trio.move_on_after(hold_s):
                    events = await self._cluster.receive()
                    break
                self._record_output(guard.flush_idle())
                await self._hand_down()
            else:
                events = await self._cluster.receive()

    def _record_output(self, shown: Iterable[Event]) -> None:
        for event in shown:
            self._record.carried(event, from_client=False)
            self._ending.undelivered.append(event)

    async def _hand_down(self) -> None:
        """Wait for what was recorded where that is asked for, and send it."""
        await self._cluster.flush(wait=False)
        if self._record.must_be_durable:
            await self._tape.durable()
            self._record.must_be_durable = False
        if self._tape.lags:
            await self._tape.flow()
        self._ending.deliver()
        await self._client.flush()

    async def _hand_down_the_end(self) -> None:
        """The last that came. The other direction is over, so the Outcome can be written: one sync for both."""
        if self._record.concluded:
            self._ending.write(concluded=True)
        await self._hand_down()

    # --- from the client ----------------------------------------------------------------------------

    async def _pump_client(self, events: list[Event]) -> None:
        guard = self._guard
        while not await self._pass_up(deque(events)):
            while (hold_s := guard.input_hold_s) is not None:
                with trio.move_on_after(hold_s):
                    events = await self._client.receive()
                    break
                if self._is_cluster_over:
                    return
                if (typed := guard.input_idle()) is not None:
                    self._record.carried(typed, from_client=True)
            else:
                events = await self._client.receive()
            if self._is_cluster_over:  # something came just when this task was to be woken
                return

    async def _pass_up(self, events: deque[Event]) -> bool:
        """Screen, record and forward what the client said; True when it was the last."""
        over = False
        ready: list[Event] = []
        while events and not over:
            event = events.popleft()
            if isinstance(event, _ENDS):
                over = True
                self._note_end(event, "client-left")
            if isinstance(event, _OF_ONE_LEG):
                continue
            if not self._guard.looks_at_input:
                self._record.carried(event, from_client=True)
                ready.append(event)
                continue
            for step in self._guard.input(event):
                if isinstance(step, ToCluster):
                    self._take(step, ready)
                elif isinstance(step, ToClient):
                    self._say(step.event)
                else:
                    await self._forward(ready)
                    events.extend(await self._ask(step, ready))
        await self._forward(ready)
        return over

    def _take(self, step: ToCluster, ready: list[Event]) -> None:
        if step.recorded is not None:
            self._record.carried(step.recorded, from_client=True)
        if step.event is not None:
            ready.append(step.event)

    async def _forward(self, ready: list[Event]) -> None:
        await self._client.flush(wait=False)
        if self._tape.lags:
            await self._tape.flow()
        for event in ready:
            self._cluster.machine.send(event)
        ready.clear()
        await self._cluster.flush()

    async def _ask(self, question: Question, ready: list[Event]) -> list[Event]:
        """Have a typed line decided by people, while the client is kept alive; what it sent meanwhile."""
        lobby = Lobby(self._client)
        steps: list[ToCluster | ToClient] = []
        problem: Exception | None = None
        self._is_asking = True
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
        self._is_asking = False
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

    def _note_end(self, event: Event, who: str) -> None:
        if isinstance(event, Failed):
            name = "client" if who == "client-left" else "API server"
            self._ending.ends("failed", f"the {name} broke the stream protocol: {event.error.why}")
        else:
            self._ending.ends(who, "")

    async def _guarded(self, pump: Awaitable[None], *, who: str) -> None:
        """Run a pump; whatever ends it is how the tunnel ended."""
        try:
            await pump
        except GONE:
            self._ending.ends(who, "")
        except LogFailed:
            self._ending.ends("failed", UNRECORDED)
        except Refusal as refusal:
            self._ending.ends("denied", refusal.message, code=refusal.answer.code)
        except (ClientLeft, UpstreamError) as error:
            self._ending.ends("failed", str(error))
        except RemoteProtocolError as error:
            self._ending.ends("failed", f"the API server broke the stream protocol: {error.why}")
