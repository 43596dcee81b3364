"""What gateway and keeper process say to each other: JSON lines on the keeper's standard input and output.

The first line in is `Orders`; then, of a gateway that cannot read its own log, one `SegmentKey` a segment; `Finish`
in the end. The end of the input without it means that the gateway died: stop at once. Out comes a `KeeperStatus` about once a second. Keys travel only in this
pipe, between parent and child, and are never written anywhere.
"""

from typing import Final

import msgspec

from gateway.config import Settings
from storage.encryption.keys import DataKey


class Orders(msgspec.Struct, frozen=True, tag="orders"):
    """What to keep, and how. data_dir: the gateway's; gateway_id: the name in its logs."""

    data_dir: str
    gateway_id: str
    settings: Settings


class SegmentKey(msgspec.Struct, frozen=True, tag="key"):
    """The data key of a segment being written. Its text form hides the key."""

    log_origin: str
    segment_id: str
    key: bytes

    def __repr__(self) -> str:
        return f"SegmentKey({self.segment_id})"


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """The log is complete and closed: do what is left to do with it, and end."""

    deadline_s: float


class DutyStatus(msgspec.Struct, frozen=True):
    """How one part of the keeper's work goes. problem: "" while it goes well."""

    problem: str = ""
    facts: dict[str, float] = {}  # figures by the name of their metric


class KeeperStatus(msgspec.Struct, frozen=True):
    """Every duty by its name: index, tree, rows, export, outlets, retention."""

    at_ns: int = 0
    duties: dict[str, DutyStatus] = {}

    def problems(self) -> list[str]:
        return [f"{name}: {duty.problem}" for name, duty in sorted(self.duties.items()) if duty.problem]


Message = Orders | SegmentKey | Finish

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
_ENCODER: Final = msgspec.json.Encoder()
_MESSAGES: Final = msgspec.json.Decoder(Message)
_STATUS: Final = msgspec.json.Decoder(KeeperStatus)


def segment_key_of(data_key: DataKey) -> SegmentKey:
    return SegmentKey(data_key.envelope.log_origin, data_key.envelope.segment_id, data_key.key)


def encode_line(message: msgspec.Struct) -> bytes:
    """Any message between the processes of a gateway."""
    return _ENCODER.encode(message) + b"\n"


def parse_message(line: bytes) -> Message:
    """Raises msgspec.DecodeError: only on a bug, both ends are of one version."""
    message: Message = _MESSAGES.decode(line)
    return message


def parse_status(line: bytes) -> KeeperStatus:
    return _STATUS.decode(line)
