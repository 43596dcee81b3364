"""What passes inside a tunnel: masks on its output, rules on what is typed, copied and forwarded. Conduct.

The rules themselves are `policy`'s; here they meet events. What the cluster says is masked before it is recorded or
shown; what the client says is forwarded as it is and recorded masked. A line that people must see first is a
`Question`: everything before it has gone on, nothing behind it has.
"""

from collections import Counter
from typing import Final

import msgspec

from gateway.budgets.account import Account
from gateway.copy_guard import open_copy_guard
from gateway.held_bytes import HeldBytes
from gateway.policy.argv import is_shell
from gateway.policy.masking.masker import Masker
from gateway.policy.masking.stream import StreamMask
from gateway.policy.model import StreamRules
from gateway.port_guard import PortGuard
from gateway.tape import Tape
from gateway.tunnel_steps import Step, ToCluster
from gateway.typed_guard import AskPeople, TypedGuard
from protocol.apicall import Call
from protocol.events import (
    Channel,
    ChannelData,
    ChannelEnded,
    ChannelReset,
    Event,
    TunnelClosed,
)

OUTPUTS: Final = frozenset((Channel.STDOUT, Channel.STDERR, Channel.ERROR, Channel.FORWARD_ERROR))


class TunnelGuard:
    """The guard of one tunnel. Its events in order: `output` what the cluster said, `input` what the client said."""

    def __init__(
        self, call: Call, masker: Masker, rules: StreamRules, tape: Tape, account: Account, ask: AskPeople
    ) -> None:
        self._call, self._tape, self._account = call, tape, account
        self._input_mask = masker.stream(tty=call.tty)
        self._masks: dict[Channel, StreamMask] = {}
        if self._input_mask is not None:
            self._masks = {channel: mask for channel in OUTPUTS if (mask := masker.stream(tty=call.tty))}
        self._held = {channel: HeldBytes(mask) for channel, mask in self._masks.items()}
        self._input_held = HeldBytes(self._input_mask) if self._input_mask else None
        is_command = call.stream_kind in ("exec", "attach")
        # Without a terminal only a shell takes lines for commands; of an attach nobody knows what is there.
        reads_lines = call.tty or call.stream_kind == "attach" or is_shell(call.argv)
        self._typed = None
        if is_command and rules.commands and reads_lines:
            self._typed = TypedGuard(call.tty, rules.commands, tape, masker, ask)
        self._copies = open_copy_guard(call, rules.files, tape, masker)
        self._ports = PortGuard(rules) if rules.ports is not None else None
        self.looks_at_input = any((self._typed, self._copies, self._ports, self._input_mask))
        """Whether `input` says anything but "forward it, and record it"."""
        self.looks_at_output = bool(self._masks or self._typed or self._copies or account.counts_bytes)
        """Whether `output` says anything but "record it, and show it"."""
        self._noted = False

    # --- from the cluster ---------------------------------------------------------------------------

    def output(self, event: Event) -> list[Event]:
        """What the client may see of it, and the record may hold. Raises Refusal for what ends the session."""
        match event:
            case ChannelData():
                return self._output_data(event)
            case ChannelEnded() | ChannelReset():
                return [*self._flushed(event.channel, event.connection), event]
            case TunnelClosed():
                return [*self.finish(), event]
            case _:
                return [event]

    def _output_data(self, event: ChannelData) -> list[Event]:
        if event.channel is Channel.STDOUT:
            if self._typed is not None:
                self._typed.saw_output(event.data)
            if self._copies is not None:
                self._copies.downloaded(event.data)
        self._account.sent(len(event.data))
        mask = self._masks.get(event.channel)
        if mask is None:
            return [event]
        data = mask.feed(event.data)
        if event.channel in (Channel.ERROR, Channel.FORWARD_ERROR):
            # A result is one message, and behind the last output.
            return [*self.finish(), msgspec.structs.replace(event, data=data + mask.flush())]
        return [msgspec.structs.replace(event, data=data)] if data or not event.data else []

    @property
    def hold_s(self) -> float | None:
        """How long output may be held back before `flush_idle`; None: none is."""
        if not self._held:
            return None
        waits = [wait_s for held in self._held.values() if (wait_s := held.wait_s()) is not None]
        return min(waits) if waits else None

    def flush_idle(self) -> list[Event]:
        """What need not wait any longer."""
        due = [channel for channel, held in self._held.items() if held.wait_s() == 0]
        shown = [(channel, self._masks[channel].flush_idle()) for channel in due]
        return [ChannelData(channel, data) for channel, data in shown if data]

    def finish(self) -> list[Event]:
        """All output that was held back: nothing more comes."""
        return [event for channel in (Channel.STDOUT, Channel.STDERR) for event in self._flushed(channel, 0)]

    def _flushed(self, channel: Channel, connection: int) -> list[Event]:
        mask = self._masks.get(channel)
        data = mask.flush() if mask is not None else b""
        return [ChannelData(channel, data, connection)] if data else []

    # --- from the client ----------------------------------------------------------------------------

    def input(self, event: Event) -> list[Step]:
        """What becomes of it. Raises Refusal for what ends the session."""
        if self._ports is not None and (steps := self._ports.screen(event)) is not None:
            return steps
        if isinstance(event, ChannelData) and event.channel is Channel.STDIN:
            if self._copies is not None:
                self._copies.uploaded(event.data)
            if self._typed is not None:
                return [self._recorded(step) for step in self._typed.typed(event)]
        elif isinstance(event, ChannelEnded) and event.channel is Channel.STDIN and self._typed is not None:
            return [*map(self._recorded, self._typed.ended()), *self._ends_input(event)]
        elif isinstance(event, ChannelEnded | ChannelReset | TunnelClosed):
            return self._ends_input(event)
        return [self._recorded(ToCluster(event, event))]

    @property
    def input_hold_s(self) -> float | None:
        """How long what was typed may stay out of the record, because it may become a secret."""
        return self._input_held.wait_s() if self._input_held is not None else None

    def input_idle(self) -> Event | None:
        """What the record may hold now of what was typed."""
        data = self._input_mask.flush_idle() if self._input_mask is not None else b""
        return ChannelData(Channel.STDIN, data) if data else None

    def finish_input(self) -> Event | None:
        """What was typed and is not in the record yet: nothing more comes, however the session ended."""
        data = self._input_mask.flush() if self._input_mask is not None else b""
        return ChannelData(Channel.STDIN, data) if data else None

    def _recorded(self, step: Step) -> Step:
        """Mask what was typed, in the record only."""
        mask = self._input_mask
        if mask is None or not isinstance(step, ToCluster) or not isinstance(step.recorded, ChannelData):
            return step
        if step.recorded.channel is not Channel.STDIN:
            return step
        data = mask.feed(step.recorded.data)
        return ToCluster(step.event, msgspec.structs.replace(step.recorded, data=data) if data else None)

    def _ends_input(self, event: Event) -> list[Step]:
        typed = self.finish_input()
        rest: list[Step] = [ToCluster(None, typed)] if typed is not None else []
        return [*rest, ToCluster(event, event)]

    # --- what it adds up to ---------------------------------------------------------------------------

    def note(self) -> None:
        """Record how many values were hidden, once: before the Outcome."""
        if self._noted:
            return
        self._noted = True
        counts = sum((mask.counts for mask in self._masks.values()), Counter[str]())
        self._tape.masked("stream", counts)
        if self._input_mask is not None:
            self._tape.masked("request", self._input_mask.counts)
        if self._copies is not None:
            self._copies.finish()
