"""Records of one log -> what outlets are told of them, as a reader of segments would feed them."""

from collections.abc import Iterable

from gateway.outlets.assembler import Assembler
from gateway.outlets.exchange_records import Assembled, ExchangeRecords
from gateway.outlets.masking import may_look_into_request, may_show_bodies
from storage.reader import Position
from storage.records import (
    AnyRecord,
    Intent,
    Outcome,
    ResponseBody,
    ResponseStarted,
    decode_record,
    encode_record,
)
from tests.kit.recorded import JSON

CAP_BYTES = 64 * 1024


def wants_bodies(intent: Intent) -> bool:
    return may_show_bodies(intent.call) or may_look_into_request(intent.call)


def new_assembler(**settings: object) -> Assembler:
    return Assembler(**({"max_body_bytes": CAP_BYTES, "wants_bodies": wants_bodies} | settings))  # type: ignore[arg-type]


def position(seq: int) -> Position:
    return Position("seg", 4096 + seq // 8 * 1000, seq % 8, seq)


def feed(assembler: Assembler, records: Iterable[AnyRecord], first_seq: int = 0) -> list[Assembled]:
    """Everything told, each exchange at its last stage: those told at their beginning went on changing."""
    told = []
    for seq, record in enumerate(records, first_seq):
        told += assembler.take(position(seq), decode_record(encode_record(record)))
    return told


def exchanges_of(records: Iterable[AnyRecord]) -> list[ExchangeRecords]:
    """The exchanges that ended."""
    told = feed(new_assembler(), records)
    return [exchange for exchange, stage in told if stage == "ResponseComplete"]


def only_exchange(records: Iterable[AnyRecord]) -> ExchangeRecords:
    (exchange,) = exchanges_of(records)
    return exchange


def answered(
    exchange: bytes, body: bytes, *, status: int = 200, result: str = "completed", why: str = ""
) -> list[AnyRecord]:
    return [
        ResponseStarted(exchange, 3000, status, JSON),
        *([ResponseBody(exchange, 3500, 0, body)] if body else []),
        Outcome(exchange, 4000, result, status, why, response_bytes=len(body)),
    ]
