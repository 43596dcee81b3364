"""Recorded terminal bytes, parsed once, for two readers: search and transcripts want the text
(`storage.plain_text`), a replay wants the picture without the attacks (`Neutralizer`, here).

Recorded bytes are hostile: whoever ran the program chose them. A replay that wrote them as they are
would hand the auditor's terminal titles, clipboard writes and queries whose answers are typed back
into the auditor's shell. So `Neutralizer` builds its output from what it understood; nothing is
copied through. It knows colours, cursor moves, erasing, scrolling and the alternate screen.

The trap: sequences are cut anywhere by the chunks of the record, so the scanner keeps its state
between calls, and an unterminated string must not swallow the rest of a session: after
MAX_STRING_CHARS its content comes out as plain text.
Source: ECMA-48 5th edition; the parser of vt100.net/emu/dec_ansi_parser; XTerm Control Sequences.
"""

import codecs
import re
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

MAX_STRING_CHARS: Final = 4096
"""Longest OSC, DCS, ... taken as one string: far above any title; a longer one hides something."""

MAX_PARAMETER_CHARS: Final = 64
"""Longest parameters of a control sequence: SGR with three 24-bit colours fits."""

MAX_PARAMETER: Final = 9999
"""Largest number handed on, and a terminal clamps far below it."""

MAX_REPEAT: Final = 1000
"""Largest REP (CSI b) handed on: a 12-byte sequence must not print two thousand million characters."""


class TokenKind(IntEnum):
    TEXT = 0  # printable characters, tab and line feed
    CONTROL = 1  # one C0 or C1 control character that stands alone
    ESCAPE = 2  # ESC intermediates final
    CSI = 3  # parameters and intermediates, then the final character
    STRING = 4  # OSC, DCS, SOS, PM, APC: body is the content, final says which


class Token(NamedTuple):
    """One thing a terminal would act on. `final` is "" for TEXT; STRING: one of "]PX^_k"."""

    kind: TokenKind
    body: str
    final: str = ""


class _State(IntEnum):
    GROUND = 0
    ESCAPE = 1
    CSI = 2
    CSI_IGNORE = 3  # too long: read to its end, do nothing
    STRING = 4
    STRING_ESCAPE = 5  # ESC inside a string: a backslash ends it


class ScannerState(msgspec.Struct, array_like=True):
    """All a scanner remembers between two chunks; can be stored."""

    state: int = _State.GROUND
    held: str = ""  # parameters or string content so far
    string: str = ""  # which string, as in Token.final
    undecoded: bytes = b""  # first bytes of a UTF-8 character


_SPECIAL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SPECIAL_ASCII: Final = bytes((*range(0x09), *range(0x0B, 0x20), 0x7F))
_WHOLE_CSI: Final = re.compile(f"\x1b\\[([ -?]{{0,{MAX_PARAMETER_CHARS}}})([@-~])")
_STRING_END: Final = re.compile("[\x07\x18\x1a\x1b\x9c]")
_STRING_OF_ESCAPE: Final = frozenset("]PX^_k")  # k: the title of screen and tmux
_ESCAPE_OF_C1: Final = {
    "\x90": "P",
    "\x98": "X",
    "\x9b": "[",
    "\x9d": "]",
    "\x9e": "^",
    "\x9f": "_",
}
_CANCEL: Final = frozenset("\x18\x1a")


