"""What travels on the RESIZE and ERROR channels of exec and attach, and how a session is ended visibly.

Reads terminal sizes and exit statuses, whatever way they were cut; writes the Status with which a
session of ours ends. Which transport carries them is `remotecommand`'s business.

The trap: kubectl takes an exec whose error channel said nothing for a success, exit code 0. So a session
that is cut must say why on that channel before it closes.
Sources: k8s.io/client-go/tools/remotecommand (errorstream.go, resize.go), k8s.io/kubelet/pkg/cri/streaming.
"""

from collections.abc import Iterable
from typing import Final, TypeGuard

import msgspec

from protocol.errors import LocalProtocolError
from protocol.events import Channel, ChannelData, ChannelEnded, Event, TunnelClosed
from protocol.status import encode_status, exit_code, make_visible, parse_status

MAX_RESIZE_BYTES: Final = 1024
"""Longest JSON of one size. kubectl writes some 30 bytes."""

MAX_ERROR_BYTES: Final = 64 * 1024
"""Most kept of an error channel; a Status is some 300 bytes."""

MAX_TEXT_CHARACTERS: Final = 2048

VERSIONS: Final[dict[str, int]] = {
    "": 1,  # asked for nothing: very old clients and servers
    "channel.k8s.io": 1,
    "v2.channel.k8s.io": 2,
    "v3.channel.k8s.io": 3,
    "v4.channel.k8s.io": 4,
    "v5.channel.k8s.io": 5,
    "base64.channel.k8s.io": 1,
    "v4.base64.channel.k8s.io": 4,
}
"""Versions of the remote command protocol by name. From 3 on there is resize, from 4 on the error
channel carries a Status, from 5 on a WebSocket can half-close."""


def parse_version(protocol: str) -> int:
    """The version a protocol name stands for, 1 to 5. Raises LocalProtocolError: negotiation let it through."""
    if protocol not in VERSIONS:
        raise LocalProtocolError(f"remote command protocol {protocol!r} is not known")
    return VERSIONS[protocol]


# --- terminal sizes ---------------------------------------------------------------------------


def parse_resize(message: bytes) -> tuple[int, int] | None:
    """Read one size, `{"Width":120,"Height":40}`, as (columns, rows); None when it is malformed.

    Key names in any case, each 0 to 65535, as Go decodes them into uint16.
    """
    try:
        found = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    lowered = {key.lower(): value for key, value in found.items()}
    columns, rows = lowered.get("width"), lowered.get("height")
    if _is_uint16(columns) and _is_uint16(rows):
        return columns, rows
    return None


def _is_uint16(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF


class ResizeReader:
    """Sizes out of the bytes of a RESIZE channel, where frames split and join JSON objects."""

    def __init__(self) -> None:
        self._part = bytearray()  # of an object, from its brace on: at most MAX_RESIZE_BYTES

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Take in bytes; the sizes they complete, as (columns, rows). Malformed ones are skipped."""
        sizes = []
        position = 0
        while position < len(data):
            if not self._part:
                position = data.find(b"{", position)
                if position < 0:
                    break
            # The object is flat, so its first closing brace ends it.
            end = data.find(b"}", position)
            stop = len(data) if end < 0 else end + 1
            if len(self._part) + stop - position > MAX_RESIZE_BYTES:
                self._part.clear()  # not a size; look for the next brace
                position = stop
                continue
            self._part += data[position:stop]
            position = stop
            if end >= 0:
                size = parse_resize(bytes(self._part))
                self._part.clear()
                if size is not None:
                    sizes.append(size)
        return sizes


# --- the result ---------------------------------------------------------------------------------


class ExitStatus(msgspec.Struct, frozen=True):
    """What the error channel said. exit_code None: a failure without a code, kubectl exits 1."""

    exit_code: int | None
    message: str = ""


class ExitStatusReader:
    """The result out of the bytes of an ERROR channel.

    protocol: its name as negotiated. From v4 on the channel carries one Status, success included;
    before, plain text on failure and nothing on success.
    """

    def __init__(self, protocol: str) -> None:
        self._has_status = parse_version(protocol) >= 4
        self._text = bytearray()
        self._is_cut = False

    def feed(self, data: bytes) -> None:
        """Take in bytes of the channel."""
        kept = data[: MAX_ERROR_BYTES - len(self._text)]
        self._is_cut = self._is_cut or len(kept) < len(data)
        self._text += kept

    def is_whole(self) -> bool:
        """Whether what came so far is one Status already. Says no before v4, where only the end tells."""
        return self._has_status and not self._is_cut and parse_status(bytes(self._text)) is not None

    @property
    def is_empty(self) -> bool:
        return not self._text

    def read(self) -> ExitStatus | None:
        """Read the result: when the channel or the tunnel ended. None: it has not said any.

        Before v4 nothing means success if the process ended and nothing at all if the tunnel was
        cut; only the caller can know which.
        """
        if not self._text.strip():
            return None
        status = None if self._is_cut or not self._has_status else parse_status(bytes(self._text))
        if status is None:
            return ExitStatus(None, make_visible(self._text.decode(errors="replace"), MAX_TEXT_CHARACTERS))
        return ExitStatus(exit_code(status), make_visible(status.message, MAX_TEXT_CHARACTERS))


def encode_status_message(text: str, protocol: str = "v4.channel.k8s.io", *, code: int = 403) -> bytes:
    """Encode what the error channel says when the gateway ends a session: kubectl shows `error: <text>`.

    A Status Failure from v4 on, plain text before. code: HTTP status that says it best.
    """
    if parse_version(protocol) >= 4:
        return encode_status(code, "", text)
    return make_visible(text, MAX_TEXT_CHARACTERS).encode()


def closing_events(
    kind: str,
    tty: bool,
    text: str,
    *,
    protocol: str = "v4.channel.k8s.io",
    code: int = 403,
    connections: Iterable[int] = (),
) -> list[Event]:
    """What to send to a client so that its user sees why the gateway ends the session.

    kind: "exec", "attach" or "portforward". exec and attach: a line on stderr (with a terminal there
    is only stdout, and its line needs CRLF), the result on the error channel, the end of all streams.
    portforward: the text on the error stream of each of `connections` (those under way).
    Channels that the client never opened are skipped by the machine that sends this.
    """
    visible = make_visible(text, MAX_TEXT_CHARACTERS)
    if kind == "portforward":
        events: list[Event] = []
        for connection in connections:
            events.append(ChannelData(Channel.FORWARD_ERROR, visible.encode(), connection))
            events.append(ChannelEnded(Channel.FORWARD_ERROR, connection))
            events.append(ChannelEnded(Channel.DATA, connection))
        return [*events, TunnelClosed()]
    line = f"\r\n{visible}\r\n" if tty else f"{visible}\n"
    return [
        ChannelData(Channel.STDOUT if tty else Channel.STDERR, line.encode()),
        ChannelData(Channel.ERROR, encode_status_message(text, protocol, code=code)),
        ChannelEnded(Channel.ERROR),
        ChannelEnded(Channel.STDOUT),
        ChannelEnded(Channel.STDERR),
        TunnelClosed(),
    ]
