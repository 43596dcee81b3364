"""The records of one exchange -> its row, its texts, where its records lie. Pure: no SQL, no files.

`OpenCall` takes records in log order and can be stored between two runs of the indexer (`encode`),
so that a stream of a day is never read twice. Bodies are not parsed: their text is indexed as it is.
The trap: an exchange of a client may last for days and send without end, so everything kept here is
bounded, and text beyond a limit is counted as cut, never silently dropped.
"""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from protocol.events import Channel, Headers
from storage.index_schema import CallRow
from storage.index_text import Body, KnownTexts, Piece, Stream, StreamState
from storage.policy_story import PolicyStory
from storage.records import (
    AnyRecord,
    ChannelChunk,
    Exited,
    Intent,
    Outcome,
    RequestBody,
    ResponseBody,
    ResponseStarted,
    TunnelStarted,
    UnknownRecord,
)

DAY_NS: Final = 86_400_000_000_000

_encode_json: Final = msgspec.json.Encoder().encode
_encode_msgpack: Final = msgspec.msgpack.Encoder().encode

_TUNNELS: Final = frozenset(("exec", "attach", "portforward"))
_BODIES: Final = frozenset(("request", "response"))


class IndexSettings(msgspec.Struct, frozen=True):
    """How much text is indexed, in bytes as recorded."""

    metadata_only: bool = False
    """No text at all: no bodies, streams, command lines, query strings (which hold selectors), no words of
    errors. Who, when, what was done to which object and how it ended stay, names and namespaces with them."""

    max_body_bytes: int = 64 * 1024
    """Of each request and response body: 64 KiB hold some dozen objects."""
    max_stream_bytes: int = 4 * 1024 * 1024
    """Of each stream of exec, attach and logs: days of typing, minutes of chatter. Coloured output costs half
    a second of CPU per MiB, so this also bounds how far one stream can hold up the index."""


INTERRUPTED: Final = "interrupted: the process that served it ended without recording an outcome"
RECORDS_LOST: Final = "records of this call are gone: their segment was deleted, or its key destroyed"


class _OpenCallState(msgspec.Struct, array_like=True):
    row: CallRow
    request_limit: int
    response_limit: int
    streams: dict[str, StreamState]
    story: PolicyStory = msgspec.field(default_factory=PolicyStory)