class Scanner:
    """Bytes of one terminal stream -> tokens. Cut anywhere, the same tokens (text may be cut)."""

    def __init__(self, state: ScannerState | None = None) -> None:
        state = state or ScannerState()
        self._state = _State(state.state)
        self._held = state.held
        self._string = state.string
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._decoder.setstate((state.undecoded, 0))
        self._tokens: list[Token] = []

    def state(self) -> ScannerState:
        return ScannerState(self._state, self._held, self._string, self._decoder.getstate()[0])

    def feed(self, data: bytes) -> list[Token]:
        text = self._decoder.decode(data)
        if self._state is _State.GROUND and text and _is_plain(data):
            return [Token(TokenKind.TEXT, text)]
        self._scan(text)
        return self._taken()

    def finish(self) -> list[Token]:
        """The stream is over: what an unfinished string held comes out as text."""
        self._scan(self._decoder.decode(b"", True))
        is_string = self._state in (_State.STRING, _State.STRING_ESCAPE)
        held = self._reset()
        if is_string:
            self._give_out(held)
        return self._taken()

    def _taken(self) -> list[Token]:
        tokens, self._tokens = self._tokens, []
        return tokens

    def _scan(self, text: str) -> None:
        at, end = 0, len(text)
        while at < end:
            if self._state is _State.GROUND:
                at = self._in_ground(text, at)
            elif self._state is _State.STRING:
                at = self._in_string(text, at)
            else:
                self._step(text[at])
                at += 1

    def _in_ground(self, text: str, at: int) -> int:
        """Text up to the next control character, and that; returns where to go on."""
        found = _SPECIAL.search(text, at)
        end = found.start() if found else len(text)
        if end > at:
            self._tokens.append(Token(TokenKind.TEXT, text[at:end]))
        if not found:
            return end
        whole = _WHOLE_CSI.match(text, end)  # the common case, faster than letter by letter
        if whole:
            self._tokens.append(Token(TokenKind.CSI, whole[1], whole[2]))
            return whole.end()
        self._introduce(text[end])
        return end + 1

    def _in_string(self, text: str, at: int) -> int:
        found = _STRING_END.search(text, at)
        end = found.start() if found else len(text)
        room = MAX_STRING_CHARS - len(self._held)
        self._held += text[at : min(end, at + room)]
        if end - at > room:
            self._give_out(self._reset())
            return at + room
        if found:
            self._end_string(text[end])
        return end + 1

    def _introduce(self, char: str) -> None:
        """A control character where text was expected."""
        if char == "\x1b":
            self._state, self._held = _State.ESCAPE, ""
        elif char in _ESCAPE_OF_C1:
            self._state, self._held = _State.ESCAPE, ""
            self._after_escape(_ESCAPE_OF_C1[char])
        elif char not in _CANCEL:
            self._tokens.append(Token(TokenKind.CONTROL, "", char))

    def _step(self, char: str) -> None:
        """One character inside an escape or control sequence, or after an ESC in a string."""
        if self._state is _State.STRING_ESCAPE:
            self._put_string()
            if char != "\\":  # not the terminator: the ESC began something new, and the string is over
                self._state = _State.ESCAPE
                self._step(char)
        elif char == "\x1b" or char in _ESCAPE_OF_C1:
            self._introduce(char)
        elif char in _CANCEL:
            self._reset()
        elif char < " ":  # a terminal acts on it at once and goes on with the sequence
            is_text = char in "\t\n"
            self._tokens.append(
                Token(TokenKind.TEXT, char) if is_text else Token(TokenKind.CONTROL, "", char)
            )
        elif char == "\x7f":  # ignored, says every terminal
            return
        elif char > "~":  # belongs to no sequence
            self._reset()
            self._scan(char)
        elif self._state is _State.ESCAPE:
            self._after_escape(char)
        else:
            self._in_csi(char)

    def _after_escape(self, char: str) -> None:
        if char < "0":  # an intermediate character: a final one follows
            self._held = (self._held + char)[:MAX_PARAMETER_CHARS]
        elif self._held:
            self._tokens.append(Token(TokenKind.ESCAPE, self._reset(), char))
        elif char == "[":
            self._state = _State.CSI
        elif char in _STRING_OF_ESCAPE:
            self._state, self._string = _State.STRING, char
        else:
            self._reset()
            self._tokens.append(Token(TokenKind.ESCAPE, "", char))

    def _in_csi(self, char: str) -> None:
        if char < "@":
            self._held += char
            if len(self._held) > MAX_PARAMETER_CHARS:
                self._state, self._held = _State.CSI_IGNORE, ""
        elif self._state is _State.CSI:
            self._tokens.append(Token(TokenKind.CSI, self._reset(), char))
        else:
            self._reset()

    def _end_string(self, char: str) -> None:
        if char == "\x1b":
            self._state = _State.STRING_ESCAPE
        elif char != "\x07" or self._string in "]k":  # BEL ends an OSC and a title, nothing else
            self._put_string()

    def _put_string(self) -> None:
        self._tokens.append(Token(TokenKind.STRING, self._reset(), self._string))

    def _give_out(self, held: str) -> None:
        """What was taken for a string comes out as text after all."""
        text = _SPECIAL.sub("", held)
        if text:
            self._tokens.append(Token(TokenKind.TEXT, text))

    def _reset(self) -> str:
        held, self._held, self._state = self._held, "", _State.GROUND
        return held


