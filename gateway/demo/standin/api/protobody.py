"""Protobuf request bodies -> JSON values, for the kinds typed clients send.

Reads the envelope kube clients put around a body ("k8s\\0", then runtime.Unknown) and the fields of
the messages below; a field that is not listed is skipped. Answers are always JSON: clients decode by
Content-Type. The trap: gogo-protobuf writes empty strings, so zero-length fields mean nothing.
Source: the generated.proto files of k8s.io/api and k8s.io/apimachinery.
"""

import base64
import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.demo.standin.replies import Failure, JsonObject, bad_request

MAGIC: Final = b"k8s\x00"
MAX_DEPTH: Final = 32

_MESSAGES: Final = """
Unknown: 1 typeMeta TypeMeta, 2 raw bytes, 3 contentEncoding string, 4 contentType string
TypeMeta: 1 apiVersion string, 2 kind string
ObjectMeta: 1 name string, 2 generateName string, 3 namespace string, 5 uid string, 6 resourceVersion string, 7 generation int, 8 creationTimestamp Time, 9 deletionTimestamp Time, 10 deletionGracePeriodSeconds int, 11 labels {}string, 12 annotations {}string, 13 ownerReferences []OwnerReference, 14 finalizers []string, 17 managedFields []ManagedFieldsEntry
OwnerReference: 5 apiVersion string, 1 kind string, 3 name string, 4 uid string, 6 controller bool, 7 blockOwnerDeletion bool
ManagedFieldsEntry: 1 manager string, 2 operation string, 3 apiVersion string, 4 time Time, 6 fieldsType string, 7 fieldsV1 FieldsV1
ConfigMap: 1 metadata ObjectMeta, 4 immutable bool, 2 data {}string, 3 binaryData {}bytes
Secret: 1 metadata ObjectMeta, 5 immutable bool, 2 data {}bytes, 4 stringData {}string, 3 type string
Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status NamespaceStatus
NamespaceSpec: 1 finalizers []string
NamespaceStatus: 1 phase string
ServiceAccount: 1 metadata ObjectMeta, 2 secrets []ObjectReference, 3 imagePullSecrets []LocalObjectReference, 4 automountServiceAccountToken bool
ObjectReference: 1 kind string, 2 namespace string, 3 name string, 4 uid string, 5 apiVersion string, 6 resourceVersion string, 7 fieldPath string
LocalObjectReference: 1 name string
Service: 1 metadata ObjectMeta, 2 spec ServiceSpec
ServiceSpec: 1 ports []ServicePort, 2 selector {}string, 3 clusterIP string, 18 clusterIPs []string, 4 type string, 5 externalIPs []string, 7 sessionAffinity string, 8 loadBalancerIP string, 10 externalName string, 13 publishNotReadyAddresses bool
ServicePort: 1 name string, 2 protocol string, 6 appProtocol string, 3 port int, 4 targetPort IntOrString, 5 nodePort int
Pod: 1 metadata ObjectMeta, 2 spec PodSpec
PodTemplateSpec: 1 metadata ObjectMeta, 2 spec PodSpec
PodSpec: 1 volumes []Volume, 2 containers []Container, 3 restartPolicy string, 4 terminationGracePeriodSeconds int?, 5 activeDeadlineSeconds int, 6 dnsPolicy string, 7 nodeSelector {}string, 8 serviceAccountName string, 10 nodeName string, 11 hostNetwork bool, 12 hostPID bool, 13 hostIPC bool, 15 imagePullSecrets []LocalObjectReference, 16 hostname string, 17 subdomain string, 19 schedulerName string, 20 initContainers []Container
Volume: 1 name string
Container: 1 name string, 2 image string, 3 command []string, 4 args []string, 5 workingDir string, 6 ports []ContainerPort, 7 env []EnvVar, 8 resources ResourceRequirements, 9 volumeMounts []VolumeMount, 13 terminationMessagePath string, 14 imagePullPolicy string, 15 securityContext SecurityContext, 16 stdin bool, 17 stdinOnce bool, 18 tty bool
ContainerPort: 1 name string, 2 hostPort int, 3 containerPort int, 4 protocol string, 5 hostIP string
EnvVar: 1 name string, 2 value string
ResourceRequirements: 1 limits {}Quantity, 2 requests {}Quantity
VolumeMount: 1 name string, 2 readOnly bool, 3 mountPath string, 4 subPath string
SecurityContext: 2 privileged bool, 4 runAsUser int, 5 runAsNonRoot bool, 6 readOnlyRootFilesystem bool, 7 allowPrivilegeEscalation bool
Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec
DeploymentSpec: 1 replicas int?, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, 5 minReadySeconds int, 6 revisionHistoryLimit int, 7 paused bool, 9 progressDeadlineSeconds int
DeploymentStrategy: 1 type string
LabelSelector: 1 matchLabels {}string, 2 matchExpressions []LabelSelectorRequirement
LabelSelectorRequirement: 1 key string, 2 operator string, 3 values []string
SelfSubjectReview: 1 metadata ObjectMeta
SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SelfSubjectAccessReviewSpec
SelfSubjectAccessReviewSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes
ResourceAttributes: 1 namespace string, 2 verb string, 3 group string, 4 version string, 5 resource string, 6 subresource string, 7 name string
NonResourceAttributes: 1 path string, 2 verb string
SelfSubjectRulesReview: 1 metadata ObjectMeta, 2 spec SelfSubjectRulesReviewSpec
SelfSubjectRulesReviewSpec: 1 namespace string
DeleteOptions: 1 gracePeriodSeconds int?, 2 preconditions Preconditions, 3 orphanDependents bool, 4 propagationPolicy string, 5 dryRun []string
Preconditions: 1 uid string, 2 resourceVersion string
"""