class OpenCall:
    """One exchange between its Intent and its Outcome."""

    def __init__(self, row: CallRow, request_limit: int, response_limit: int) -> None:
        self.row = row
        self._request_limit, self._response_limit = request_limit, response_limit
        self._streams: dict[str, Stream] = {}
        self.story = PolicyStory()

    @classmethod
    def begin(cls, call: int, log: str, seq: int, intent: Intent, settings: IndexSettings) -> "OpenCall":
        row = call_row(call, log, seq, intent)
        if settings.metadata_only:
            row.target, row.argv = row.target.partition("?")[0], "[]"
            return cls(row, 0, 0)
        is_text = _is_text(intent.headers)
        return cls(row, settings.max_body_bytes if is_text else 0, 0)

    @classmethod
    def decode(cls, state: bytes, settings: IndexSettings) -> "OpenCall":
        """The opposite of `encode`. Raises msgspec.DecodeError."""
        stored = msgspec.msgpack.decode(state, type=_OpenCallState)
        call = cls(stored.row, stored.request_limit, stored.response_limit)
        call.story = stored.story
        for kind, stream in stored.streams.items():
            call._streams[kind] = call._stream(kind, call._limit_of(kind, settings), stream)
        return call

    def encode(self) -> bytes:
        streams = {kind: stream.state() for kind, stream in self._streams.items()}
        return msgspec.msgpack.encode(
            _OpenCallState(self.row, self._request_limit, self._response_limit, streams, self.story)
        )

    def take(
        self,
        record: AnyRecord | UnknownRecord,
        settings: IndexSettings,
        pieces: list[Piece],
        known: KnownTexts | None = None,
    ) -> bool:
        """One more record of this exchange. True if it was the Outcome: the exchange is over.

        known: of the day file that the pieces are for; without it, every text comes out whole.
        """
        row = self.row
        row.records += 1
        row.last_us = clamped(max(row.last_us, getattr(record, "at_us", 0)))
        if isinstance(record, ResponseBody):
            kind = "log" if row.kind == "log" else "response"
            self._text(kind, record.at_us, record.data, settings, pieces)
        elif isinstance(record, ChannelChunk):
            self._channel(record, settings, pieces)
        elif isinstance(record, RequestBody):
            self._text("request", row.last_us, record.data, settings, pieces)
        elif isinstance(record, ResponseStarted):
            row.status = record.status
            if _is_text(record.headers):
                is_log = row.kind == "log"
                self._response_limit = settings.max_stream_bytes if is_log else settings.max_body_bytes
        elif isinstance(record, TunnelStarted):
            row.kind, row.transport = record.kind, record.transport
            row.protocol, row.tty = record.protocol, record.tty
        elif isinstance(record, Exited):
            row.exit_code = record.exit_code
        elif isinstance(record, Outcome):
            self._end(record, pieces, known)
            if settings.metadata_only:
                row.why = ""
            return True
        elif self.story.take(record):
            self._tell_story()
        return False

    def flush(self, pieces: list[Piece]) -> None:
        """Give out the complete lines held so far: a live stream is searchable."""
        for stream in self._streams.values():
            stream.flush(pieces)

    def lose(self) -> None:
        """Records that may have been of this exchange cannot be read any more."""
        self.row.why, self.row.text_cut = RECORDS_LOST, True

    def abandon(self, why: str, pieces: list[Piece]) -> None:
        """Its log ended, or another run began, without an Outcome."""
        self.row.result, self.row.why = "unknown", self.row.why or why
        self.story.abandon()
        self._tell_story()
        self._finish_streams(pieces, None)

    def _end(self, outcome: Outcome, pieces: list[Piece], known: KnownTexts | None) -> None:
        row = self.row
        row.result, row.why = outcome.result, outcome.why
        row.status = outcome.status or row.status
        row.request_bytes, row.response_bytes = outcome.request_bytes, outcome.response_bytes
        if outcome.exit_code is not None:
            row.exit_code = outcome.exit_code
        self._finish_streams(pieces, known)

    def _tell_story(self) -> None:
        row, story = self.row, self.story
        row.holds = _json(tuple(dict.fromkeys(hold.hold for hold in story.holds)))
        row.hold_results, row.deciders = _json(story.hold_results), _json(story.deciders)
        row.held_us = clamped(story.held_us)
        row.masked, row.mask_rules = clamped(story.masked_values), _json(tuple(story.masked))
        row.later_rules, row.budgets = _json(tuple(story.rules)), _json(tuple(story.budgets))
        row.commands, row.files, row.sub_requests = story.commands, story.files, story.sub_requests
        row.text_cut |= story.is_cut

    def _finish_streams(self, pieces: list[Piece], known: KnownTexts | None) -> None:
        for stream in self._streams.values():
            stream.finish(self.row.last_us, pieces, known)
        self._streams.clear()

    def _channel(self, record: ChannelChunk, settings: IndexSettings, pieces: list[Piece]) -> None:
        row, size = self.row, len(record.data)
        if record.channel == Channel.STDIN:
            row.stdin_bytes += size
            self._text("stdin", record.at_us, record.data, settings, pieces)
        elif record.channel in (Channel.STDOUT, Channel.STDERR):
            row.output_bytes += size
            kind = "stdout" if record.channel == Channel.STDOUT else "stderr"
            self._text(kind, record.at_us, record.data, settings, pieces)
        elif record.channel == Channel.DATA:
            # forwarded connections carry any protocol; their bytes are not text to search
            if record.from_client:
                row.sent_bytes += size
            else:
                row.received_bytes += size
        elif record.channel == Channel.FORWARD_ERROR:
            self._text("forward-error", record.at_us, record.data, settings, pieces)

    def _text(self, kind: str, at_us: int, data: bytes, settings: IndexSettings, pieces: list[Piece]) -> None:
        if settings.metadata_only:
            return
        stream = self._streams.get(kind)
        if stream is None:
            limit = self._limit_of(kind, settings)
            if not limit:
                return
            stream = self._streams[kind] = self._stream(kind, limit)
        if not stream.take(at_us, data, pieces):
            self.row.text_cut = True

    def _stream(self, kind: str, limit: int, state: StreamState | None = None) -> Stream:
        made = Body if kind in _BODIES else Stream
        return made(self.row.id, kind, limit, state)

    def _limit_of(self, kind: str, settings: IndexSettings) -> int:
        if kind == "request":
            return self._request_limit
        if kind in ("response", "log"):
            return self._response_limit
        return settings.max_stream_bytes


