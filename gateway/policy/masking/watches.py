"""A JSON watch, event by event, each forwarded as soon as it is whole.

A BOOKMARK goes through byte for byte (clients count on them), unless something in it must be hidden. An ERROR holds a
Status. Of a watch of Tables only the first event has columns; the document mask remembers them.
"""

from collections import Counter
from typing import Final

import msgspec

from gateway.policy.masking.documents import UNDECODABLE, DocumentMask
from gateway.policy.masking.refusal import Unmaskable
from protocol.errors import TooLarge, Unreadable
from protocol.json_values import JsonValues

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""etcd stores 1.5 MiB, JSON and managedFields make it a few times that, a Table holds the object once more."""

_SHELL: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class WatchMask:
    """Bytes of a watch in, whole masked events out."""

    def __init__(self, documents: DocumentMask, counts: Counter[str]) -> None:
        self._documents, self._counts = documents, counts
        self._values = JsonValues(MAX_EVENT_BYTES)

    def feed(self, data: bytes) -> bytes:
        """Events that are whole now, each with a newline. Raises Unmaskable: end the watch, visibly."""
        self._values.add(data)
        masked: list[bytes] = []
        try:
            while (event := self._next()) is not None:
                masked += (event, b"\n")
        except (TooLarge, Unreadable) as error:
            raise Unmaskable(502, error.why) from None
        return b"".join(masked)

    def finish(self) -> bytes:
        """Raises Unmaskable where the watch ends within an event: the part cannot be shown."""
        if self._values.pending_bytes:
            raise Unmaskable(502, "the watch ended within an event")
        return b""

    def _next(self) -> bytes | None:
        line = self._values.line()
        if line is not None:
            shell = _decoded(line)
            if shell is not None:
                self._values.skip(len(line))
                return self._event(line, shell)
        event = self._values.value()
        if event is None:
            return None
        shell = _decoded(event)
        if shell is None:
            raise Unmaskable(502, "the watch sent something that is not JSON")
        return self._event(event, shell)

    def _event(self, event: bytes, shell: dict[str, msgspec.Raw]) -> bytes:
        found = shell.get("object")
        if found is None:
            return self._documents.mask(event, self._counts)
        before = self._counts.total()
        whole = bytes(found)
        masked = self._documents.mask(whole, self._counts)
        is_bookmark = bytes(shell.get("type", b"")) == b'"BOOKMARK"'
        if masked is whole or (is_bookmark and self._counts.total() == before):
            return event
        return msgspec.json.encode({**shell, "object": msgspec.Raw(masked)})


def _decoded(event: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return _SHELL.decode(event)
    except UNDECODABLE:
        return None
