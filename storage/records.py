"""What is recorded: one struct per record type, encoded as a msgpack array that begins with its number.

Numbers are never reused and fields are only ever added at the end, with a default: a reader of any
age reads a log of any age. A number this version does not know decodes to `UnknownRecord`.

One API call is an exchange: `Intent`, then whatever happened, then exactly one `Outcome`. An exchange
without an `Outcome` ended in a crash of the gateway: its outcome is unknown, and readers say so.
Times: `at_ns` is UTC nanoseconds; `at_us` is microseconds since the `at_ns` of the exchange's Intent.
Masked bytes are masked here too; secrets (Authorization, bearer subprotocols) are never in a record.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from protocol.events import Headers

MAX_DATA_BYTES: Final = 128 * 1024
"""Longest `data` of one record: 8 of them fit a frame, so one body cannot monopolise a commit."""


class PrincipalRecord(msgspec.Struct, frozen=True, array_like=True):
    """The verified identity at the time of the call; see gateway.principal."""

    user: str
    groups: tuple[str, ...]
    method: str
    credential_id: str
    issuer: str = ""
    subject: str = ""
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    expires_ns: int | None = None


class CallRecord(msgspec.Struct, frozen=True, array_like=True):
    """The request as policy saw it; see protocol.apicall."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    label_selector: str = ""
    field_selector: str = ""
    dry_run: bool = False
    container: str = ""
    argv: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


class VerdictRecord(msgspec.Struct, frozen=True, array_like=True):
    """What was decided and by which rules; see gateway.policy."""

    action: str  # "allow", "deny" or "hold"
    mode: str  # "observe" or "enforce"
    rules: tuple[str, ...] = ()
    policy_sha256: str = ""
    reason: str = ""
    shadow: tuple[str, ...] = ()  # rules in shadow mode that would have denied or held
    grants: tuple[str, ...] = ()  # grants that the permission rests on
    scope: str = "full"  # "metadata": bodies and stream bytes are left out on purpose