class _Field(msgspec.Struct, frozen=True):
    name: str
    type: str
    many: str  # "", "[]" or "{}"


def _parse_messages(text: str) -> dict[str, dict[int, _Field]]:
    messages: dict[str, dict[int, _Field]] = {}
    for line in text.strip().splitlines():
        message, _, fields = line.partition(": ")
        messages[message] = {}
        for field in fields.split(", "):
            number, name, kind = field.split(" ")
            many = kind[:2] if kind[:2] in ("[]", "{}") else ""
            messages[message][int(number)] = _Field(name, kind.removeprefix(many), many)
    return messages


_SCHEMA: Final = _parse_messages(_MESSAGES)


def decode_body(body: bytes) -> JsonObject:
    """The object in a protobuf body, with apiVersion and kind.

    Raises Failure 400 on malformed bytes, 415 for a kind this stand-in has no schema for.
    """
    if not body.startswith(MAGIC):
        raise bad_request("a protobuf body starts with k8s and a zero byte")
    try:
        envelope = _decode("Unknown", body[len(MAGIC) :], 0)
        meta = envelope.get("typeMeta", {})
        kind = meta.get("kind", "")
        if kind not in _SCHEMA:
            raise Failure(415, "UnsupportedMediaType", f"the stand-in reads no protobuf {kind}; send JSON")
        raw = base64.b64decode(envelope.get("raw", ""))
        return {"apiVersion": meta.get("apiVersion", ""), "kind": kind} | _decode(kind, raw, 0)
    except (IndexError, ValueError) as error:
        raise bad_request("malformed protobuf body") from error


def _decode(message: str, data: bytes, depth: int) -> JsonObject:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    schema = _SCHEMA[message]
    decoded: JsonObject = {}
    at = 0
    while at < len(data):
        number, value, at = _read_field(data, at)
        field = schema.get(number)
        if field is None:
            continue
        if field.many == "{}":
            key, entry = _decode_entry(field.type, _as_bytes(value), depth)
            decoded.setdefault(field.name, {})[key] = entry
        elif field.many == "[]":
            decoded.setdefault(field.name, []).append(_decode_value(field.type, value, depth))
        else:
            converted = _decode_value(field.type, value, depth)
            if converted not in ("", None, 0, False, {}) or field.type == "int?":
                decoded[field.name] = converted
    return decoded


def _decode_entry(value_type: str, data: bytes, depth: int) -> tuple[str, Any]:
    key, entry, at = "", _decode_value(value_type, b"", depth), 0
    while at < len(data):
        number, value, at = _read_field(data, at)
        if number == 1:
            key = _as_bytes(value).decode()
        elif number == 2:
            entry = _decode_value(value_type, value, depth)
    return key, entry


def _decode_value(kind: str, value: int | bytes, depth: int) -> Any:
    if kind in ("int", "int?"):  # int?: a pointer in Go, so that 0 is said on purpose
        number = _as_int(value)
        return number - (1 << 64) if number >> 63 else number
    if kind == "bool":
        return bool(_as_int(value))
    data = _as_bytes(value)
    if kind == "string":
        return data.decode()
    if kind == "bytes":
        return base64.b64encode(data).decode()
    fields = dict(_fields(data))
    if kind == "Time":  # seconds and nanoseconds; no seconds means no time
        seconds = _as_int(fields.get(1, 0))
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
    if kind == "Quantity":
        return _as_bytes(fields.get(1, b"")).decode()
    if kind == "IntOrString":
        is_text = _as_int(fields.get(1, 0)) == 1
        return _as_bytes(fields.get(3, b"")).decode() if is_text else _as_int(fields.get(2, 0))
    if kind == "FieldsV1":
        return json.loads(_as_bytes(fields.get(1, b"")) or b"{}")
    return _decode(kind, data, depth + 1)


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    found, at = [], 0
    while at < len(data):
        number, value, at = _read_field(data, at)
        found.append((number, value))
    return found


def _read_field(data: bytes, at: int) -> tuple[int, int | bytes, int]:
    """(number, value, next offset). Raises ValueError or IndexError on a cut field."""
    key, at = _read_varint(data, at)
    number, wire = key >> 3, key & 7
    if wire == 0:
        value, at = _read_varint(data, at)
        return number, value, at
    if wire in (1, 5):
        size = 8 if wire == 1 else 4
    elif wire == 2:
        size, at = _read_varint(data, at)
    else:
        raise ValueError("unknown wire type")
    if at + size > len(data):
        raise ValueError("a field reaches past the end")
    return number, data[at : at + size], at + size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("a varint has at most ten bytes")


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a length-delimited field was expected")
    return value


def _as_int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a varint was expected")
    return value
