"""A story under policy: held, approved, denied, masked, typed into, copied from, over budget. Every record of it once."""

from storage.records import (
    AnyRecord,
    BudgetCrossed,
    CallRecord,
    ChannelChunk,
    CommandSeen,
    FileCopied,
    Held,
    HoldEnded,
    Intent,
    Masked,
    Outcome,
    PolicyLoaded,
    ResponseBody,
    ResponseStarted,
    StateChanged,
    SubRequest,
    TunnelStarted,
    VerdictRecord,
)
from tests.kit.recorded import AGENT, JSON, START_NS, Tape

APPROVED_HOLD = "01KG9ZK7M0HELDAPPR00000000"
DENIED_HOLD = "01KG9ZK7M0HELDDENY00000000"
WAITING_HOLD = "01KG9ZK7M0HELDWA1T00000000"
TYPED_HOLD = "01KG9ZK7M0HELDTYPE00000000"
DRY_RUN_ID = b"dry-run-audit-id"
SECRET = CallRecord("list", "", "v1", "secrets", "", "prod", path="/api/v1/namespaces/prod/secrets")
NAMESPACE = CallRecord("delete", "", "v1", "namespaces", "", "", "prod", "/api/v1/namespaces/prod")
EXEC = CallRecord(
    "create", "", "v1", "pods", "exec", "prod", "web-1", "/api/v1/namespaces/prod/pods/web-1/exec?command=sh",
    argv=("sh",),
)  # fmt: skip
VOTE = (
    b'{"kind":"HoldVoted","atNs":7,"id":"01KG9ZK7M0HELDAPPR00000000","approve":true,'
    b'"by":{"user":"bob","groups":["leads"],"issuer":""},"note":"go on, 4711"}'
)
REQUEST = (
    b'{"kind":"HoldRequested","atNs":6,"id":"01KG9ZK7M0HELDAPPR00000000","requester":{"user":"agent-7",'
    b'"session":"S1"},"body":"canary-body","diff":"canary-diff","argv":["canary-argv"],"target":"/x?canary-query"}'
)


def with_verdict(tape: Tape, **facts: object) -> None:
    """Change the verdict of the Intent that was written last."""
    index = max(at for at, record in enumerate(tape.records) if isinstance(record, Intent))
    intent = tape.records[index]
    assert isinstance(intent, Intent)
    changed = {name: getattr(intent.verdict, name) for name in VerdictRecord.__struct_fields__} | facts
    fields = {name: getattr(intent, name) for name in Intent.__struct_fields__}
    tape.records[index] = Intent(**(fields | {"verdict": VerdictRecord(**changed)}))  # type: ignore[arg-type]


def masked_list(tape: Tape) -> bytes:
    """kubectl get secrets: three values hidden by one rule, one by another; on a grant, with a rule in shadow."""
    exchange = tape.intent(SECRET, command="kubectl get", run="run-secrets", rules=("secrets/read",))
    with_verdict(tape, shadow=("secrets/strict",), grants=("01KG9ZK7M0GRANT00000000000",))
    tape.records += [
        ResponseStarted(exchange, 900, 200, JSON),
        Masked(exchange, 950, "answer", (("secrets/mask", 3), ("pii/mail", 1))),
        ResponseBody(exchange, 1000, 0, b'{"kind":"SecretList","items":[]}'),
        Outcome(exchange, 2000, "completed", 200),
    ]
    tape.wait(1)
    return exchange


def held_delete(tape: Tape, hold: str, result: str | None, *, by: tuple[str, ...] = ("bob",)) -> bytes:
    """An agent deletes a namespace, and people decide. result None: they never do."""
    exchange = tape.intent(
        NAMESPACE, method="DELETE", who=AGENT, command="kubectl delete", run=hold, action="hold",
        rules=("prod/hold-deletes",), reason="deletes in prod need a second person",
    )  # fmt: skip
    tape.records += [
        SubRequest(exchange, 400, "dry-run", "DELETE", b"/api/v1/namespaces/prod?dryRun=All", 0, DRY_RUN_ID),
        SubRequest(
            exchange,
            900,
            "dry-run",
            "DELETE",
            b"/api/v1/namespaces/prod?dryRun=All",
            200,
            DRY_RUN_ID,
        ),
        Held(exchange, 1000, hold, ("prod/hold-deletes",), b"d" * 32),
    ]
    if result is None:
        return exchange
    tape.records.append(HoldEnded(exchange, 21_000, hold, result, by, f"{result}, ticket 4711"))
    if result == "approved":
        tape.answer(exchange, b'{"kind":"Namespace"}', took_us=30_000)
    else:
        tape.answer(exchange, b'{"kind":"Status","code":403}', status=403, took_us=30_000, result="denied")
    return exchange


def guarded_exec(tape: Tape) -> bytes:
    """kubectl exec under guardrails: two lines typed, one held; two files copied; a budget used up; masked output."""
    exchange = tape.intent(EXEC, method="POST", command="kubectl exec", run="run-guarded", connection="c7")
    tape.records += [
        ResponseStarted(exchange, 500, 101, ()),
        TunnelStarted(exchange, 600, "exec", "websocket", "v5.channel.k8s.io", True),
        ChannelChunk(exchange, 700, 1, False, b"$ "),
        CommandSeen(exchange, 1_000_000, "ls /srv"),
        CommandSeen(exchange, 2_000_000, "rm -rf /srv/data", "hold", "prod/no-wipe"),
        Held(exchange, 2_000_100, TYPED_HOLD, ("prod/no-wipe",), b"e" * 32),
        HoldEnded(exchange, 4_000_100, TYPED_HOLD, "denied", ("bob", "cid"), "not today"),
        FileCopied(exchange, 5_000_000, "down", "/etc/passwd", 1024, sha256=b"s" * 32),
        FileCopied(exchange, 5_000_100, "up", "tmp/[x]/key.pem", 9),
        Masked(exchange, 6_000_000, "stream", (("secrets/mask", 2),)),
        BudgetCrossed(exchange, 7_000_000, "agents/minutes", "execMinutes", 61, 60, "freeze"),
        Outcome(exchange, 8_000_000, "cut", 101, "the budget of this session is used up"),
    ]
    tape.wait(8)
    return exchange


def governed_story() -> Tape:
    """All of it; the log ends in a crash while somebody waits."""
    tape = Tape()
    tape.started()
    tape.records.append(PolicyLoaded(START_NS, "p" * 64, "enforce", ("prod.yaml",)))
    tape.get_pods()
    tape.denied()
    masked_list(tape)
    tape.records.append(StateChanged(tape.now_ns, "HoldRequested", REQUEST, b"sig"))
    held_delete(tape, APPROVED_HOLD, "approved")
    tape.records.append(StateChanged(tape.now_ns, "HoldVoted", VOTE, b"sig"))
    held_delete(tape, DENIED_HOLD, "denied", by=("cid",))
    guarded_exec(tape)
    held_delete(tape, WAITING_HOLD, None)
    return tape


def records_of(tape: Tape, exchange: bytes) -> list[AnyRecord]:
    return [record for record in tape.records if getattr(record, "exchange", None) == exchange]
