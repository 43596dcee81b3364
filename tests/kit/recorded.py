"""Records as a gateway writes them, and a log in memory to read them from.

One `Tape` is one log being written by a clock of its own; each method plays one thing a client does
and returns the exchange id of its last call. Nothing here is random: the same story, the same bytes.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from protocol.events import Channel
from storage.errors import CorruptFrame, NoKey, Shredded, StorageError
from storage.log import LogIdentity, SegmentLog
from storage.reader import Position
from storage.records import (
    AnyRecord,
    CallRecord,
    ChannelChanged,
    ChannelChunk,
    Exited,
    Intent,
    LogStarted,
    LogStopped,
    Outcome,
    PrincipalRecord,
    RequestBody,
    Resized,
    ResponseBody,
    ResponseStarted,
    SessionOpened,
    TunnelEnded,
    TunnelStarted,
    VerdictRecord,
    encode_record,
)

START_NS = 1_769_853_600_000_000_000  # 2026-01-31T10:00:00Z
SECOND_NS = 1_000_000_000
KUBECTL = "kubectl/v1.31.0 (linux/amd64) kubernetes/9edcffc"
ANN = PrincipalRecord("ann@example.com", ("sre", "staff"), "oidc", "a" * 32, "https://idp.example.com", "ann")
AGENT = PrincipalRecord("agent-7", ("agents",), "token", "b" * 32)
SESSIONS = {ANN.user: "01KG9ZK7M0ANN0000000000000", AGENT.user: "01KG9ZK7M0AGENT00000000000"}
JSON = ((b"content-type", b"application/json"),)
POD_TABLE = b'{"kind":"Table","rows":[{"cells":["web-1","1/1","Running"]},{"cells":["payments-0","0/1","CrashLoopBackOff"]}]}'


class Tape:
    """Records of one log, in order. now_ns advances as the story does."""

    def __init__(self, *, start_ns: int = START_NS, tag: str = "") -> None:
        self.records: list[AnyRecord] = []
        self.now_ns = start_ns
        self._tag = tag
        self._made = 0
        self._opened: set[str] = set()

    def started(self) -> None:
        self.records.append(
            LogStarted(self.now_ns, "gw-1", "0.1.0", 0, "enforce", "p" * 64, "https://api:6443")
        )

    def stopped(self) -> None:
        self.records.append(LogStopped(self.now_ns, "drained"))

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)

    def intent(
        self,
        call: CallRecord,
        *,
        method: str = "GET",
        who: PrincipalRecord = ANN,
        command: str = "",
        run: str = "",
        action: str = "allow",
        rules: tuple[str, ...] = (),
        reason: str = "",
        agent: str = KUBECTL,
        connection: str = "c1",
    ) -> bytes:
        """The beginning of an exchange, and of the session if it is the first call of this person."""
        session = SESSIONS[who.user]
        if session not in self._opened:
            self._opened.add(session)
            self.records.append(SessionOpened(session, self.now_ns, who, "10.0.0.9:50100", agent))
        exchange = hashlib.sha256(f"{self._tag}{self._made}".encode()).digest()[:16]
        self._made += 1
        self.records.append(
            Intent(
                exchange=exchange,
                at_ns=self.now_ns,
                session=session,
                connection=connection,
                source="10.0.0.9:50100",
                http_version="2",
                method=method,
                target=call.path.encode(),
                headers=JSON if method in ("POST", "PATCH", "PUT", "DELETE") else (),
                principal=who,
                call=call,
                verdict=VerdictRecord(action, "enforce", rules, "p" * 64, reason),
                durability=2 if method == "GET" else 1,
                user_agent=agent,
                kubectl_command=command,
                kubectl_session=run,
                tls="TLSv1.3",
            )
        )
        return exchange

    def answer(
        self,
        exchange: bytes,
        body: bytes,
        *,
        status: int = 200,
        took_us: int = 4000,
        result: str = "completed",
    ) -> None:
        """A whole response and the Outcome."""
        self.records.append(ResponseStarted(exchange, took_us - 1000, status, JSON))
        if body:
            self.records.append(ResponseBody(exchange, took_us - 500, 0, body))
        self.records.append(Outcome(exchange, took_us, result, status, response_bytes=len(body)))
        self.now_ns += took_us * 1000

    # --- what clients do ------------------------------------------------------------------------

    def get_pods(self, *, who: PrincipalRecord = ANN, run: str = "run-get", namespace: str = "prod") -> bytes:
        """kubectl get pods with a cold cache: three discovery calls, then the list."""
        for path in ("/api?timeout=32s", "/apis?timeout=32s", "/api/v1?timeout=32s"):
            exchange = self.intent(CallRecord("get", path=path), who=who, command="kubectl get", run=run)
            self.answer(exchange, b'{"kind":"APIGroupList"}')
        path = f"/api/v1/namespaces/{namespace}/pods?limit=500"
        call = CallRecord("list", "", "v1", "pods", "", namespace, path=path)
        exchange = self.intent(call, who=who, command="kubectl get", run=run)
        self.answer(exchange, POD_TABLE, took_us=9000)
        return exchange

    def apply(
        self, *, run: str = "run-apply", body: bytes = b'{"kind":"Deployment","spec":{"replicas":3}}'
    ) -> bytes:
        """kubectl apply -f of a deployment that exists: GET, then PATCH."""
        path = "/apis/apps/v1/namespaces/prod/deployments/web"
        call = CallRecord("get", "apps", "v1", "deployments", "", "prod", "web", path)
        self.answer(self.intent(call, command="kubectl apply", run=run), b'{"spec":{"replicas":2}}')
        patch = CallRecord("patch", "apps", "v1", "deployments", "", "prod", "web", path)
        exchange = self.intent(patch, method="PATCH", command="kubectl apply", run=run)
        self.records.append(RequestBody(exchange, 0, body))
        self.answer(exchange, b'{"spec":{"replicas":3}}', took_us=20_000)
        return exchange

    def delete(self, *, run: str = "run-delete", namespace: str = "prod", name: str = "web-1") -> bytes:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        call = CallRecord("delete", "", "v1", "pods", "", namespace, name, path)
        exchange = self.intent(call, method="DELETE", command="kubectl delete", run=run)
        self.records.append(RequestBody(exchange, 0, b'{"propagationPolicy":"Background"}'))
        self.answer(exchange, b'{"kind":"Pod","status":{"phase":"Terminating"}}')
        return exchange

    def denied(self, *, run: str = "run-denied") -> bytes:
        """The agent tries to delete a namespace; policy says no."""
        call = CallRecord("delete", "", "v1", "namespaces", "", "prod", "prod", "/api/v1/namespaces/prod")
        exchange = self.intent(
            call,
            method="DELETE",
            who=AGENT,
            command="kubectl delete",
            run=run,
            action="deny",
            rules=("no-delete-for-agents",),
            reason="agents may not delete in prod",
        )
        body = b'{"kind":"Status","status":"Failure","reason":"Forbidden","code":403}'
        self.answer(exchange, body, status=403, result="denied")
        return exchange

    def exec(
        self,
        *,
        output: tuple[tuple[int, bytes], ...] = (
            (700_000, b"\x1b]0;root@payments-0\x07root@payments-0:/# "),
            (2_000_000, b"cat /etc/customers.csv\r\n"),
            (2_100_000, b"\x1b[1;32m4111 1111 1111 1111\x1b[0m,gr\xc3"),
            (2_200_000, b"\xbcn\r\nroot@payments-0:/# "),
            (63_000_000, b"exit 42\r\n"),
        ),
        typed: tuple[tuple[int, bytes], ...] = (
            (1_900_000, b"cat /etc/customers.csv\r"),
            (62_000_000, b"exit 42\r"),
        ),
        run: str = "run-exec",
        exit_code: int | None = 42,
        end: bool = True,
    ) -> bytes:
        """kubectl exec -it payments-0 -- sh: size, a resize, typed lines, coloured output, exit code 42."""
        pod = CallRecord(
            "get", "", "v1", "pods", "", "prod", "payments-0", "/api/v1/namespaces/prod/pods/payments-0"
        )
        self.answer(self.intent(pod, command="kubectl exec", run=run), b'{"kind":"Pod"}')
        path = "/api/v1/namespaces/prod/pods/payments-0/exec?command=sh&stdin=true&stdout=true&tty=true"
        call = CallRecord(
            "create",
            "",
            "v1",
            "pods",
            "exec",
            "prod",
            "payments-0",
            path,
            container="app",
            argv=("sh", "-c", "exec bash"),
        )
        exchange = self.intent(call, command="kubectl exec", run=run, connection="c2")
        add = self.records.append
        add(ResponseStarted(exchange, 5000, 101, ()))
        add(TunnelStarted(exchange, 5100, "exec", "websocket", "v5.channel.k8s.io", True))
        add(ChannelChunk(exchange, 5200, Channel.RESIZE, True, b'{"Width":120,"Height":40}\n'))
        add(Resized(exchange, 5200, 120, 40))
        events: list[AnyRecord] = [
            ChannelChunk(exchange, at, Channel.STDOUT, False, data) for at, data in output
        ]
        events += [ChannelChunk(exchange, at, Channel.STDIN, True, data) for at, data in typed]
        events.append(Resized(exchange, 30_000_000, 100, 30))
        self.records += sorted(events, key=lambda event: event.at_us)  # type: ignore[union-attr]
        if end:
            add(Exited(exchange, 63_100_000, exit_code, "command terminated with non-zero exit code"))
            add(ChannelChanged(exchange, 63_110_000, "ended", Channel.STDOUT, False))
            add(TunnelEnded(exchange, 63_120_000, "cluster", 1000))
            add(Outcome(exchange, 63_200_000, "completed", 101, exit_code=exit_code))
            self.now_ns += 63_200_000_000
        return exchange

    def logs(self, *, lines: int = 5, run: str = "run-logs", end: bool = True) -> bytes:
        """kubectl logs -f web-1: one line a second."""
        path = "/api/v1/namespaces/prod/pods/web-1/log?follow=true"
        call = CallRecord("get", "", "v1", "pods", "log", "prod", "web-1", path)
        exchange = self.intent(call, command="kubectl logs", run=run)
        add = self.records.append
        add(ResponseStarted(exchange, 3000, 200, ((b"content-type", b"text/plain"),)))
        size = 0
        for line in range(lines):
            data = b"line %d: connection from 10.1.2.%d\n" % (line, line)
            add(ResponseBody(exchange, 10_000 + line * 1_000_000, size, data))
            size += len(data)
        if end:
            add(Outcome(exchange, lines * 1_000_000, "client-left", 200, response_bytes=size))
            self.now_ns += lines * SECOND_NS
        return exchange

    def port_forward(self, *, run: str = "run-forward") -> bytes:
        path = "/api/v1/namespaces/prod/pods/db-0/portforward"
        call = CallRecord("create", "", "v1", "pods", "portforward", "prod", "db-0", path, ports=(5432,))
        exchange = self.intent(call, command="kubectl port-forward", run=run)
        add = self.records.append
        add(TunnelStarted(exchange, 4000, "portforward", "websocket", "SPDY/3.1+portforward.k8s.io"))
        add(ChannelChanged(exchange, 5000, "opened", Channel.DATA, True, 0, 5432))
        add(ChannelChunk(exchange, 6000, Channel.DATA, True, b"\x00\x00\x00\x08\x04\xd2\x16/", 0))
        add(ChannelChunk(exchange, 7000, Channel.DATA, False, b"N", 0))
        add(ChannelChunk(exchange, 8000, Channel.FORWARD_ERROR, False, b"connection refused by db-0", 1))
        add(TunnelEnded(exchange, 9000, "client", 1000))
        add(Outcome(exchange, 9100, "completed", 101))
        self.now_ns += 9_100_000
        return exchange

    def crashed(self, *, run: str = "run-crash") -> bytes:
        """The gateway dies between Intent and Outcome."""
        call = CallRecord(
            "delete", "", "v1", "secrets", "", "prod", "tls", "/api/v1/namespaces/prod/secrets/tls"
        )
        exchange = self.intent(call, method="DELETE", command="kubectl delete", run=run)
        self.wait(1)
        return exchange


def whole_story() -> Tape:
    """Everything once; the log ends in a crash."""
    tape = Tape()
    tape.started()
    for scene in (
        tape.get_pods,
        tape.apply,
        tape.delete,
        tape.denied,
        tape.exec,
        tape.logs,
        tape.port_forward,
    ):
        scene()
        tape.wait(60)
    tape.crashed()
    return tape


class MemoryLogs:
    """Logs in memory with the reading contract of segments: 8 records a frame, 100 a segment."""

    def __init__(self, **logs: Tape) -> None:
        self._tapes = logs
        self.live: set[str] = set()
        self.expired_before = 0  # records below are in segments that were removed
        self.damaged_at: int | None = None
        self.locked_at: int | None = None  # from here on no key is at hand
        self.destroyed = range(0)  # records in a segment whose key was destroyed
        self.reads = 0

    def logs(self) -> list[str]:
        return sorted(self._tapes)

    def unreadable(self, log: str, position: Position) -> NoKey | None:
        return Shredded("its key was destroyed") if position.record_seq in self.destroyed else None

    def is_live(self, log: str) -> bool:
        return log in self.live

    def records(self, log: str, start: Position | None) -> Iterator[tuple[Position, bytes]]:
        first = self.expired_before if start is None else start.record_seq
        if first < self.expired_before:
            raise FileNotFoundError(f"segment {first // 100}")
        tape = self._tapes[log]
        if start is not None and self._position(log, first) != start:
            # behind the last record of a frame, a position names that frame and a further index
            before = self._position(log, first - 1)
            if start != before.next():
                raise StorageError("the position belongs to another log")
        for seq in range(first, len(tape.records)):
            if seq == self.damaged_at:
                raise CorruptFrame("seg", seq, "damaged for a test")
            if self.locked_at is not None and seq >= self.locked_at:
                raise NoKey("locked for a test")
            if seq in self.destroyed:
                continue
            self.reads += 1
            yield self._position(log, seq), encode_record(tape.records[seq])

    def _position(self, log: str, seq: int) -> Position:
        return Position(f"{log}-{seq // 100:04}", 4096 + seq % 100 // 8 * 1000, seq % 100 % 8, seq)


def open_log(data_dir: Path, worker: str = "0") -> SegmentLog:
    """A real log below a data directory, as a running gateway holds it; close it in the end."""

    def ignore(_: object) -> None:
        pass

    identity = LogIdentity("gw-1", "example.com/kubetape/gw-1", 0)
    return SegmentLog.open(data_dir / "log" / worker, identity=identity, on_commit=ignore, on_failure=ignore)


def write_log(data_dir: Path, tape: Tape, worker: str = "0") -> None:
    """Write everything to a real log and end it in order."""
    log = open_log(data_dir, worker)
    for record in tape.records:
        log.append(encode_record(record), urgent=False)
    log.close(10)
