"""A protobuf request body -> the object as its JSON form would decode, for the kinds of Kubernetes' own groups.

Typed Go clients send protobuf by default, and there is no way to ask them not to. What is decoded here is judged
and masked, never forwarded: the body goes upstream as it came. So whatever could be read in two ways is Unreadable:
an unknown kind or field (a rule may look anywhere), a field of another type, a field twice that may come once
(Go merges them).
Source: k8s.io/apimachinery runtime/serializer/protobuf; the tables name theirs.
"""

import base64
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple, TypeAlias

import msgspec

from protocol.errors import Unreadable
from protocol.kind_tables import access, cluster, core, meta, pod, volumes, workloads
from protocol.protobuf import BYTES, VARINT, Field, read_fields, read_varint, to_signed

MAGIC: Final = b"k8s\x00"

_TABLES: Final = {
    "meta": meta.META,
    "v1": core.CORE + pod.POD + volumes.VOLUMES,
    "apps/v1": workloads.APPS,
    "batch/v1": workloads.BATCH,
    "autoscaling/v1": workloads.AUTOSCALING_V1,
    "autoscaling/v2": workloads.AUTOSCALING_V2,
    "policy/v1": workloads.POLICY,
    "rbac.authorization.k8s.io/v1": access.RBAC,
    "authentication.k8s.io/v1": access.AUTHENTICATION,
    "authorization.k8s.io/v1": access.AUTHORIZATION,
    "certificates.k8s.io/v1": access.CERTIFICATES,
    "admissionregistration.k8s.io/v1": access.ADMISSION,
    "networking.k8s.io/v1": cluster.NETWORKING,
    "discovery.k8s.io/v1": cluster.DISCOVERY,
    "coordination.k8s.io/v1": cluster.COORDINATION,
    "events.k8s.io/v1": cluster.EVENTS,
    "scheduling.k8s.io/v1": cluster.SCHEDULING,
    "storage.k8s.io/v1": cluster.STORAGE,
    "node.k8s.io/v1": cluster.NODE,
}
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_JsonObject: TypeAlias = dict[str, object]


class _Spec(NamedTuple):
    """One field of a table."""

    name: str
    type: str
    keeps_zero: bool
    repeated: bool
    inline: bool
    map: bool


def decode_object(body: bytes) -> _JsonObject:
    """Decode a body that begins with MAGIC.

    Returns what decoding the JSON form would give, `apiVersion` and `kind` first. Raises Unreadable.
    """
    if not body.startswith(MAGIC):
        raise Unreadable("the body is not Kubernetes protobuf, although its Content-Type says so")
    envelope = _only_once(body[len(MAGIC) :], {1, 2, 3, 4})
    if envelope.get(3) or envelope.get(4, b"") not in (b"", b"application/vnd.kubernetes.protobuf"):
        raise Unreadable("the protobuf body wraps another encoding", status=415)
    type_meta = _only_once(envelope.get(1, b""), {1, 2})
    api_version, kind = _text(type_meta.get(1, b"")), _text(type_meta.get(2, b""))
    package = "meta" if kind == "DeleteOptions" else api_version
    if package not in _TABLES or kind not in _messages(package):
        raise Unreadable("kubetape cannot read this kind as protobuf; send it as JSON", status=415)
    found = _message(envelope.get(2, b""), package, kind)
    return {"apiVersion": api_version, "kind": kind, **found}


def _only_once(message: bytes, allowed: set[int]) -> dict[int, bytes]:
    """The length-delimited fields of a small message none of whose fields repeats."""
    found: dict[int, bytes] = {}
    for field in read_fields(message):
        if field.field not in allowed or field.wire_type != BYTES or field.field in found:
            raise Unreadable("the protobuf body has a field where none belongs")
        found[field.field] = field.data
    return found


def _message(data: bytes, package: str, name: str) -> _JsonObject:
    """Recursion ends with the tables: no message holds itself."""
    specs = _messages(package)[name]
    found: _JsonObject = {}
    seen: set[int] = set()
    for field in read_fields(data):
        spec = specs.get(field.field)
        if spec is None:
            raise Unreadable(
                f"field {field.field} of {name} is unknown to this version of kubetape; send the body as JSON"
            )
        if not (spec.repeated or spec.map):
            if field.field in seen:
                raise Unreadable(f"field {spec.name} of {name} stands in the protobuf body twice")
            seen.add(field.field)
        _put(found, spec, field, package)
    return found


