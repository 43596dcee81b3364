"""A request body as it may be recorded. What goes upstream is the body itself, untouched.

JSON stays JSON. YAML and protobuf are recorded as the JSON of what they say, marked so (YAML has comments, which no
path reaches). What cannot be read is not recorded: a line about it takes its place.
"""

from collections import Counter
from typing import Final

import msgspec

from gateway.policy.masking.bodies import (
    JSON_PATCH,
    JSON_PATCH_TYPE,
    STRATEGIC_MERGE_TYPE,
    decode_body,
    has_object,
    media_type,
)
from gateway.policy.masking.hiding import hide, placeholder
from gateway.policy.masking.objects import ObjectMask, encoded_members
from gateway.policy.masking.paths import Node
from gateway.policy.masking.prefilter import Prefilter
from gateway.policy.masking.texts import TextMask
from gateway.policy.masking.walking import containers_in, nodes_below, walk
from gateway.policy.model import JsonObject
from protocol.apicall import Call
from protocol.errors import Unreadable

NOTE: Final = "kubetape.io/recorded-from"
"""A member of recorded JSON that came in another encoding: its Content-Type."""

_DIRECTIVES: Final = ("$deleteFromPrimitiveList/", "$setElementOrder/")


class RequestMask:
    """The masks of one verdict, for bodies of requests."""

    def __init__(
        self,
        root: Node,
        prefilter: Prefilter,
        objects: ObjectMask,
        texts: TextMask | None,
        first_rule: str,
    ) -> None:
        self._root, self._prefilter = root, prefilter
        self._objects, self._texts = objects, texts
        self._first_rule = first_rule

    def mask(self, call: Call, content_type: bytes, body: bytes) -> tuple[bytes, Counter[str]]:
        """The body to record, and how many values each rule hid in it."""
        counts: Counter[str] = Counter()
        if not body:
            return body, counts
        if not has_object(call):
            return (body if self._texts is None else self._texts.octets(body, counts)), counts
        kind = kind_of(call)
        is_json = body.lstrip()[:1] in (b"{", b"[")
        media = media_type(content_type)
        # a JSON patch spells its names in pointers, where the prefilter does not look
        if is_json and media != JSON_PATCH_TYPE:
            if not self._prefilter.may_hide(body, base64=kind == "Secret"):
                return body, counts
        try:
            value = decode_body(content_type, body, call)
            assert value is not None
            self._mask_value(value, kind, media, counts)
        except (Unreadable, RecursionError):
            counts[self._first_rule] += 1
            why = f"{placeholder(self._first_rule)} {len(body)} bytes of a body that kubetape cannot read"
            return why.encode("ascii"), counts
        if media == JSON_PATCH_TYPE:
            return msgspec.json.encode(value[JSON_PATCH]), counts
        return msgspec.json.encode(value if is_json else {NOTE: media, **value}), counts

    def _mask_value(self, value: JsonObject, kind: str, media: str, counts: Counter[str]) -> None:
        if media == JSON_PATCH_TYPE:
            operations = value[JSON_PATCH]
            assert isinstance(operations, list)
            for operation in operations:
                self._mask_operation(operation, kind, counts)
            return
        if media == STRATEGIC_MERGE_TYPE:
            self._mask_directives(value, counts)
        items = value.get("items")
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                self._objects.mask(item, kind, counts)
        self._objects.mask(value, kind, counts)

    def _mask_operation(self, operation: JsonObject, kind: str, counts: Counter[str]) -> None:
        """One operation of a JSON patch: its path says where its value belongs."""
        pointer = operation.get("path")
        names = pointer.split("/")[1:] if isinstance(pointer, str) else []
        names = [name.replace("~1", "/").replace("~0", "~") for name in names]
        holder: JsonObject = {"value": operation.get("value")}
        encoded = names[:1] != [] and names[0] in encoded_members(kind)
        self._mask_at(holder, names, kind, counts)
        if self._texts is not None:
            holder["value"] = self._texts.value(holder["value"], counts, encoded=encoded)
            if isinstance(pointer, str):
                operation["path"] = self._texts.text(pointer, counts)
        if "value" in operation:
            operation["value"] = holder["value"]

    def _mask_at(self, holder: JsonObject, names: list[str], kind: str, counts: Counter[str]) -> None:
        value = holder["value"]
        if not names:
            if isinstance(value, dict):
                self._objects.mask(value, kind, counts)
            return
        encoded = names[0] in encoded_members(kind)
        nodes = [self._root]
        for name in names:
            nodes = nodes_below(nodes, name)
            rule = next((node.rule for node in nodes if node.rule), "")
            if rule:
                holder["value"] = hide(value, rule, counts, encoded=encoded)
                return
        for node in nodes:
            walk(value, node, counts, encoded=encoded)
        if names[0] == "metadata":  # it may bring a copy of the object: an annotation, managedFields
            holder["value"] = self._masked_inside(names, value, kind, counts)

    def _masked_inside(self, names: list[str], value: object, kind: str, counts: Counter[str]) -> object:
        """The value as it is masked where a patch puts it."""
        outer = inner = {names[-1]: value}
        for name in reversed(names[:-1]):
            outer = {name: outer}
        self._objects.mask(outer, kind, counts)
        return next(iter(inner.values()))

    def _mask_directives(self, value: JsonObject, counts: Counter[str]) -> None:
        """Lists of a strategic merge patch that name items of a list beside it by their values."""
        for inner in list(containers_in(value)):
            if not isinstance(inner, dict):
                continue
            for key, member in inner.items():
                if key.startswith(_DIRECTIVES) and self._prefilter.names(key.partition("/")[2]):
                    inner[key] = hide(member, self._first_rule, counts)


def kind_of(call: Call) -> str:
    """What the objects of a call are, as far as masking has to know it."""
    return "Secret" if call.resource == "secrets" and call.group == "" else ""
