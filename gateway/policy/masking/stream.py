"""Masks bytes that arrive in pieces: logs, exec and attach output, a terminal.

What is masked does not depend on how the bytes were cut: whole lines are judged, a key over several lines is one hit
(`key_blocks`), and of the line that is not finished nothing is given out. Only when nothing more comes for `hold_s`
may the caller ask for what is held (`flush_idle`): a prompt has no line end. Then everything goes but what could be a
secret's beginning (`open_tails`); that waits for more, and the rest of a line is still judged with what went before it.

Lines longer than MAX_LINE_BYTES are judged in windows that overlap. A secret too long for that is masked as a whole and
everything after it that could be a part of it is dropped.

Limits: a custom pattern does not match across line ends; in windows of long lines it sees at least OVERLAP_BYTES; after
an idle flush it may see too late what it would have hidden. A key that is coloured letter by letter is not seen as one.
"""

import string
from collections import Counter
from collections.abc import Mapping
from typing import Final

from gateway.policy.masking import key_blocks
from gateway.policy.masking.detectors import DetectorSet, Hit, Placeholder
from gateway.policy.masking.key_blocks import KeyBegins
from gateway.policy.masking.open_tails import OpenTails
from gateway.policy.masking.text_view import TextView, sequences_in

MAX_LINE_BYTES: Final = 64 * 1024
"""A longer line is judged in windows of this size: the most that is ever held."""

OVERLAP_BYTES: Final = 4 * 1024
"""What two windows share: longer than any secret but some tokens, which `open_tails` knows."""

PIECE_BYTES: Final = 32 * 1024
"""Input is taken in pieces of this size, so that only a line that was begun before can be too long."""

HOLD_S: Final = 0.25
"""Idle time of a log or a program's output after which a line without end is shown: not felt as a delay."""

TERMINAL_HOLD_S: Final = 0.02
"""The same on a terminal, where each key is echoed: below what a person notices."""

_TOKEN_BYTES: Final = (string.ascii_letters + string.digits + "+/=_.%~\\-").encode()


def text_placeholder(detector: str) -> bytes:
    """What stands in a text in the place of a secret."""
    return f"[masked:{detector}]".encode()


