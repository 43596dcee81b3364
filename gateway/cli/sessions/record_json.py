"""One record as plain data for JSON: field names, ids in hex, bytes as text where they are text."""

import base64

import msgspec

from storage.reader import Position
from storage.records import AnyRecord, UnknownRecord

_TEXT_FIELDS = frozenset(("target", "upstream_target"))
_ID_FIELDS = frozenset(
    ("exchange", "valid_sha256", "torn_sha256", "digest", "audit_id", "sha256", "signature")
)


def record_data(log: str, position: Position, record: AnyRecord | UnknownRecord) -> dict[str, object]:
    """log and seq say where it is; type is the name of the record; `data_base64` where data is not UTF-8."""
    data: dict[str, object] = {"log": log, "seq": position.record_seq, "type": type(record).__name__}
    for name, value in msgspec.structs.asdict(record).items():
        if isinstance(value, bytes):
            _add_bytes(data, name, value)
        elif name.endswith("headers"):
            data[name] = [[one.decode("latin-1"), other.decode("latin-1")] for one, other in value]
        elif isinstance(value, msgspec.Struct):
            data[name] = msgspec.structs.asdict(value)
        else:
            data[name] = value
    return data


def _add_bytes(data: dict[str, object], name: str, value: bytes) -> None:
    if name in _ID_FIELDS:
        data[name] = value.hex()
    elif name in _TEXT_FIELDS:
        data[name] = value.decode("latin-1")
    else:
        try:
            data[name] = value.decode("utf-8")
        except UnicodeDecodeError:
            data[f"{name}_base64"] = base64.b64encode(value).decode("ascii")
