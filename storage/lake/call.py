"""One exchange -> its row of api_calls and the rows of its streams. Pure.

Built on `OpenCall`, the machine that feeds the index too, so that lake and index tell one story. What is
added: where each event lies in the log, streams of tunnels, hashes of bodies. Everything can be stored
between two segments (`encode`) and goes on with the same rows, but for a hash under way, which cannot: a
decoded call `wants_bodies` once more (`feed_again`), and without them its hash is None, never wrong.

The trap: in metadata mode what must not come out is removed from the Intent at once, so that no later
line of code, and no stored state, has it.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from storage.index_rows import OpenCall
from storage.index_text import Piece
from storage.lake.body import BodyHash, BodyState
from storage.lake.facts import (
    Facts,
    durations,
    facts_of,
    facts_without_content,
    fitting,
    protocol_name,
    run_by,
    uuid_text,
    without_content,
)
from storage.lake.place import LeafIndex, Place, moment
from storage.lake.rows import ApiCall, Bigint, Int, StreamEvent
from storage.lake.settings import RowSettings
from storage.lake.tunnel import Happening, Tunnel, TunnelState
from storage.records import (
    AnyRecord,
    Intent,
    Outcome,
    RequestBody,
    ResponseBody,
    UnknownRecord,
)

UNKNOWN: Final = "unknown"
_ENDLESS: Final = frozenset(("watch", "log", "exec", "attach", "portforward"))
"""Kinds of calls whose answer has no end of its own: no hash of it means anything."""


class _State(msgspec.Struct, array_like=True):
    call: bytes
    facts: Facts
    request: BodyState
    response: BodyState
    tunnel: TunnelState


class RowContext(msgspec.Struct, frozen=True):
    """What all rows of a log share. cluster: fit for an object key."""

    cluster: str
    settings: RowSettings
    leaf_index: LeafIndex | None

    def leaf(self, at: Place) -> Bigint | None:
        index = self.leaf_index(at.segment.stem, at.block_seq) if self.leaf_index else None
        return None if index is None else Bigint(index)


class LakeCall:
    """One exchange between its Intent and its Outcome."""

    def __init__(
        self,
        context: RowContext,
        call: OpenCall,
        facts: Facts,
        bodies: tuple[BodyHash, BodyHash],
        tunnel: Tunnel,
    ) -> None:
        self._context, self._call, self._facts, self._tunnel = context, call, facts, tunnel
        self._request, self._response = bodies

    @classmethod
    def begin(cls, context: RowContext, log: str, at: Place, intent: Intent) -> "LakeCall":
        named = run_by(intent)
        if context.settings.metadata_only:
            intent = without_content(intent)
        call = OpenCall.begin(0, log, at.rec_seq, intent, context.settings.limits)
        hashed = not context.settings.metadata_only
        bodies = BodyHash(hashed=hashed), BodyHash(hashed=hashed and call.row.kind not in _ENDLESS)
        return cls(context, call, facts_of(context.settings, at, intent, named), bodies, Tunnel())

    @classmethod
    def decode(cls, context: RowContext, encoded: bytes) -> "LakeCall":
        """The opposite of `encode`. Raises msgspec.DecodeError."""
        state = msgspec.msgpack.decode(encoded, type=_State)
        call = OpenCall.decode(state.call, context.settings.limits)
        facts, bodies = state.facts, (state.request, state.response)
        if context.settings.metadata_only:  # it may not have been, when this was stored
            call.row.target = call.row.target.partition("?")[0]
            facts = facts_without_content(facts)
            bodies = BodyState(False, state.request.length), BodyState(False, state.response.length)
        request, response = (BodyHash(hashed=False, state=body) for body in bodies)
        return cls(context, call, facts, (request, response), Tunnel(state.tunnel))

    def encode(self) -> bytes:
        bodies = self._request.state(), self._response.state()
        return msgspec.msgpack.encode(_State(self._call.encode(), self._facts, *bodies, self._tunnel.state))

    @property
    def exchange(self) -> bytes:
        return self._call.row.exchange

    @property
    def at(self) -> Place:
        """Of its Intent."""
        return self._facts.at

    # --- records ----------------------------------------------------------------------------------

    def take(self, record: AnyRecord | UnknownRecord, at: Place, rows: list[StreamEvent | ApiCall]) -> bool:
        """One more record of this exchange; adds the rows it completes. True if it was the Outcome."""
        if isinstance(record, RequestBody):
            self._request.feed(record.offset, record.data)
            return False
        if isinstance(record, ResponseBody):
            self._response.feed(record.offset, record.data)
            return False
        pieces: list[Piece] = []
        self._tunnel.mark(record, at)
        over = self._call.take(record, self._context.settings.limits, pieces)
        self._add(self._tunnel.take(record, at, self._allowed(pieces)), rows)
        if isinstance(record, Outcome):
            self._end(at, record, rows)
        return over

    def abandon(self, at: Place, rows: list[StreamEvent | ApiCall]) -> None:
        """The record at `at` shows that no Outcome will come."""
        pieces: list[Piece] = []
        self._call.abandon("", pieces)
        self._add(self._tunnel.texts(self._allowed(pieces)), rows)
        self._end(at, None, rows)

    def flush(self, rows: list[StreamEvent | ApiCall]) -> None:
        """Give out the lines held so far. To be done before `encode`, which does not keep them."""
        pieces: list[Piece] = []
        self._call.flush(pieces)
        self._add(self._tunnel.texts(self._allowed(pieces)), rows)

    @property
    def wants_bodies(self) -> bool:
        return self._request.wants_beginning or self._response.wants_beginning

    def feed_again(self, record: RequestBody | ResponseBody) -> None:
        """A record that was taken before `encode`, for the hash only."""
        body = self._request if isinstance(record, RequestBody) else self._response
        body.feed_again(record.offset, record.data)

    # --- rows -------------------------------------------------------------------------------------

    def _end(self, at: Place, outcome: Outcome | None, rows: list[StreamEvent | ApiCall]) -> None:
        row = self._call.row
        total_bytes = row.stdin_bytes + row.output_bytes + row.sent_bytes + row.received_bytes
        self._add(self._tunnel.close(row.last_us, at, total_bytes), rows)
        rows.append(self._api_call(outcome))

    def _allowed(self, pieces: list[Piece]) -> list[Piece]:
        """Without text that was held back when it was still allowed."""
        return [] if self._context.settings.metadata_only else pieces

    def _add(self, happenings: Iterable[Happening], rows: list[StreamEvent | ApiCall]) -> None:
        """What was typed and which file was copied is content, that it was is not."""
        for happening in happenings:
            if self._context.settings.metadata_only:
                happening = happening._replace(text=None)
            rows.append(self._stream_event(happening))

    def _stream_event(self, happening: Happening) -> StreamEvent:
        row, facts, at = self._call.row, self._facts, happening.at
        when = moment(row.at_ns + happening.at_us * 1000)
        event_id = uuid_text(row.exchange)
        connection = happening.connection
        is_end = happening.event == "close" and connection is None
        return StreamEvent(
            event_id=event_id,
            ts=when.ts,
            session_id=row.session or None,
            stream_id=event_id if connection is None else f"{event_id}/{connection}",
            kind=facts.run_by or row.kind,
            protocol=protocol_name(row.transport, row.protocol),
            event=happening.event,
            seq=Bigint(happening.seq),
            pod=row.name or None,
            container=row.container or None,
            namespace=row.namespace or None,
            tty=row.tty,
            command=facts.command,
            port=fitting(happening.port),
            bytes=None if happening.bytes is None else Bigint(happening.bytes),
            text=happening.text,
            exit_code=fitting(row.exit_code) if is_end else None,
            cols=fitting(happening.columns),
            rows=fitting(happening.rows),
            segment_id=at.segment.segment_id,
            block_seq=Int(at.block_seq),
            rec_off=Int(at.rec_off),
            leaf_index=self._context.leaf(at),
            user=row.user or None,
            user_sub=facts.user_sub,
            issuer=facts.issuer,
            groups=facts.groups,
            actor_type=facts.actor_type,
            agent=row.user if facts.actor_type == "agent" else None,
            on_behalf_of=None,
            iam_role_arn=None,
            role_session=None,
            cluster=self._context.cluster,
            dt=when.dt,
            hr=when.hr,
        )

    def _api_call(self, outcome: Outcome | None) -> ApiCall:
        row, facts, at = self._call.row, self._facts, self._facts.at
        when = moment(row.at_ns)
        event_id = uuid_text(row.exchange)
        path, _, query = row.target.partition("?")
        upstream_us, gateway_us, record_us = durations(outcome)
        return ApiCall(
            event_id=event_id,
            ts=when.ts,
            gateway_id=at.segment.gateway_id,
            rec_seq=Bigint(row.seq),
            session_id=row.session or None,
            conn_id=row.connection,
            user=row.user or None,
            user_sub=facts.user_sub,
            issuer=facts.issuer,
            groups=facts.groups,
            actor_type=facts.actor_type,
            agent=row.user if facts.actor_type == "agent" else None,
            on_behalf_of=None,
            src_ip=row.source.rpartition(":")[0].strip("[]") or None,
            user_agent=row.user_agent or None,
            audit_id=event_id,
            iam_role_arn=None,
            role_session=None,
            verb=row.verb,
            http_method=row.method,
            path=path,
            query=query or None,
            api_group=row.api_group if facts.is_call else None,
            api_version=row.version or None,
            resource=row.resource or None,
            subresource=row.subresource or None,
            namespace=row.namespace or None,
            name=row.name or None,
            label_selector=facts.label_selector,
            dry_run=facts.dry_run,
            req_bytes=Bigint(row.request_bytes or self._request.length),
            resp_bytes=Bigint(row.response_bytes or self._response.length),
            status=fitting(row.status or None),
            status_reason=outcome.result if outcome else UNKNOWN,
            decision="mask" if row.decision == "allow" and row.masked else row.decision,
            policy_sha256=row.policy_sha256 or None,
            rule_id=_joined(row.rules),
            grant_id=_joined(row.grants),
            approval_id=_joined(row.holds),
            approver=",".join(self._call.story.approvers) or None,
            hold_ms=fitting(row.held_us // 1000) if self._call.story.holds else None,
            masked_fields=fitting(row.masked),
            truncated=row.text_cut or self._tunnel.state.cut,
            t_upstream_us=upstream_us,
            t_gateway_us=gateway_us,
            t_record_us=record_us,
            req_sha256=self._request.hex(),
            resp_sha256=self._response.hex(),
            object_uid=None,
            resource_version=None,
            segment_id=at.segment.segment_id,
            block_seq=Int(at.block_seq),
            rec_off=Int(at.rec_off),
            leaf_index=self._context.leaf(at),
            cluster=self._context.cluster,
            dt=when.dt,
            hr=when.hr,
        )


def _joined(names: str) -> str | None:
    """A list column of the index as one text, separated by commas."""
    return ",".join(msgspec.json.decode(names, type=tuple[str, ...])) or None
