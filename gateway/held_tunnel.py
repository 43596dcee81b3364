"""An exec or attach that waits for people: answered at once, so that its user sees why nothing happens.

The 101 goes out before the API server is asked. Until the decision the client is kept alive and what it sends is kept;
then the API server is dialled, and everything goes on as in any tunnel. A refusal, of people or of the API server,
travels as the result of the command, because after a 101 there is no status code any more.

The trap is the protocol: it was agreed with the client before the API server was asked, which may not speak it (no
WebSocket before 1.29). Then it is asked again over SPDY and the two are bridged.
"""

from contextlib import AsyncExitStack

import trio

from gateway.admission import Admitted
from gateway.budgets.account import Account
from gateway.errors import CUT, ClientLeft, Refusal, UpstreamError
from gateway.gate import passed
from gateway.holds import notice
from gateway.live import LiveExchange
from gateway.policy.model import Action
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.state.hold_state import HoldState
from gateway.tape import Tape
from gateway.tunnel_dial import dial
from gateway.tunnel_ending import UNRECORDED, TunnelEnding
from gateway.tunnel_leg import ClusterLeg, Leg, Lobby
from gateway.tunnel_opening import answer_client, open_guard
from gateway.tunnel_pumps import Pumps
from gateway.tunnel_record import TunnelRecord
from gateway.waiting import Waiting
from protocol.apicall import Call
from protocol.events import Channel, ChannelAccepted, ChannelData, ChannelOpened, Event
from storage.errors import LogFailed


def waits_inside(admitted: Admitted) -> bool:
    """Whether this call waits behind its own 101. A port-forward has nowhere to say so: its request waits."""
    return admitted.verdict.action is Action.HOLD and admitted.call.stream_kind in ("exec", "attach")


async def serve(
    request: ClientRequest, tape: Tape, services: Services, live: LiveExchange, admitted: Admitted
) -> None:
    """Answer, wait, dial, carry; or say why not."""
    assert admitted.upgrade is not None
    offered = admitted.upgrade.protocols
    protocol = offered[0] if offered else ""
    opened = await answer_client(request, tape, admitted, protocol)
    session = _Held(request, tape, services, live, admitted, opened.client, opened.record)
    try:
        await session.run(opened.leftover, protocol)
    finally:
        await session.conclude(protocol)


class _Held:
    """One held command, from its 101 on."""

    def __init__(
        self,
        request: ClientRequest,
        tape: Tape,
        services: Services,
        live: LiveExchange,
        admitted: Admitted,
        client: Leg,
        record: TunnelRecord,
    ) -> None:
        self._request, self._tape, self._services, self._live = request, tape, services, live
        self._admitted, self._client, self._record = admitted, client, record
        self._ending = TunnelEnding(client, tape, record)
        self._room = WaitingRoom(client, record, admitted.call)
        self._why: tuple[str, str, int] = ("cut", "the gateway stopped", CUT.code)

    async def run(self, leftover: bytes, protocol: str) -> None:
        """Until the command is over. Raises nothing that its user should be told: `conclude` says it."""
        async with AsyncExitStack() as stack:
            account = await self._wait(stack, leftover)
            if account is None:
                return
            try:
                dialled = await dial(self._request, self._tape, self._services, self._admitted, protocol)
            except Refusal as refusal:
                self._why = (refusal.answer.result, refusal.message, refusal.answer.code)
                return
            except UpstreamError as error:
                self._why = ("failed", str(error), 502)
                return
            stack.callback(dialled.connection.close)
            guard = open_guard(self._admitted, self._tape, self._services, self._live, account, self._request)
            cluster = ClusterLeg(dialled.connection, dialled.machine)
            pumps = Pumps(self._client, cluster, self._tape, self._record, self._live, guard, self._ending)
            await pumps.run(self._services, self._room.events, dialled.leftover)

    async def _wait(self, stack: AsyncExitStack, leftover: bytes) -> Account | None:
        """The account of the call once it may go ahead; None: it may not."""
        account: Account | None = None
        head = self._request.head
        waiting = Waiting(
            head,
            self._room.left.wait,
            self._tape,
            self._services,
            self._live,
            self._admitted,
            self._admitted.terms,
        )
        with self._services.live.cuttable(self._live):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._room.run, leftover)
                nursery.start_soon(self._room.speak)
                try:
                    account = stack.enter_context(await passed(waiting, on_open=self._room.tell))
                except Refusal as refusal:
                    self._why = (refusal.answer.result, refusal.message, refusal.answer.code)
                except ClientLeft:
                    self._why = ("client-left", "", CUT.code)
                except LogFailed:
                    self._why = ("failed", UNRECORDED, CUT.code)
                nursery.cancel_scope.cancel()
        if self._live.reason:
            self._why = ("cut", self._live.reason, self._live.answer.code)
            return None
        return account

    async def conclude(self, protocol: str) -> None:
        """The end of the tunnel, or the reason why there was none."""
        if self._ending.cluster is None:
            result, why, code = self._why
            self._ending.ends(result, why, code=code)
        await self._ending.conclude(protocol)


class WaitingRoom(Lobby):
    """A lobby whose client is told what it waits for, where its protocol has room for that: on stderr, on a terminal's
    only output, never on the stdout of a pipe. Over SPDY nothing is written before the client opened the channel."""

    def __init__(self, leg: Leg, record: TunnelRecord, call: Call) -> None:
        super().__init__(leg)
        self._leg, self._record = leg, record
        self._end = "\r\n" if call.tty else "\n"
        self._channel = Channel.STDOUT if call.tty else Channel.STDERR
        self._has_channel = call.tty or call.stderr
        self._is_open = record.has_channels_from_the_start
        self._untold: list[str] = []
        self._news = trio.Event()

    def tell(self, hold: HoldState) -> None:
        """A hold was opened: say so, now or as soon as there is a channel for it."""
        if self._has_channel:
            self._untold.append(f"[kubetape] {notice(hold)}")
            self._say()

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ChannelOpened):
                self._leg.machine.send(ChannelAccepted(event.channel))
                self._is_open = self._is_open or event.channel is self._channel
        super().take(events)
        self._say()

    async def speak(self) -> None:
        """Write what there is to say, until cancelled."""
        while not self.left.is_set():
            await self._news.wait()
            self._news = trio.Event()
            await self.flush()

    def _say(self) -> None:
        if not self._is_open or not self._untold:
            return
        for line in self._untold:
            event = ChannelData(self._channel, f"{line}{self._end}".encode())
            self._record.carried(event, from_client=False)
            self._leg.machine.send(event)
        self._untold.clear()
        self._news.set()
