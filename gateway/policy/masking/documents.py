"""One JSON document -> the same without what is hidden: an object, a list of them, a Table, a Status.

Where only detectors hit, and only plain strings, these are replaced in the bytes as they are. Else lists and Tables are
cut into their items undecoded, and only items that may hold something are decoded at all; the others keep their bytes.
What is decoded is always encoded again, hit or not, so that a member that stands twice cannot hide its first value from
us and show it to a client.
Numbers keep their meaning: integers of any size exactly, others as the nearest double, as every Go client reads them.
"""

import re
from collections import Counter
from typing import Final

import msgspec

from gateway.policy.masking.detectors import Hit
from gateway.policy.masking.objects import ObjectMask
from gateway.policy.masking.prefilter import Prefilter
from gateway.policy.masking.refusal import Unmaskable
from gateway.policy.masking.tables import TableMask
from gateway.policy.masking.texts import TextMask

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_ARE_OBJECTS: Final = re.compile(rb"\[\s*[{\]]")
_SHELL: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_ANY: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()


class DocumentMask:
    """The masks of one verdict for the documents of one answer.

    kind: what objects are that do not say so. It keeps the columns of a Table for the next document.
    """

    def __init__(
        self,
        prefilter: Prefilter,
        objects: ObjectMask,
        table: TableMask,
        texts: TextMask | None,
        kind: str,
    ) -> None:
        self._prefilter = prefilter
        self._objects, self._table, self._texts = objects, table, texts
        self._kind = kind

    def mask(self, body: bytes, counts: Counter[str]) -> bytes:
        """The document without what is hidden; the same bytes where nothing could be. Raises Unmaskable."""
        may_be_table = self._table.has_columns and b'"Table"' in body
        hits = self._hits_in(body) if not may_be_table else None
        if hits == []:
            return body
        try:
            if hits is not None and self._texts is not None:
                _RAW.decode(body)  # only of JSON it is known what is a string
                return self._texts.in_place(body, hits, counts)
            masked = self._masked(body, counts)
        except UNDECODABLE:
            raise Unmaskable(502, "the API server's answer is not JSON that can be masked") from None
        return masked + b"\n" if body.endswith(b"\n") else masked

    def _hits_in(self, body: bytes) -> list[Hit] | None:
        """What is hidden, where that is known without decoding."""
        if self._prefilter.may_have_path(body):
            return None
        return self._prefilter.hits_in(body, base64=self._kind == "Secret")

    def _may_hide(self, body: bytes, kind: str) -> bool:
        return self._prefilter.may_hide(body, base64=kind == "Secret")

    def _masked(self, body: bytes, counts: Counter[str]) -> bytes:
        if not body.lstrip().startswith(b"{"):
            return _ENCODER.encode(self._other_value(_ANY.decode(body), counts))
        shell = _SHELL.decode(body)
        said = _text_of(shell.get("kind"))
        if said == "Table" and _text_of(shell.get("apiVersion")).startswith("meta.k8s.io/"):
            self._table.columns(_ANY.decode(shell.get("columnDefinitions", b"null")))
            return self._masked_list(shell, "rows", self._kind, counts)
        if _ARE_OBJECTS.match(bytes(shell.get("items", b""))):
            kind = said.removesuffix("List") if said.endswith("List") and said != "List" else self._kind
            return self._masked_list(shell, "items", kind, counts)
        return self._masked_object(body, self._kind, counts)

    def _masked_list(
        self, shell: dict[str, msgspec.Raw], member: str, kind: str, counts: Counter[str]
    ) -> bytes:
        """Items one by one; what is around them as an object of its own."""
        items = shell.get(member, msgspec.Raw(b"null"))
        if bytes(items).startswith(b"["):
            one = self._masked_row if member == "rows" else self._masked_item
            items = msgspec.Raw(_ENCODER.encode([one(item, kind, counts) for item in _ITEMS.decode(items)]))
        around = _ENCODER.encode({name: raw for name, raw in shell.items() if name != member})
        if self._prefilter.may_hide(around):
            around = self._masked_object(around, "", counts)
        return _ENCODER.encode({**_SHELL.decode(around), member: items})

    def _masked_item(self, item: msgspec.Raw, kind: str, counts: Counter[str]) -> msgspec.Raw:
        if not self._may_hide(bytes(item), kind):
            return item
        return msgspec.Raw(self._masked_object(item, kind, counts))

    def _masked_row(self, row: msgspec.Raw, kind: str, counts: Counter[str]) -> msgspec.Raw:
        if not self._table.has_columns and not self._may_hide(bytes(row), kind):
            return row
        value = _ANY.decode(row)
        self._table.row(value, kind, counts)
        return msgspec.Raw(_ENCODER.encode(value))

    def _masked_object(self, body: bytes | msgspec.Raw, kind: str, counts: Counter[str]) -> bytes:
        value = _ANY.decode(body)
        if not isinstance(value, dict):
            return _ENCODER.encode(self._other_value(value, counts))
        self._objects.mask(value, kind, counts)
        return _ENCODER.encode(value)

    def _other_value(self, value: object, counts: Counter[str]) -> object:
        """An answer that is no object: what an application behind `proxy` may send, or a list of objects."""
        for item in value if isinstance(value, list) else ():
            if isinstance(item, dict):
                self._objects.mask(item, self._kind, counts)
        return value if self._texts is None else self._texts.value(value, counts)


def _text_of(raw: msgspec.Raw | None) -> str:
    return _TEXT.decode(raw) if raw is not None and bytes(raw).startswith(b'"') else ""
