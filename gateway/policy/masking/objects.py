"""One Kubernetes object, and the copies of itself that it carries, hidden in place.

The copies: last-applied-configuration and other annotations that hold a whole object, managedFields, a Status that
repeats what was refused. Templates of pods and the twins of `data` are in the tree of paths already.
The trap: an item of a list and a patch do not say their kind, and only a Secret's `data` is base64: the caller knows.
"""

from collections import Counter
from typing import Final

import msgspec

from gateway.policy.masking.field_sets import mask_managed_fields
from gateway.policy.masking.hiding import PREFIX, hide
from gateway.policy.masking.paths import Node
from gateway.policy.masking.statuses import mask_status
from gateway.policy.masking.texts import TextMask
from gateway.policy.masking.walking import walk_top

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

MAX_EMBEDDED: Final = 4
"""Objects in annotations of objects; what is deeper is hidden whole."""

_WHAT_IT_IS: Final = frozenset(("apiVersion", "kind"))
"""Never hidden at the top of an object: no client could decode the answer."""

_ENCODED: Final = frozenset(("binaryData",))
_ENCODED_IN_SECRETS: Final = _ENCODED | {"data"}

# gzip and zip in base64: what some tools keep of an object they applied. Nobody can look into it here.
_ARCHIVES: Final = ("H4sI", "UEsD")
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ObjectMask:
    """Paths and detectors of one verdict, applied to objects. first_rule: named where something is hidden whole."""

    def __init__(self, root: Node, texts: TextMask | None, first_rule: str) -> None:
        self._root = root
        self._texts = texts
        self._first_rule = first_rule
        self._has_paths = bool(root.keys) or root.any_key is not None or root.any_depth is not None

    def mask(self, value: dict[str, object], kind: str, counts: Counter[str]) -> None:
        """Hide what the masks name in one object, in place.

        kind: what it is where it does not say so. counts: values hidden, per rule. Raises RecursionError.
        """
        self._mask(value, kind, counts, 0)

    def _mask(self, value: dict[str, object], kind: str, counts: Counter[str], embedded: int) -> None:
        said = value.get("kind")
        kind = said if isinstance(said, str) else kind
        if kind == "Status" and self._has_paths:
            mask_status(value, self._root, self._first_rule, counts)
        else:
            walk_top(value, self._root, counts, kept=_WHAT_IT_IS, encoded=encoded_members(kind))
        metadata = value.get("metadata")
        if isinstance(metadata, dict):
            if self._has_paths:
                mask_managed_fields(metadata.get("managedFields"), self._root, counts)
            annotations = metadata.get("annotations")
            if isinstance(annotations, dict):
                self._mask_copies(annotations, kind, counts, embedded)
        if self._texts is not None:
            encoded = encoded_members(kind)
            for key, member in value.items():
                value[key] = self._texts.value(member, counts, encoded=key in encoded)
            self._texts.keys(value, counts)

    def _mask_copies(
        self, annotations: dict[str, object], kind: str, counts: Counter[str], embedded: int
    ) -> None:
        for name, text in annotations.items():
            if not isinstance(text, str) or text.startswith(PREFIX):
                continue
            if text.startswith(_ARCHIVES) and self._has_paths:
                annotations[name] = hide(text, self._first_rule, counts)
            elif name == LAST_APPLIED or text.lstrip().startswith("{"):
                annotations[name] = self._mask_copy(name, text, kind, counts, embedded)

    def _mask_copy(self, name: str, text: str, kind: str, counts: Counter[str], embedded: int) -> object:
        try:
            copy = msgspec.json.decode(text)
        except _UNDECODABLE:
            copy = None
        is_object = isinstance(copy, dict) and (name == LAST_APPLIED or "kind" in copy)
        if not is_object or embedded == MAX_EMBEDDED:
            unreadable = self._has_paths and (is_object or name == LAST_APPLIED)
            return hide(text, self._first_rule, counts) if unreadable else text
        before = counts.total()
        self._mask(copy, kind, counts, embedded + 1)
        if counts.total() == before:
            return text
        return msgspec.json.encode(copy).decode() + ("\n" if text.endswith("\n") else "")


def encoded_members(kind: str) -> frozenset[str]:
    """The members of an object below which strings are base64."""
    return _ENCODED_IN_SECRETS if kind == "Secret" else _ENCODED
