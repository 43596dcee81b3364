"""Load: threads that speak HTTP/1.1 and WebSocket to the gateway and keep a ledger until it dies.

Plain blocking sockets and `http.client`, on purpose not the gateway's own HTTP code (the channel bytes inside a
WebSocket are `protocol`'s). A client stops at the first broken connection, or when told.
"""

import base64
import http.client
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from protocol.channels import open_channel_machine
from protocol.events import Channel, ChannelData, ChannelEnded, TunnelClosed
from protocol.side import Side
from tests.crash.ledger import SECRET, ClientCall, Ledger, body_of

TIMEOUT_S: Final = 30.0
ENDLESS: Final = 1 << 30
SIZES: Final = (0, 200, 2_000, 20_000, 63_000, 66_000, 140_000, 300_000)
"""Around the border of what is recorded with the Intent (64 KiB), and above one record (128 KiB)."""
EXEC: Final = (
    "/api/v1/namespaces/payments/pods/api/exec?container=api&command=cat&stdin=true&stdout=true&stderr=true"
)
BROKEN: Final = (OSError, http.client.HTTPException)


def access_token(kubeconfig: Path) -> str:
    """The bearer token in a kubeconfig."""
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])


class Access:
    """How to reach one gateway: address, trust, token."""

    def __init__(self, kubeconfig: Path, port: int) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        ca = base64.b64decode(content["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        self.token = access_token(kubeconfig)
        self.port = port
        self.context = ssl.create_default_context(cadata=ca)

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, context=self.context)

    def headers(self, agent: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "User-Agent": agent}


def call_once(
    connection: http.client.HTTPSConnection, access: Access, call: ClientCall, *, chunked: bool = False
) -> None:
    """Make a call and note what comes of it. Raises what the connection raises, noted too."""
    headers = access.headers(call.agent)
    body: bytes | Iterator[bytes] | None = None
    if call.method == "POST":
        headers["Content-Type"] = "application/json"
        body = _pieces(call.sent) if chunked else call.sent
    try:
        connection.request(call.method, call.target, body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        call.answered, call.status = True, answer.status
        call.audit_id = answer.headers.get("Audit-Id", "")
        while data := answer.read1(65536):
            call.take(data)
        if not answer.chunked and answer.length:  # read1 says b"" for an answer that broke off, too
            raise http.client.IncompleteRead(b"", answer.length)
        answer.read()  # nothing: makes the connection ready for the next call
        call.finished_ns = time.time_ns()
    except BROKEN as error:
        call.problem = repr(error)
        raise


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


class Client(threading.Thread):
    """One client: a kind of call, over and over. Ends when the gateway does, or when told to."""

    def __init__(
        self, kind: str, name: str, access: Access, ledger: Ledger, stop: threading.Event, seed: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._kind, self._access, self._ledger, self._told_to_stop = kind, access, ledger, stop
        self._rng = random.Random(seed)
        self._count = 0

    def run(self) -> None:
        serve = {
            "read": self._read,
            "secret": self._secret,
            "write": self._write,
            "watch": self._watch,
            "quiet": self._quiet,
        }
        connection = self._access.connect()
        try:
            while not self._told_to_stop.is_set():
                if self._kind in ("exec", "terminal", "noise"):
                    self._exec()
                else:
                    serve[self._kind](connection)
        except BROKEN:
            return  # the gateway was killed: that is the point
        finally:
            connection.close()

    def _begin(self, kind: str, method: str, target: str, durability: int, sent: bytes = b"") -> ClientCall:
        self._count += 1
        agent = f"{self.name}/{self._count}"
        return self._ledger.begin(ClientCall(agent, kind, method, target, durability, sent))

    def _read(self, connection: http.client.HTTPSConnection) -> None:
        target = self._rng.choice(
            ("/api/v1/namespaces/payments/pods", "/api/v1/namespaces/prod/pods/shop", "/version", "/apis")
        )
        call_once(connection, self._access, self._begin("read", "GET", target, 2))

    def _secret(self, connection: http.client.HTTPSConnection) -> None:
        call_once(connection, self._access, self._begin("secret", "GET", SECRET, 1))
        time.sleep(self._rng.random() * 0.01)

    def _write(self, connection: http.client.HTTPSConnection) -> None:
        namespace = self._rng.choice(("payments", "prod"))
        size = self._rng.choice(SIZES if namespace == "payments" else SIZES[:3])
        target = f"/api/v1/namespaces/{namespace}/configmaps"
        call = self._begin("create", "POST", target, 1)
        call.sent = body_of(call.agent, size)
        call_once(connection, self._access, call, chunked=self._rng.random() < 0.3)
        name = call.agent.replace("/", ".")
        call_once(connection, self._access, self._begin("delete", "DELETE", f"{target}/{name}", 1))

    def _quiet(self, connection: http.client.HTTPSConnection) -> None:
        """A watch of what nobody changes: it stands between two events whenever it is cut."""
        target = "/api/v1/namespaces/kube-system/pods?watch=true&timeoutSeconds=600"
        call_once(connection, self._access, self._begin("watch", "GET", target, 2))
        time.sleep(0.02)

    def _exec(self) -> None:
        """exec: a short session; terminal: one without end; noise: likewise, and no compression helps."""
        lines = self._rng.randrange(3, 40) if self._kind == "exec" else ENDLESS
        noise_bytes = 12_000 if self._kind == "noise" else 0
        call = self._begin("exec", "GET", EXEC, 1)
        exec_once(self._access, call, self._rng, self._told_to_stop, lines, noise_bytes)
        time.sleep(0.0 if call.status == 101 else 0.02)  # do not hammer a gateway that refuses

    def _watch(self, connection: http.client.HTTPSConnection) -> None:
        target = "/api/v1/namespaces/prod/configmaps?watch=true&timeoutSeconds=1"
        call_once(connection, self._access, self._begin("watch", "GET", target, 2))


# --- exec ----------------------------------------------------------------------------------------------


def exec_once(
    access: Access,
    call: ClientCall,
    rng: random.Random,
    stop: threading.Event,
    lines: int,
    noise_bytes: int = 0,
) -> None:
    """`cat` in a pod: so many lines go up, lines come down; `received` is standard output.

    finished_ns is set once the command's result has come (`cat` does not fail); `problem` is any other Status.
    """
    raw = socket.create_connection(("127.0.0.1", access.port), TIMEOUT_S)
    with access.context.wrap_socket(raw, server_hostname="127.0.0.1") as stream:
        try:
            leftover = _upgrade(stream, access, call)
            if call.status == 101:
                _talk(stream, call, leftover, rng, stop, lines, noise_bytes)
        except BROKEN as error:
            call.problem = call.problem or repr(error)
            raise


def _upgrade(stream: ssl.SSLSocket, access: Access, call: ClientCall) -> bytes:
    lines = [f"GET {call.target} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: v5.channel.k8s.io"]
    lines += ["Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode()]
    lines += [f"{name}: {value}" for name, value in access.headers(call.agent).items()]
    stream.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = stream.recv(65536)
        if not data:
            raise ConnectionResetError("closed before the answer's head was complete")
        head += data
    head, _, leftover = head.partition(b"\r\n\r\n")
    call.answered, call.status = True, int(head.split(b" ", 2)[1])
    return leftover


def _talk(
    stream: ssl.SSLSocket,
    call: ClientCall,
    data: bytes,
    rng: random.Random,
    stop: threading.Event,
    lines: int,
    noise_bytes: int,
) -> None:
    machine = open_channel_machine("exec", "websocket", "v5.channel.k8s.io", Side.CLIENT)
    result = b""
    stream.settimeout(0.02)
    last_s = time.monotonic()
    while True:
        for event in machine.receive(data) if data else []:
            last_s = time.monotonic()
            if isinstance(event, ChannelData) and event.channel is Channel.STDOUT:
                call.take(event.data)
            elif isinstance(event, ChannelData) and event.channel is Channel.ERROR:
                result += event.data
            elif isinstance(event, TunnelClosed):
                _conclude(call, result)
                return
        if lines and (stop.is_set() or (lines := lines - 1) == 0):
            lines = 0
            machine.send(ChannelEnded(Channel.STDIN))
        elif lines:
            line = b"%s line %d %s\n" % (call.agent.encode(), lines, b"x" * rng.randrange(200))
            line += base64.b64encode(rng.randbytes(noise_bytes)) + b"\n" if noise_bytes else b""
            call.give(line)
            machine.send(ChannelData(Channel.STDIN, line))
        stream.sendall(machine.data_to_send())
        try:
            data = stream.recv(65536)
            if not data:
                _conclude(call, result)
                raise ConnectionResetError("closed without a goodbye")
        except TimeoutError:
            data = b""
            if time.monotonic() - last_s > TIMEOUT_S:
                raise


def _conclude(call: ClientCall, result: bytes) -> None:
    if b'"status":"Success"' in result:
        call.finished_ns = time.time_ns()
    else:
        call.problem = result.decode("utf-8", "replace")