def call_row(call: int, log: str, seq: int, intent: Intent) -> CallRow:
    """What an Intent alone says."""
    facts, principal, verdict = intent.call, intent.principal, intent.verdict
    return CallRow(
        id=call,
        exchange=intent.exchange,
        log=log,
        seq=seq,
        at_ns=clamped(intent.at_ns),
        session=intent.session,
        command=command_id(intent),
        connection=intent.connection,
        source=intent.source,
        http_version=intent.http_version,
        method=intent.method,
        target=intent.target.decode("latin-1"),
        user=principal.user if principal else "",
        groups=_json(principal.groups if principal else ()),
        user_agent=intent.user_agent,
        kubectl_command=intent.kubectl_command,
        kubectl_session=intent.kubectl_session,
        verb=facts.verb if facts else intent.method.lower(),
        api_group=facts.group if facts else "",
        version=facts.version if facts else "",
        resource=facts.resource if facts else "",
        subresource=facts.subresource if facts else "",
        namespace=facts.namespace if facts else "",
        name=facts.name if facts else "",
        container=facts.container if facts else "",
        argv=_json(facts.argv if facts else ()),
        ports=_json(facts.ports if facts else ()),
        decision=verdict.action,
        mode=verdict.mode,
        rules=_json(verdict.rules),
        reason=verdict.reason,
        policy_sha256=verdict.policy_sha256,
        kind=_kind_of(intent),
        records=1,
        scope=verdict.scope,
        shadow=_json(verdict.shadow),
        grants=_json(verdict.grants),
    )


def call_text(intent: Intent) -> str:
    """What is found by words of a call itself: verb, object, command line, path, client."""
    facts = intent.call
    words: list[str] = [intent.method, intent.kubectl_command, intent.user_agent]
    if facts is not None:
        words += (facts.verb, facts.resource, facts.subresource, facts.namespace, facts.name)
        words += (facts.container, facts.label_selector, facts.field_selector, " ".join(facts.argv))
    words += (intent.target.decode("latin-1"), intent.verdict.reason)
    return " ".join(filter(None, words))


def command_id(intent: Intent) -> str:
    """The command an exchange belongs to: 'k' and 32 hex digits.

    kubectl names its run (`Kubectl-Session`), and that name counts only within one credential: a hint
    of the client groups its own calls and nobody else's. Calls of other clients are grouped by
    connection. The id depends on nothing but the Intent, so a rebuilt index has the same ids.
    """
    who = intent.principal.credential_id if intent.principal else intent.source.rpartition(":")[0]
    if intent.kubectl_session:
        return _command_of(who, "run", intent.kubectl_session)
    return _command_of(who, "connection", intent.connection)


@lru_cache(maxsize=1024)
def _command_of(*hint: str) -> str:
    return f"k{hashlib.sha256(_encode_msgpack(hint)).hexdigest()[:32]}"


def day_of(at_ns: int) -> str:
    """UTC day, as in the name of an index file."""
    return _day_name(clamped(at_ns) // DAY_NS)


@lru_cache(maxsize=16)
def _day_name(day: int) -> str:
    return datetime.fromtimestamp(day * (DAY_NS // 1_000_000_000), UTC).strftime("%Y-%m-%d")


def clamped(number: int) -> int:
    """What an index can hold of a time: a clock gone mad must not stop it."""
    return min(max(0, number), 2**63 - 1)


def _kind_of(intent: Intent) -> str:
    facts = intent.call
    if facts is None:
        return "call"
    if facts.resource == "pods" and facts.subresource in _TUNNELS:
        return facts.subresource
    if facts.subresource == "log":
        return "log"
    return "watch" if facts.verb == "watch" else "call"


def _is_text(headers: Headers) -> bool:
    """Whether a body is text, as its headers say. Encoded (gzip) and binary ones are not indexed."""
    content_type = b""
    for name, value in headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            return False
        if name == b"content-type":
            content_type = value.split(b";", 1)[0].strip().lower()
    return content_type.startswith(b"text/") or content_type.endswith((b"json", b"yaml", b"xml"))


def _json(values: tuple[str, ...] | tuple[int, ...]) -> str:
    return _encode_json(values).decode() if values else "[]"