class Timings(msgspec.Struct, frozen=True, array_like=True):
    """Microseconds since the request head was complete; None: never reached."""

    authenticated_us: int | None = None
    decided_us: int | None = None
    intent_durable_us: int | None = None
    upstream_sent_us: int | None = None  # the head is on its way upstream
    upstream_head_us: int | None = None  # the response head (or the 101) is here
    upstream_end_us: int | None = None  # the last byte from upstream is here
    client_end_us: int | None = None  # the last byte was handed to the client's socket


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Base of all record types."""


class LogStarted(Record, frozen=True, array_like=True, tag=1):
    """A process began to write this log."""

    at_ns: int
    gateway_id: str
    version: str
    worker: int
    mode: str  # "observe" or "enforce"
    policy_sha256: str = ""
    upstream: str = ""  # URL of the API server
    log_key: str = ""  # public key that signs this log's checkpoints, as a C2SP verifier key
    encryption: str = ""  # "none", or for whom data keys are wrapped, separated by commas


class LogStopped(Record, frozen=True, array_like=True, tag=2):
    """It ended in an orderly way; a log without it was cut by a crash."""

    at_ns: int
    reason: str


class Gap(Record, frozen=True, array_like=True, tag=3):
    """The only legal hole: what is missing and why."""

    at_ns: int
    why: str
    exchange: bytes = b""


class SegmentRecovered(Record, frozen=True, array_like=True, tag=4):
    """An open segment of an earlier run was examined; its bytes were not changed."""

    at_ns: int
    segment: str
    valid_bytes: int
    torn_bytes: int
    finding: str  # "clean", "torn" or "corrupt"
    valid_sha256: bytes = b""
    torn_sha256: bytes = b""


class Heartbeat(Record, frozen=True, array_like=True, tag=5):
    """Nothing happened for a minute, and the gateway was there: silence without it is a finding."""

    at_ns: int


class LossAccepted(Record, frozen=True, array_like=True, tag=6):
    """This log begins behind a hole that a checkpoint proves; an operator said to go on all the same."""

    at_ns: int
    finding: str
    reason: str


class SessionOpened(Record, frozen=True, array_like=True, tag=10):
    """First call of a principal under one credential, or the first after 30 idle minutes."""

    session: str  # 26 characters, ULID
    at_ns: int
    principal: PrincipalRecord
    source: str
    user_agent: str = ""


class Intent(Record, frozen=True, array_like=True, tag=11):
    """A request was understood and decided; nothing has gone upstream that this does not describe.

    target and headers: as the client sent them, credentials removed. upstream_target and
    upstream_headers: as the API server got them, credential removed; empty when nothing was to go there.
    """

    exchange: bytes  # 16 bytes, a UUID version 4; also the Audit-ID upstream
    at_ns: int
    session: str  # "" when nobody was identified
    connection: str  # id of the client connection
    source: str  # "address:port" of the socket
    http_version: str
    method: str
    target: bytes
    headers: Headers
    principal: PrincipalRecord | None
    call: CallRecord | None  # None: the target was refused
    verdict: VerdictRecord
    durability: int  # class 1 or 2
    upstream_target: bytes = b""
    upstream_headers: Headers = ()
    upstream_identity: str = ""  # "shared", "impersonate"
    user_agent: str = ""
    kubectl_command: str = ""  # a hint from the client, never proof
    kubectl_session: str = ""  # likewise
    tls: str = ""


class RequestBody(Record, frozen=True, array_like=True, tag=12):
    exchange: bytes
    offset: int
    data: bytes


class ResponseStarted(Record, frozen=True, array_like=True, tag=13):
    """The head that went to the client (a Status of ours, or the cluster's)."""

    exchange: bytes
    at_us: int
    status: int
    headers: Headers


class ResponseBody(Record, frozen=True, array_like=True, tag=14):
    exchange: bytes
    at_us: int
    offset: int
    data: bytes


class Outcome(Record, frozen=True, array_like=True, tag=15):
    """How it ended: exactly one per Intent, unless the gateway crashed.

    result: "completed" (the answer went down whole), "refused" (by us: 4xx before any upstream byte),
    "denied" (by policy), "failed" (upstream or we), "client-left", "cut" (by us, mid-way).
    status: the HTTP status the client got, 0 if none.
    """

    exchange: bytes
    at_us: int
    result: str
    status: int
    why: str = ""
    request_bytes: int = 0
    response_bytes: int = 0
    timings: Timings = Timings()
    exit_code: int | None = None


class RequestEnded(Record, frozen=True, array_like=True, tag=16):
    """A large request body is complete and recorded; its last bytes go upstream after this is durable."""

    exchange: bytes
    at_us: int
    body_bytes: int


class TunnelStarted(Record, frozen=True, array_like=True, tag=20):
    """The 101 is on its way to the client."""

    exchange: bytes
    at_us: int
    kind: str  # "exec", "attach" or "portforward"
    transport: str  # "websocket" or "spdy"
    protocol: str  # "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", ...
    tty: bool = False


class ChannelChunk(Record, frozen=True, array_like=True, tag=21):
    """Bytes on a channel, exactly as forwarded. channel: protocol.events.Channel."""

    exchange: bytes
    at_us: int
    channel: int
    from_client: bool
    data: bytes
    connection: int = 0


class ChannelChanged(Record, frozen=True, array_like=True, tag=22):
    """what: "opened", "accepted", "ended" (half-closed) or "reset"."""

    exchange: bytes
    at_us: int
    what: str
    channel: int
    from_client: bool
    connection: int = 0
    port: int = 0
    code: int = 0


class Resized(Record, frozen=True, array_like=True, tag=23):
    """The terminal size, decoded from the bytes of the resize channel (which are recorded too)."""

    exchange: bytes
    at_us: int
    columns: int
    rows: int


class Exited(Record, frozen=True, array_like=True, tag=24):
    """The Status on the error channel, decoded. exit_code None: it says failure without a code."""

    exchange: bytes
    at_us: int
    exit_code: int | None
    message: str = ""


class TunnelEnded(Record, frozen=True, array_like=True, tag=25):
    """by: "client", "cluster" or "gateway"; code: WebSocket close code, or 0."""

    exchange: bytes
    at_us: int
    by: str
    code: int = 0
    reason: str = ""


class PolicyLoaded(Record, frozen=True, array_like=True, tag=30):
    at_ns: int
    policy_sha256: str
    mode: str
    files: tuple[str, ...] = ()


class Masked(Record, frozen=True, array_like=True, tag=31):
    """How many values each rule hid. where: "request" (in the record only), "answer" or "stream"."""

    exchange: bytes
    at_us: int
    where: str
    counts: tuple[tuple[str, int], ...]  # (rule, values)


class Held(Record, frozen=True, array_like=True, tag=32):
    """The call waits for people. digest: SHA-256 of the exact request the approval is bound to."""

    exchange: bytes
    at_us: int
    hold: str  # id of the hold
    rules: tuple[str, ...]
    digest: bytes
    joined: bool = False  # the hold was there already: a retry, or a further call of the same command


class HoldEnded(Record, frozen=True, array_like=True, tag=33):
    """result: "approved", "denied", "expired", "left" (the client), "retry" (told to come back), "revoked",
    "unknown" (the shared state was away)."""

    exchange: bytes
    at_us: int
    hold: str
    result: str
    by: tuple[str, ...] = ()
    note: str = ""


class StateChanged(Record, frozen=True, array_like=True, tag=34):
    """An entry of the shared state that this gateway wrote: a request, a vote, a use, a revocation, signed.

    entry: JSON, as in `gateway.state.entries`.
    """

    at_ns: int
    kind: str
    entry: bytes
    signature: bytes = b""


class CommandSeen(Record, frozen=True, array_like=True, tag=35):
    """A line typed into a terminal, as far as it could be told (best effort). action: what a rule did, or ""."""

    exchange: bytes
    at_us: int
    line: str
    action: str = ""
    rule: str = ""


class FileCopied(Record, frozen=True, array_like=True, tag=36):
    """A member of a tar stream (`kubectl cp`). direction: "up" or "down"; kind: "file", "directory", "link", ..."""

    exchange: bytes
    at_us: int
    direction: str
    name: str
    size: int
    kind: str = "file"
    sha256: bytes = b""  # of the whole content, where all of it passed


class SubRequest(Record, frozen=True, array_like=True, tag=37):
    """A request of the gateway's own on behalf of a call: purpose "old-object", "dry-run", "access-review",
    "spdy" (the stream of a WebSocket client, asked for in the way the API server speaks).

    Bodies are left out: of a dry run it is that of the call. Recorded twice: before it is sent (status 0), durable then, and with its answer.
    """

    exchange: bytes
    at_us: int
    purpose: str
    method: str
    target: bytes
    status: int
    audit_id: bytes = b""  # 16 bytes: its Audit-ID in the cluster's own audit log


class BudgetCrossed(Record, frozen=True, array_like=True, tag=38):
    """A budget is used up. action: "hold" or "freeze"."""

    exchange: bytes
    at_us: int
    rule: str
    counter: str
    used: int
    limit: int
    action: str


class UnknownRecord(msgspec.Struct, frozen=True):
    """A record of a type this version does not know: written by a newer one. Keep, show, skip."""

    number: int
    encoded: bytes


AnyRecord: TypeAlias = (
    LogStarted
    | LogStopped
    | Gap
    | SegmentRecovered
    | Heartbeat
    | LossAccepted
    | SessionOpened
    | Intent
    | RequestBody
    | ResponseStarted
    | ResponseBody
    | Outcome
    | RequestEnded
    | TunnelStarted
    | ChannelChunk
    | ChannelChanged
    | Resized
    | Exited
    | TunnelEnded
    | PolicyLoaded
    | Masked
    | Held
    | HoldEnded
    | StateChanged
    | CommandSeen
    | FileCopied
    | SubRequest
    | BudgetCrossed
)

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(AnyRecord)
_LOOSE_DECODER: Final = msgspec.msgpack.Decoder()
KNOWN_NUMBERS: Final = frozenset((*range(1, 7), *range(10, 17), *range(20, 26), *range(30, 39)))


encode_record: Final[Callable[[AnyRecord], bytes]] = _ENCODER.encode
"""Encode one record as msgpack (FORMAT.md, section 5)."""


def decode_record(encoded: bytes | memoryview) -> AnyRecord | UnknownRecord:
    """Decode one record; of an unknown number, `UnknownRecord`.

    Raises msgspec.DecodeError when the bytes are not a record: in a frame whose CRC holds,
    that is a bug of the writer, not damage.
    """
    try:
        record: AnyRecord = _DECODER.decode(encoded)
        return record
    except msgspec.ValidationError:
        loose = _LOOSE_DECODER.decode(encoded)
        if isinstance(loose, list) and loose and isinstance(loose[0], int) and loose[0] not in KNOWN_NUMBERS:
            return UnknownRecord(loose[0], bytes(encoded))
        raise
