"""How a tunnel ends: the first reason given, the Outcome, the last words to its client. Conduct.

Whatever the cluster said and the client has not heard yet is kept here, because the end decides whether it may: a
result that might not survive a power cut is not given. The trap: a bare disconnect makes kubectl exit 0, so a session
that did not end by itself is ended in its own protocol, with the reason, within GOODBYE_S.
"""

from contextlib import suppress
from typing import Final

import trio

from gateway.tape import Tape
from gateway.tunnel_guard import TunnelGuard
from gateway.tunnel_leg import Leg
from gateway.tunnel_record import TunnelRecord
from protocol.events import Event
from protocol.remotecommand_messages import closing_events
from storage.errors import LogFailed

GOODBYE_S: Final = 2.0
"""How long the last words to a client may take; one that does not read them has lost them."""
UNRECORDED: Final = "this session can no longer be recorded"
GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
"""What a leg raises when its other end is not there any more."""


class TunnelEnding:
    """The end of one tunnel. undelivered: of the cluster, recorded, not handed on to the client yet.

    cluster, guard: set once there is a cluster in it.
    """

    def __init__(self, client: Leg, tape: Tape, record: TunnelRecord) -> None:
        self._client, self._tape, self._record = client, tape, record
        self.cluster: Leg | None = None
        self.guard: TunnelGuard | None = None
        self.undelivered: list[Event] = []
        self.is_written = False
        self._result, self._why, self._code = "", "", 503

    def ends(self, result: str, why: str, *, code: int = 503) -> None:
        """The first reason given is the reason. code: HTTP status that says it best."""
        if not self._result:
            self._result, self._why, self._code = result, why, code

    def deliver(self) -> None:
        """Hand on to the client what was recorded for it, unless the log has failed since: it may have lost that."""
        try:
            self._tape.check()
        except LogFailed:
            self.undelivered.clear()
        for event in self.undelivered:
            self._client.machine.send(event)
        self.undelivered.clear()

    def write(self, *, concluded: bool) -> None:
        """The Outcome, once; nothing that is carried is recorded behind it. concluded: by the cluster. Raises LogFailed."""
        if self.is_written:
            return
        self._record_held_back()
        if self.guard is not None:
            self.guard.note()
        result = self._result or "cut"
        if concluded and result in ("client-left", "cluster-left"):
            result = "completed"
        elif result == "cluster-left":
            result = "completed" if self._record.kind == "portforward" else "failed"
        self._record.ended(by=self._ended_by(result), why=self._why)
        self._tape.end(result, self._why, urgent=True)
        self.is_written = True

    async def conclude(self, protocol: str) -> None:
        """Say goodbye on both sides, in their protocol, after the outcome is in the log."""
        if self._is_over():
            return
        concluded = self._record.concluded  # a farewell says nothing of how the command ended
        with trio.move_on_after(GOODBYE_S, shield=True):
            if not concluded:
                with suppress(LogFailed):
                    self._record_held_back()
                self.deliver()
                if self._result != "client-left":
                    self._say_farewell(self._why or "the connection to the API server was lost", protocol)
            is_durable = await self._written(concluded)
            if self.undelivered and not is_durable:
                self.undelivered.clear()  # a result that may not survive is not given
                self._say_farewell(UNRECORDED, protocol)
            self.deliver()
            for leg in (self._client, self.cluster):
                try:
                    if leg is not None:
                        await leg.flush()
                except GONE:
                    continue  # that side is gone already

    def _is_over(self) -> bool:
        """Whether nothing is left to record, to sync or to say, as usually when a command ended by itself."""
        if not self.is_written or self.undelivered or not self._tape.is_durable:
            return False
        is_said = True
        for leg in (self._client, self.cluster):
            try:
                is_said = (leg is None or leg.flush_nowait()) and is_said
            except GONE:
                continue
        return is_said

    async def _written(self, concluded: bool) -> bool:
        """Write how it ended; whether that, and all before it, survives a power cut."""
        try:
            self.write(concluded=concluded)
            await self._tape.durable()
        except LogFailed:
            return False
        return True

    def _record_held_back(self) -> None:
        """What masks held back of both directions: nothing more comes that could make a secret of it."""
        if self.guard is None:
            return
        if (typed := self.guard.finish_input()) is not None:
            self._record.carried(typed, from_client=True)
        for event in self.guard.finish():
            self._record.carried(event, from_client=False)
            self.undelivered.append(event)

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

    def _ended_by(self, result: str) -> str:
        if result in ("cut", "failed", "denied") and self._why:
            return "gateway"
        return "client" if self._result == "client-left" else "cluster"
