"""A receiver of audit webhooks: HTTP or HTTPS on loopback, in a thread, answering by script.

What it was sent is kept, body and headers; `answers` are given in order, the last one for ever. An answer is a
status, or a status with headers and a body, or None: the connection is closed without a word.
"""

import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeAlias

Answer: TypeAlias = "int | tuple[int, dict[str, str], bytes] | None"


class Received(NamedTuple):
    headers: dict[str, str]
    body: bytes

    @property
    def ids(self) -> list[str]:
        return [f"{event['auditID']}/{event['stage']}" for event in json.loads(self.body)["items"]]


class Receiver:
    """What a test sees of the server. answers may be changed while it runs."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.url = ""

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def webhook_server(*answers: Answer, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(answers or [200])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5.0  # for the next request: a client that forgets to hang up fails no test by hanging it

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(headers, body))
            answer = receiver.next_answer()
            if answer is None:
                self.close_connection = True
                return
            status, more, content = (answer, {}, b"") if isinstance(answer, int) else answer
            self.send_response(status)
            for name, value in ({"content-length": str(len(content))} | more).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False
        block_on_close = True

        def handle_error(self, *_: Any) -> None:
            """A client that leaves early is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}/audit"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