class StreamMask:
    """One direction of one stream.

    rule_of: from a detector to the rule ("policy/rule") under which its hits are counted. tty: a terminal's output.
    """

    def __init__(
        self,
        detectors: DetectorSet,
        rule_of: Mapping[str, str],
        tty: bool,
        placeholder: Placeholder = text_placeholder,
    ) -> None:
        self._detectors, self._rule_of, self._tty = detectors, rule_of, tty
        self._placeholder = placeholder
        self._tails = OpenTails(detectors.names)
        self._finds_keys = "private-key" in detectors.names
        self._line = b""  # the unfinished line: what went out of it (`_shown` bytes), then what is held
        self._shown = 0
        self._key: KeyBegins | None = None  # an open private key: lines are dropped while they belong to it
        self._key_bytes = 0
        self._drops_token = False  # the rest of a secret that was too long is being dropped
        self._is_idle = False
        self.counts: Counter[str] = Counter()
        self.hold_s = TERMINAL_HOLD_S if tty else HOLD_S

    @property
    def pending(self) -> bool:
        """Whether `flush_idle` may give something out, `hold_s` after this became true."""
        return len(self._line) > self._shown and not self._is_idle

    def feed(self, data: bytes) -> bytes:
        """Take in bytes; what can go out, masked."""
        self._is_idle = self._is_idle and not data
        if len(data) <= PIECE_BYTES:
            return self._take(data)
        pieces = range(0, len(data), PIECE_BYTES)
        return b"".join(self._take(data[at : at + PIECE_BYTES]) for at in pieces)

    def flush_idle(self) -> bytes:
        """Nothing came for `hold_s`: what is held and is no secret's beginning."""
        self._is_idle = True
        out = b""
        if self._key is not None:
            after = key_blocks.find_end(self._line)
            if after == len(self._line) or key_blocks.belongs(self._line, self._key, is_partial=True):
                return b""
            out = b"\n" if after is None else b""
            self._forget(after or 0)
            self._key = None
        hits = self._hits(self._line)
        stop = self._before_hit(self._held_from(self._line)[0], hits)
        out += self._masked(self._line, hits, self._shown, stop)
        self._shown = max(self._shown, stop)
        self._forget(max(0, self._shown - OVERLAP_BYTES))
        return out

    def flush(self) -> bytes:
        """The stream is over: all that is held."""
        out = self._whole_line(self._line, self._shown, b"")
        self._line, self._shown = b"", 0
        return out

    # --- lines ------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> bytes:
        if self._drops_token:
            data = self._after_token(data)
        first = data.find(b"\n")
        if first < 0:
            self._line += data
            return self._shorten()
        self._line += data[:first]
        out = self._shorten()
        self._drops_token = False  # no token goes on behind a line end
        end = data.rfind(b"\n") + 1
        lines, shown = self._line + data[first:end], self._shown
        self._line, self._shown = data[end:], 0
        return out + self._whole_lines(lines, shown)

    def _whole_lines(self, lines: bytes, shown: int) -> bytes:
        """Judge lines, each with its end; the first `shown` bytes are out."""
        if self._key is None and not (self._finds_keys and key_blocks.may_begin(lines)):
            return self._masked(lines, self._hits(lines), shown, len(lines))
        out = []
        for line in lines.split(b"\n")[:-1]:
            out.append(self._whole_line(line, shown, b"\n"))
            shown = 0
        return b"".join(out)

    def _whole_line(self, line: bytes, shown: int, line_end: bytes) -> bytes:
        out = b""
        if self._key is not None:
            after = key_blocks.find_end(line)
            if after is None and self._drop_key_line(line, self._key):
                return b""
            if after is None:
                out = b"\n"
            else:
                line, shown = line[after:], max(0, shown - after)
            self._key = None
        key = key_blocks.find_begin(line) if self._finds_keys else None
        if key is None:
            line += line_end
            return out + self._masked(line, self._hits(line), shown, len(line))
        self._key, self._key_bytes = key, len(line)
        before = self._masked(line[: key.start], self._hits(line[: key.start]), shown, key.start)
        return out + before + self._replaced("private-key")

    def _drop_key_line(self, line: bytes, key: KeyBegins) -> bool:
        """Whether a line belongs to the open key and is dropped with it."""
        self._key_bytes += len(line)
        return self._key_bytes <= key_blocks.MAX_KEY_BYTES and key_blocks.belongs(line, key)

    # --- a line that is too long ------------------------------------------------------------------

    def _shorten(self) -> bytes:
        if len(self._line) < MAX_LINE_BYTES:
            return b""
        out = []
        while len(self._line) >= MAX_LINE_BYTES:
            out.append(self._window(self._line[:MAX_LINE_BYTES]))
        return b"".join(out)

    def _window(self, text: bytes) -> bytes:
        """Judge the first part of a line and forget it, but for what the next part is judged with."""
        if self._key is not None:
            after = key_blocks.find_end(text)
            ends_here = after is None and not key_blocks.belongs(text, self._key)
            self._key = None  # no key has lines like this
            self._forget(0 if ends_here else after or len(text))
            return b"\n" if ends_here else b""
        hits = self._hits(text)
        held, name = self._held_from(text)
        stop = self._before_hit(min(held, MAX_LINE_BYTES - OVERLAP_BYTES), hits)
        if stop > MAX_LINE_BYTES // 2:
            out = self._masked(text, hits, self._shown, stop)
            self._shown = max(self._shown, stop)
            self._forget(stop - OVERLAP_BYTES)
            return out
        out = self._masked(text, hits, self._shown, stop)
        rest = self._line[len(text) :]
        self._line, self._shown = b"", 0
        self._drops_token = True
        self._line = self._after_token(rest)
        return out + self._replaced(next((hit for start, _, hit in hits if start >= stop), name))

    def _after_token(self, data: bytes) -> bytes:
        """What follows the token being dropped."""
        rest = data.lstrip(_TOKEN_BYTES)
        self._drops_token = not rest
        return rest

    def _forget(self, length: int) -> None:
        self._line, self._shown = self._line[length:], max(0, self._shown - length)

    # --- judging ----------------------------------------------------------------------------------

    def _view(self, text: bytes) -> TextView | None:
        if b"\x1b" in text or (self._tty and b" \r" in text):
            return TextView(text, wraps=self._tty)
        return None

    def _hits(self, text: bytes) -> list[Hit]:
        view = self._view(text)
        if view is None:
            return self._detectors.hits(text)
        return [
            (view.start_in_text(start), view.end_in_text(end), name)
            for start, end, name in self._detectors.hits(view.seen)
        ]

    def _held_from(self, text: bytes) -> tuple[int, str]:
        """Where the secret that may have begun at the end of `text` begins, else the end; and whose it is."""
        view = self._view(text)
        tail = self._tails.find(text if view is None else view.seen)
        if tail is None:
            return len(text), ""
        return (tail[0] if view is None else view.start_in_text(tail[0])), tail[1]

    def _before_hit(self, stop: int, hits: list[Hit]) -> int:
        """The nearest place at or before `stop` that is not inside a hit."""
        return next((start for start, end, _ in hits if start < stop < end), stop)

    def _masked(self, text: bytes, hits: list[Hit], start: int, stop: int) -> bytes:
        """The text from `start` to `stop` with its hits replaced. What of a hit is out already stays out."""
        if not hits:
            return text[start:stop]
        out = []
        for hit_start, hit_end, name in hits:
            if hit_end <= start or hit_start >= stop:
                continue
            out.append(text[start : max(start, hit_start)])
            out.append(self._replaced(name) + sequences_in(text[hit_start:hit_end]))
            start = hit_end
        return b"".join((*out, text[start:stop]))

    def _replaced(self, name: str) -> bytes:
        self.counts[self._rule_of[name]] += 1
        return self._placeholder(name)
