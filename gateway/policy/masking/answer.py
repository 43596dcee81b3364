"""One answer of the API server, masked on its way to the record and the client.

A JSON document is held back until it is whole, a watch until an event is, a text as long as a secret may continue. What
cannot be read (protobuf, CBOR, YAML, anything compressed) is not shown: `Unmaskable`, and it was asked for as JSON.
The trap: validators and lengths of the answer speak of bytes that are not shown; they go.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway.policy.masking.documents import DocumentMask
from gateway.policy.masking.refusal import Unmaskable
from gateway.policy.masking.stream import StreamMask
from gateway.policy.masking.watches import WatchMask
from protocol.apicall import Call
from protocol.events import ResponseHead

MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
"""A list of 10 000 pods with managedFields has some 60 MiB. Decoded it is a few times that, for one call; clients that
page (kubectl does, by 500) stay far below."""

OF_OTHER_BYTES: Final = frozenset(
    (
        b"content-length",
        b"etag",
        b"content-md5",
        b"digest",
        b"content-digest",
        b"repr-digest",
        b"accept-ranges",
    )
)
"""Headers about the bytes that came, not about those that are shown."""

BODILESS: Final = (204, 304)


class Body(Protocol):
    """The body of an answer, piece by piece."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Parts(NamedTuple):
    """What an answer needs of the masks of a verdict."""

    documents: DocumentMask
    new_stream: Callable[[], StreamMask] | None  # None: no detectors


class AnswerMask:
    """Masks one answer: its head, then its body in pieces.

    Send the head with the first bytes that `feed` or `finish` returns, unless `is_immediate`: until then an
    `Unmaskable` can still be answered. Afterwards the answer can only be broken off. counts: values hidden, per rule.
    """

    def __init__(self, head: ResponseHead, body: Body, counts: Counter[str]) -> None:
        self._head, self._body = head, body
        self.counts = counts
        # clients of a watch or a log wait for the head, and may wait long for the first event or line
        self.is_immediate = isinstance(body, WatchMask | TextBody | UntouchedBody)

    def head(self) -> ResponseHead:
        return self._head

    def feed(self, data: bytes) -> bytes:
        """What may be shown now, perhaps nothing. Raises Unmaskable."""
        return self._body.feed(data)

    def finish(self) -> bytes:
        """The rest, at the end of the answer. Raises Unmaskable."""
        return self._body.finish()

    @property
    def stream(self) -> StreamMask | None:
        """For a text: what may hold bytes back, so that the caller can let them go when nothing more comes."""
        return self._body.mask if isinstance(self._body, TextBody) else None


class DocumentBody:
    """A JSON document: nothing, and at the end all of it."""

    def __init__(self, documents: DocumentMask, counts: Counter[str]) -> None:
        self._documents, self._counts = documents, counts
        self._received: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > MAX_DOCUMENT_BYTES:
            self._received.clear()
            raise Unmaskable(502, "the answer is too large to be masked: ask for less at a time (limit=500)")
        self._received.append(data)
        return b""

    def finish(self) -> bytes:
        body = b"".join(self._received)
        self._received.clear()
        return self._documents.mask(body, self._counts) if body else body


class TextBody:
    """Text: logs, and what else is not JSON."""

    def __init__(self, mask: StreamMask, counts: Counter[str]) -> None:
        self.mask, self._counts = mask, counts
        self._counted_before: Counter[str] = Counter()

    def feed(self, data: bytes) -> bytes:
        return self._counted(self.mask.feed(data))

    def finish(self) -> bytes:
        return self._counted(self.mask.flush())

    def _counted(self, shown: bytes) -> bytes:
        self._counts.update(self.mask.counts - self._counted_before)
        self._counted_before = self.mask.counts.copy()
        return shown


class UntouchedBody:
    """Nothing to hide: no body, or text and only paths."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class NoBody:
    """An answer without a body; bytes that come nevertheless cannot be read."""

    def feed(self, data: bytes) -> bytes:
        raise Unmaskable(502, "the API server's answer does not say what it is")

    def finish(self) -> bytes:
        return b""


def choose_body(call: Call, head: ResponseHead, parts: Parts, counts: Counter[str]) -> Body:
    """How to read the body of an answer. Raises Unmaskable for encodings that cannot be masked."""
    if head.status in BODILESS or call.method == "HEAD":
        return UntouchedBody()
    if any(coding not in (b"", b"identity") for coding in _values(head, b"content-encoding")):
        raise Unmaskable(406, "the answer is compressed and cannot be masked; ask without Accept-Encoding")
    types = {value.partition(b";")[0].strip(b" \t") for value in _values(head, b"content-type")}
    if len(types) != 1:
        return NoBody() if not types else _refuse("more than one Content-Type")
    (media,) = types
    is_log = call.resource == "pods" and call.subresource == "log" and head.status == 200
    if (media == b"application/json" or media.endswith(b"+json")) and not is_log:
        if call.watch and head.status == 200:
            return WatchMask(parts.documents, counts)
        return DocumentBody(parts.documents, counts)
    if is_log or media.startswith(b"text/"):
        return UntouchedBody() if parts.new_stream is None else TextBody(parts.new_stream(), counts)
    if head.content_length == 0:
        return NoBody()
    return _refuse(media.decode("latin-1"))


def _refuse(what: str) -> Body:
    raise Unmaskable(
        406, f"a rule masks this answer, which came as {what[:64]}; ask for application/json instead"
    )


def _values(head: ResponseHead, name: bytes) -> list[bytes]:
    return [value.lower() for header, value in head.headers if header == name]
