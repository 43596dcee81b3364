"""Lines typed into a terminal or a shell's stdin, judged before their end goes on (best effort: docs/exec-guardrails.md).

On a terminal the characters of a line have gone on already, for their echo; what is withheld is its end, and a line
that is denied is cleared with ^C. A line that came in one piece is judged before its echo is back; what a rule is about
then waits a moment for it, because who decides or reads the record has to see the line. Without a terminal nothing of a line goes on before it is judged: a shell would run the
unfinished line when its stdin ends.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

import msgspec
import trio

from gateway.errors import FORBIDDEN, Refusal
from gateway.policy.command import CommandJudge
from gateway.policy.masking.masker import Masker
from gateway.policy.model import CommandRule
from gateway.policy.typed_lines import Forward, LineReady, TypedLines
from gateway.tape import Tape
from gateway.tunnel_steps import Left, Question, Step, Tell, ToClient, ToCluster
from protocol.events import Channel, ChannelData, Event
from protocol.status import make_visible
from storage.records import CommandSeen

MAX_UNJUDGED_BYTES: Final = 64 * 1024
"""Of a line without an end on a stdin that is no terminal; a longer one is no command."""
MAX_SHOWN_CHARACTERS: Final = 4096
STRENGTH: Final = ("deny", "hold", "alert")
INTERRUPT: Final = b"\x03"
ECHO_S: Final = 0.5
"""How long the echo of a line that a rule is about may take: a round trip to the pod, and no time for a person."""

AskPeople: TypeAlias = Callable[[CommandRule, str, Left, Callable[[str], None]], Awaitable[None]]
"""(rule, line, how to learn that the client left, how to tell it what it waits for): returns when people agreed.
Raises Refusal, ClientLeft."""


class TypedGuard:
    """The stdin of one exec or attach."""

    def __init__(
        self, tty: bool, rules: tuple[CommandRule, ...], tape: Tape, masker: Masker, ask: AskPeople
    ) -> None:
        self._tty, self._tape, self._masker, self._ask = tty, tape, masker, ask
        self._lines = TypedLines(tty)
        self._judge = CommandJudge(rules)
        self._unjudged: list[Step] = []  # without a terminal: of the line that is not complete
        self._unjudged_bytes = 0
        self._output = trio.Event()  # the terminal showed something

    def saw_output(self, data: bytes) -> None:
        """The terminal showed this."""
        self._lines.receive_output(data)
        self._output.set()
        self._output = trio.Event()

    def typed(self, event: ChannelData) -> list[Step]:
        """What may go on now. Raises Refusal where a line ends the session."""
        steps: list[Step] = []
        for piece in self._lines.receive_input(event.data):
            if isinstance(piece, Forward):
                steps += self._part(piece.data)
            else:
                steps += self._line(piece)
        return steps

    def ended(self) -> list[Step]:
        """stdin is over: what stands there without an end is a line too."""
        if not self._unjudged:
            return []
        return [step for piece in self._lines.receive_input(b"\n") for step in self._last(piece)]

    def _last(self, piece: Forward | LineReady) -> list[Step]:
        """The steps of the last line, without the line end that the client did not send."""
        return [] if isinstance(piece, Forward) else self._line(piece)[:-1]

    def _part(self, data: bytes) -> list[Step]:
        step = _to_cluster(data)
        if self._tty:
            return [step]
        self._unjudged.append(step)
        self._unjudged_bytes += len(data)
        return self._judged() if self._unjudged_bytes > MAX_UNJUDGED_BYTES else []

    def _judged(self) -> list[Step]:
        steps, self._unjudged, self._unjudged_bytes = self._unjudged, [], 0
        return steps

    def _line(self, line: LineReady) -> list[Step]:
        rules = [rule for text in (line.line, line.joined) if (rule := self._judge.judge(text)) is not None]
        rule = min(rules, key=lambda rule: STRENGTH.index(rule.action)) if rules else None
        if rule is None:
            if line.is_echoed:
                self._note(line, None, "")
            return [*self._judged(), _to_cluster(line.end)]
        if line.is_echoed:
            return self._ruled(rule, line)
        return [Question(partial(self._once_shown, rule, line))]

    async def _once_shown(
        self, rule: CommandRule, line: LineReady, left: Left, tell: Tell
    ) -> list[ToCluster | ToClient]:
        """What becomes of a line whose echo may still come; one that does not come is a password."""
        with trio.move_on_after(ECHO_S):
            while not self._lines.shows(line.line):
                await self._output.wait()
        steps: list[ToCluster | ToClient] = []
        shown = msgspec.structs.replace(line, is_echoed=self._lines.shows(line.line))
        for step in self._ruled(rule, shown):
            steps += await step.decide(left, tell) if isinstance(step, Question) else [step]
        return steps

    def _ruled(self, rule: CommandRule, line: LineReady) -> list[Step]:
        """What becomes of a line that a rule is about."""
        end = _to_cluster(line.end)
        self._note(line, rule, rule.action)
        if rule.action == "alert":
            return [*self._judged(), end]
        if rule.action == "hold":
            return [self._question(rule, line, [*self._judged(), end])]
        if not self._tty:
            raise Refusal(
                FORBIDDEN, f"kubetape policy {rule.rule}: {rule.reason or 'this command is denied'}"
            )
        return [self._said(f"denied by kubetape policy {rule.rule}: {rule.reason}"), _to_cluster(INTERRUPT)]

    def _question(self, rule: CommandRule, line: LineReady, withheld: list[Step]) -> Question:
        async def decide(left: Left, tell: Tell) -> list[ToCluster | ToClient]:
            try:
                await self._ask(rule, self._shown(line), left, lambda text: tell(self._said(text).event))
            except Refusal as refusal:
                if not self._tty:
                    raise
                return [self._said(refusal.message), _to_cluster(INTERRUPT)]
            return [step for step in withheld if isinstance(step, ToCluster)]

        return Question(decide)

    def _said(self, text: str) -> ToClient:
        """A line of ours on the terminal; on stderr where there is none, so that pipes stay clean."""
        words = make_visible(f"[kubetape] {text}", MAX_SHOWN_CHARACTERS)
        said: Event = (
            ChannelData(Channel.STDOUT, f"\r\n{words}\r\n".encode())
            if self._tty
            else ChannelData(Channel.STDERR, f"{words}\n".encode())
        )
        return ToClient(said)

    def _shown(self, line: LineReady) -> str:
        """A password that was not echoed is not written down."""
        text = line.joined if line.is_echoed else f"({len(line.joined)} characters that were not shown)"
        return make_visible(self._masker.text(text), MAX_SHOWN_CHARACTERS)

    def _note(self, line: LineReady, rule: CommandRule | None, action: str) -> None:
        tape = self._tape
        tape.append(
            CommandSeen(tape.exchange, tape.at_us(), self._shown(line), action, rule.rule if rule else "")
        )


def _to_cluster(data: bytes) -> ToCluster:
    event = ChannelData(Channel.STDIN, data)
    return ToCluster(event, event)
