"""The cheapest API server there is: one small answer to every request, over TLS. So that it is not the limit.

    python -m benchmarks.echo_upstream DIR     prints its port; writes DIR/kubeconfig

Threads on blocking sockets: most of a call is spent in OpenSSL, outside of the interpreter.
"""

import base64
import contextlib
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Final

import yaml

from gateway.server.tls import ensure_certificate

BODY: Final = (
    b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"default","labels":{"x":"%s"}}}'
)
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def answer(size: int) -> bytes:
    """A response whose body is about so many bytes."""
    body = BODY % (b"y" * max(0, size - len(BODY)))
    return ANSWER % len(body) + body


def serve_connection(sock: socket.socket, context: ssl.SSLContext, response: bytes) -> None:
    """Until the client leaves. Requests without a body only."""
    with contextlib.suppress(OSError, ssl.SSLError), context.wrap_socket(sock, server_side=True) as stream:
        received = b""
        while data := stream.recv(65536):
            received += data
            while b"\r\n\r\n" in received:
                _, _, received = received.partition(b"\r\n\r\n")
                stream.sendall(response)


def write_kubeconfig(directory: Path, port: int, ca: Path) -> None:
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode(),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "echo", "cluster": cluster}],
        "users": [{"name": "echo", "user": {"token": "echo"}}],
        "contexts": [{"name": "echo", "context": {"cluster": "echo", "user": "echo"}}],
        "current-context": "echo",
    }
    (directory / "kubeconfig").write_text(yaml.safe_dump(content))


def main(directory: Path) -> None:
    certificate = ensure_certificate(directory, ["127.0.0.1"])
    assert certificate.ca is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    write_kubeconfig(directory, listener.getsockname()[1], certificate.ca)
    print(f"echo on port {listener.getsockname()[1]}", flush=True)
    response = answer(500)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve_connection, args=(sock, context, response), daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
