"""The one door to masking: the masks of a verdict -> what may be shown and recorded of a call.

Everything is compiled once per set of masks and shared by all calls under it; only what `answer` makes has a state.
Discovery and OpenAPI describe the API and hold no objects: they pass. Everything else an answer of a masked call may be
is read, or refused.
"""

from collections import Counter
from functools import lru_cache, partial
from typing import Final

from gateway.policy.masking.accept import ask_plainly
from gateway.policy.masking.answer import OF_OTHER_BYTES, AnswerMask, Parts, choose_body
from gateway.policy.masking.bodies import decode_body
from gateway.policy.masking.detectors import DetectorSet
from gateway.policy.masking.documents import DocumentMask
from gateway.policy.masking.hiding import find_placeholder
from gateway.policy.masking.objects import ObjectMask
from gateway.policy.masking.paths import compile_paths, expand, parse_path
from gateway.policy.masking.prefilter import Prefilter
from gateway.policy.masking.refusal import Unmaskable
from gateway.policy.masking.request import RequestMask, kind_of
from gateway.policy.masking.stream import StreamMask
from gateway.policy.masking.tables import Columns, TableMask
from gateway.policy.masking.texts import TextMask
from gateway.policy.model import CustomDetector, Mask
from protocol.apicall import Call
from protocol.events import Headers, ResponseHead
from protocol.query import encode_query, parse_foreign_query

__all__ = ["Masker", "Unmaskable", "decode_body", "find_placeholder", "masker_for"]

CACHED_MASKERS: Final = 256
"""One per combination of mask rules that some call met; a policy has a handful."""

_DESCRIPTIONS: Final = ("/api", "/apis", "/openapi", "/version")
_KEPT_AS_THEY_ARE: Final = frozenset((b"content-type", b"content-encoding", b"date", b"cache-control"))


@lru_cache(maxsize=CACHED_MASKERS)
def masker_for(masks: tuple[Mask, ...], detectors: tuple[CustomDetector, ...] = ()) -> "Masker":
    """The Masker of these masks, made once."""
    return Masker(masks, detectors)


class Masker:
    """Hides what some masks name. masks: of a Verdict; detectors: the policy's own, those not named are ignored.

    Raises BadPath or ValueError for masks that loading a policy would have refused.
    """

    def __init__(self, masks: tuple[Mask, ...], detectors: tuple[CustomDetector, ...] = ()) -> None:
        self._masks = masks
        named = [(parse_path(path), mask.rule) for mask in masks for path in mask.paths]
        paths = [(twin, rule) for path, rule in named for twin in expand(path)]
        self._rule_of = {name: mask.rule for mask in reversed(masks) for name in mask.detectors}
        self._detectors = DetectorSet(tuple(self._rule_of), detectors) if self._rule_of else None
        self._texts = TextMask(self._detectors, self._rule_of) if self._detectors is not None else None
        first_rule = masks[0].rule if masks else ""
        first_path_rule = paths[0][1] if paths else first_rule
        root = compile_paths(paths)
        self._prefilter = Prefilter([path for path, _ in paths], self._detectors)
        self._objects = ObjectMask(root, self._texts, first_path_rule)
        self._new_stream = None
        if self._detectors is not None and self._texts is not None:
            self._new_stream = partial(
                StreamMask, self._detectors, self._rule_of, False, self._texts.placeholder
            )
        self._columns = lru_cache(maxsize=64)(partial(Columns, masks, named))
        self._requests = RequestMask(root, self._prefilter, self._objects, self._texts, first_rule)

    def __bool__(self) -> bool:
        return bool(self._masks)

    def request_headers(self, headers: Headers, call: Call) -> Headers:
        """What to send upstream so that the answer can be read."""
        return ask_plainly(headers, call) if self._masks and not is_description(call) else headers

    def answer(self, call: Call, head: ResponseHead) -> AnswerMask | None:
        """A mask for one answer, None where it may pass as it is. Raises Unmaskable."""
        if not self._masks or is_description(call):
            return None
        counts: Counter[str] = Counter()
        table = TableMask(self._columns(call.group), self._objects, self._texts)
        documents = DocumentMask(self._prefilter, self._objects, table, self._texts, kind_of(call))
        body = choose_body(call, head, Parts(documents, self._new_stream), counts)
        return AnswerMask(self._masked_head(head, counts), body, counts)

    def stream(self, *, tty: bool) -> StreamMask | None:
        """A mask for one direction of a stream; None where no detector looks for anything."""
        if self._detectors is None or self._texts is None:
            return None
        return StreamMask(self._detectors, self._rule_of, tty, self._texts.placeholder)

    def headers(self, headers: Headers) -> Headers:
        """Header values for the record."""
        if self._texts is None:
            return headers
        return tuple((name, self._texts.octets(value, Counter())) for name, value in headers)

    def _masked_head(self, head: ResponseHead, counts: Counter[str]) -> ResponseHead:
        kept = [pair for pair in head.headers if pair[0] not in OF_OTHER_BYTES]
        if self._texts is not None:
            kept = [
                (name, value if name in _KEPT_AS_THEY_ARE else self._texts.octets(value, counts))
                for name, value in kept
            ]
        return ResponseHead(head.status, tuple(kept), head.stream_id, content_length=None)

    def request(self, call: Call, content_type: bytes, body: bytes) -> tuple[bytes, Counter[str]]:
        """A request body as it may be recorded, and how many values each rule hid."""
        if not self._masks:
            return body, Counter()
        return self._requests.mask(call, content_type, body)

    def text(self, text: str) -> str:
        """Free text with what detectors find hidden: an argument, a header value, a reason."""
        return text if self._texts is None else self._texts.text(text, Counter())

    def target(self, target: bytes) -> bytes:
        """A request target for the record: detectors over its path, and over each value of its query, decoded."""
        if self._texts is None:
            return target
        path, mark, query = target.partition(b"?")
        pairs = parse_foreign_query(query)
        masked = [(self.text(name), self.text(value)) for name, value in pairs]
        shown = encode_query(masked) if masked != pairs else self._texts.octets(query, Counter())
        path = self._texts.octets(path, Counter())
        return (path + mark + shown).replace(b" ", b"%20")


def is_description(call: Call) -> bool:
    """Discovery, OpenAPI, version: what the API is, nothing of what is in it."""
    if call.is_resource:
        return False
    return any(call.path == path or call.path.startswith(f"{path}/") for path in _DESCRIPTIONS)