def _put(found: _JsonObject, spec: _Spec, field: Field, package: str) -> None:
    if spec.map:
        key, value = _entry(spec, field, package)
        members = found.setdefault(spec.name, {})
        assert isinstance(members, dict)
        members[key] = value
    elif spec.repeated:
        items = found.setdefault(spec.name, [])
        assert isinstance(items, list)
        if spec.type == "int" and field.wire_type == BYTES:  # packed: Go reads both forms
            items.extend(_packed(field.data))
        else:
            items.append(_value(spec, field, package))
    else:
        value = _value(spec, field, package)
        if spec.inline:
            assert isinstance(value, dict)
            found.update(value)
        elif value is not None and (value or spec.keeps_zero or isinstance(value, dict)):
            found[spec.name] = value


def _entry(spec: _Spec, field: Field, package: str) -> tuple[str, object]:
    """An entry of a map: a message of a key and a value, either of them absent when empty."""
    if field.wire_type != BYTES:
        raise Unreadable(f"field {spec.name} of the protobuf body is of another type")
    parts = _only_once(field.data, {1, 2})
    value = Field(2, BYTES, 0, parts.get(2, b""))
    return _text(parts.get(1, b"")), _value(spec, value, package)


def _packed(data: bytes) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        number, at = read_varint(data, at)
        numbers.append(to_signed(number))
    return numbers


def _value(spec: _Spec, field: Field, package: str) -> object:
    """One value as JSON has it. None: an empty time or raw value, which JSON leaves out."""
    kind = spec.type
    if field.wire_type != (VARINT if kind in ("int", "bool") else BYTES):
        raise Unreadable(f"field {spec.name} of the protobuf body is of another type")
    if kind == "int":
        return to_signed(field.number)
    if kind == "bool":
        return field.number != 0
    if kind == "":
        return _text(field.data)
    if kind == "bytes":
        return base64.b64encode(field.data).decode("ascii")
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(field.data)
    if kind == "opaque":
        raise Unreadable(f"field {spec.name} is of a type kubetape cannot read as protobuf; send JSON")
    outer, _, name = kind.rpartition(".")
    return _message(field.data, {"core": "v1", "": package}.get(outer, outer), name)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Unreadable("a text of the protobuf body is not UTF-8") from None


# --- types whose JSON form differs from their message ----------------------------------------------


def _numbers(data: bytes) -> dict[int, Field]:
    found: dict[int, Field] = {}
    for field in read_fields(data):
        if field.field in found:
            raise Unreadable("the protobuf body has a field where none belongs")
        found[field.field] = field
    return found


def _quantity(data: bytes) -> str:
    return _text(_only_once(data, {1}).get(1, b""))


def _int_or_string(data: bytes) -> object:
    fields = _numbers(data)
    zero = Field(0, VARINT, 0, b"")
    if fields.get(1, zero).number:
        return _text(fields.get(3, zero).data)
    return to_signed(fields.get(2, zero).number)


def _strings(data: bytes) -> list[str]:
    fields = list(read_fields(data))
    if any(field.field != 1 or field.wire_type != BYTES for field in fields):
        raise Unreadable("the protobuf body has a field where none belongs")
    return [_text(field.data) for field in fields]


def _raw(data: bytes) -> object:
    encoded = _only_once(data, {1}).get(1, b"")
    try:
        return msgspec.json.decode(encoded) if encoded else None
    except _UNDECODABLE:
        raise Unreadable("the protobuf body embeds something that is not JSON") from None


def _moment(data: bytes) -> datetime | None:
    fields = _numbers(data)
    if not fields:
        return None
    zero = Field(0, VARINT, 0, b"")
    seconds = to_signed(fields.get(1, zero).number)
    nanos = to_signed(fields.get(2, zero).number)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000)
    except (ValueError, OverflowError, OSError):
        raise Unreadable("the protobuf body has an impossible time") from None


def _time(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"


_SPECIAL: Final = {
    "quantity": _quantity,
    "intstr": _int_or_string,
    "strings": _strings,
    "raw": _raw,
    "time": _time,
    "microtime": _micro_time,
}


# --- reading the tables ------------------------------------------------------------------------------


@cache
def _messages(package: str) -> dict[str, dict[int, _Spec]]:
    """The tables of one group, read when first needed."""
    messages: dict[str, dict[int, _Spec]] = {}
    specs: dict[int, _Spec] = {}
    for line in _TABLES[package].splitlines():
        if not line.startswith(" "):
            specs = messages[line] = {}
            continue
        for entry in line.strip().rstrip(",").split(", "):
            number, _, rest = entry.partition(" ")
            specs[int(number)] = _read_spec(rest)
    return messages


def _read_spec(text: str) -> _Spec:
    name, _, kind = text.partition(":")
    return _Spec(
        name=name.rstrip("!*^"),
        type=kind.strip("{}"),
        keeps_zero=name.endswith("!"),
        repeated=name.endswith("*"),
        inline=name.endswith("^"),
        map=kind.startswith("{"),
    )
