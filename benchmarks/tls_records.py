"""What TLS costs without a socket: us to encrypt, and to decrypt, a head and a large piece. Prints JSON.

python -m benchmarks.tls_records --json tls.json
"""

import argparse
import json
import ssl
import time
from collections.abc import Callable

import trustme

from benchmarks.report import write_json
from gateway.tls_records import TlsRecords

SIZES_BYTES = {"head": 600, "record": 16 * 1024, "piece": 64 * 1024}
CALLS = 200
ROUNDS = 20


def open_pair() -> tuple[TlsRecords, TlsRecords]:
    """Server and client after their handshake."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.num_tickets = 0
    authority.issue_cert("a.example").configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_context)
    server = TlsRecords(server_context, server_side=True)
    client = TlsRecords(client_context, server_side=False, server_hostname="a.example")
    client.do_handshake()
    server.feed(client.take())
    server.do_handshake()
    client.feed(server.take())
    client.do_handshake()
    server.feed(client.take())
    server.do_handshake()
    return server, client


def measure(size_bytes: int) -> tuple[float, float]:
    """us to encrypt and to decrypt that much, the best round."""
    server, client = open_pair()
    data = bytes(size_bytes)
    encrypted: list[bytes] = []

    def encrypt() -> None:
        for _ in range(CALLS):
            client.encrypt(data)
            encrypted.append(client.take())

    def decrypt() -> None:
        for piece in encrypted:
            server.feed(piece)
            while server.decrypt():
                pass
        encrypted.clear()

    rounds = [(_timed(encrypt), _timed(decrypt)) for _ in range(ROUNDS)]
    return min(first for first, _ in rounds), min(second for _, second in rounds)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / CALLS * 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    for name, size_bytes in SIZES_BYTES.items():
        encrypt_us, decrypt_us = measure(size_bytes)
        figures |= {f"encrypt_{name}_us": round(encrypt_us, 1), f"decrypt_{name}_us": round(decrypt_us, 1)}
    print(json.dumps(figures))
    write_json(arguments.json, {"tls": figures})
