"""A fake of Slack, and it says so: its Web API over HTTP and its socket mode over a WebSocket, both on loopback.

It knows the four methods we call, checks the tokens, keeps what it was sent, and can send what a person pressed. It is
no proof that Slack behaves like this: only that we and Slack's own library agree with its documentation.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any
from urllib.parse import parse_qs

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from tests.kit.waiting import until

APP_TOKEN = "xapp-fake"
BOT_TOKEN = "xoxb-fake"
NAME = "fake slack of the tests"


class FakeSlack:
    """calls: (method, arguments) in order. errors: method -> what it answers instead, as often as listed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, list[dict[str, Any]]] = {}
        self.acknowledged: Queue[dict[str, Any]] = Queue()
        self.url = ""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sockets: list[tuple[socket.socket, WSConnection]] = []

    def all(self, method: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.calls if name == method]

    def answer(self, method: str, arguments: dict[str, Any], token: str) -> dict[str, Any]:
        wanted = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        if token != wanted:
            return {"ok": False, "error": "invalid_auth"}
        self.calls.append((method, arguments))
        if self.errors.get(method):
            return self.errors[method].pop(0)
        if method == "apps.connections.open":
            port = self.listener.getsockname()[1]
            return {"ok": True, "url": f"ws://127.0.0.1:{port}/link?ticket=t"}
        return {"ok": True, "channel": "C1", "ts": f"{len(self.calls)}.0", "server": NAME}

    # --- the WebSocket ----------------------------------------------------------------------------

    def send(self, payload: dict[str, Any], envelope: str = "e1", kind: str = "interactive") -> None:
        """What Slack sends when somebody pressed something."""
        until(lambda: self.sockets)
        sock, connection = self.sockets[-1]
        message = {
            "type": kind,
            "envelope_id": envelope,
            "payload": payload,
            "accepts_response_payload": True,
        }
        sock.sendall(connection.send(TextMessage(json.dumps(message))))

    def press(self, user: str, subject: str, *, approve: bool, envelope: str = "e1") -> None:
        action = "kubetape_approve" if approve else "kubetape_deny"
        self.send(
            {
                "type": "block_actions",
                "user": {"id": user, "username": "x"},
                "trigger_id": "trigger",
                "actions": [{"action_id": action, "value": subject, "type": "button"}],
            },
            envelope,
        )

    def submit(self, user: str, view: dict[str, Any], note: str, envelope: str = "e2") -> dict[str, Any]:
        """Send the form as filled in; the answer to it."""
        state = {"values": {"note": {"text": {"type": "plain_text_input", "value": note or None}}}}
        sent = {key: view[key] for key in ("callback_id", "private_metadata")} | {"state": state}
        self.send({"type": "view_submission", "user": {"id": user}, "view": sent}, envelope)
        return self.acknowledgement(envelope)

    def acknowledgement(self, envelope: str) -> dict[str, Any]:
        found = self.acknowledged.get(timeout=20)
        assert found["envelope_id"] == envelope
        return found

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        connection = WSConnection(ConnectionType.SERVER)
        with sock, suppress(OSError):
            while data := sock.recv(65536):
                connection.receive_data(data)
                for event in connection.events():
                    if isinstance(event, Request):
                        sock.sendall(connection.send(AcceptConnection()))
                        sock.sendall(connection.send(TextMessage('{"type":"hello"}')))
                        self.sockets.append((sock, connection))
                    elif isinstance(event, TextMessage):
                        self.acknowledged.put(json.loads(event.data))
                    elif isinstance(event, Ping):
                        sock.sendall(connection.send(event.response()))
                    elif isinstance(event, CloseConnection):
                        sock.sendall(connection.send(event.response()))
                        return


@contextmanager
def fake_slack() -> Iterator[FakeSlack]:
    slack = FakeSlack()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5.0

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            if "json" in self.headers.get("content-type", ""):
                arguments = json.loads(body)
            else:
                arguments = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            answer = slack.answer(self.path.rpartition("/")[2], arguments, token)
            content = json.dumps(answer).encode()
            self.send_response(429 if answer.get("error") == "ratelimited" else 200)
            if answer.get("error") == "ratelimited":
                self.send_header("retry-after", "0")
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    slack.url = f"http://127.0.0.1:{server.server_port}/api/"
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}),
        threading.Thread(target=slack.accept, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield slack
    finally:
        server.shutdown()
        threads[0].join()
        server.server_close()
        slack.listener.shutdown(socket.SHUT_RDWR)
        slack.listener.close()
        threads[1].join(5)
        for sock, _ in slack.sockets:
            sock.close()