def _is_plain(data: bytes) -> bool:
    """Whether nothing in these bytes is special to a terminal; several times as fast as looking for what is."""
    return data.isascii() and len(data.translate(None, _SPECIAL_ASCII)) == len(data)


# --- replay -----------------------------------------------------------------------------------

_NUMBERS: Final = re.compile("[0-9;]*")
_COLOURS: Final = re.compile("[0-9;:]*")
_NUMERIC_FINALS: Final = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefgr")
_PRIVATE_MODES: Final = frozenset(("7", "25", "47", "1047", "1048", "1049"))
"""Wrapping, cursor visibility, alternate screen. Not: mouse, focus and paste reports, application keys."""
_PLAIN_CONTROLS: Final = frozenset("\r\b")
_PLAIN_ESCAPES: Final = frozenset(("7", "8", "D", "E", "M", "(B", "(0", ")B", ")0"))
"""Save and restore the cursor, index, next line, reverse index; ASCII and line drawing."""

RESTORE_TERMINAL: Final = b"\x1b[0m\x1b[r\x1b[?7h\x1b[?1049l\x1b[?25h\x1b(B"
"""Undo whatever a replay may have left switched on."""


class Neutralizer:
    """Recorded output -> output that is safe to write to a person's terminal, as UTF-8.

    What passes: text, CR LF TAB BS, colours (SGR), cursor moves, erase, insert, delete, scroll,
    margins, REP up to MAX_REPEAT, wrap, cursor visibility, alternate screen, line drawing.
    """

    def __init__(self) -> None:
        self._scanner = Scanner()

    def feed(self, data: bytes) -> bytes:
        return self._render(self._scanner.feed(data))

    def finish(self) -> bytes:
        return self._render(self._scanner.finish())

    def _render(self, tokens: list[Token]) -> bytes:
        return "".join(map(_safe_form, tokens)).encode("utf-8", "replace")


def _safe_form(token: Token) -> str:
    """The harmless spelling of a token; "" for what a replay must not do."""
    kind, body, final = token
    if kind is TokenKind.TEXT:
        return body
    if kind is TokenKind.CONTROL:
        return final if final in _PLAIN_CONTROLS else ""
    if kind is TokenKind.ESCAPE:
        return f"\x1b{body}{final}" if body + final in _PLAIN_ESCAPES else ""
    if kind is TokenKind.CSI:
        return _safe_csi(body, final)
    return ""


def _safe_csi(parameters: str, final: str) -> str:
    if final == "m" and _COLOURS.fullmatch(parameters):
        return f"\x1b[{_clamped(parameters, MAX_PARAMETER)}m"
    if final in _NUMERIC_FINALS and _NUMBERS.fullmatch(parameters):
        # CSI T with five numbers starts xterm's mouse tracking; CSI r, with two, sets the margins
        if parameters.count(";") > 1:
            return ""
        return f"\x1b[{_clamped(parameters, MAX_REPEAT if final == 'b' else MAX_PARAMETER)}{final}"
    if final in "su" and not parameters:
        return f"\x1b[{final}"
    if final in "hl":
        if parameters == "4":  # insert mode
            return f"\x1b[4{final}"
        if parameters.startswith("?"):
            modes = [mode for mode in parameters[1:].split(";") if mode in _PRIVATE_MODES]
            return f"\x1b[?{';'.join(modes)}{final}" if modes else ""
    return ""


def _clamped(parameters: str, largest: int) -> str:
    return re.sub("[0-9]{4,}", lambda number: str(min(int(number[0]), largest)), parameters)


_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def printable(text: str) -> str:
    """One line that shows what it is: controls, separators and direction overrides are escaped.

    For names, command lines and agents in tables and messages: a recorded name must be able neither
    to move the cursor nor to look like another one.
    """
    return _UNPRINTABLE.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}", text
    )
