"""What it costs to read a request line and headers, for the first time and again. Microseconds of one core.

Run: python -m benchmarks.known_requests [--json FILE]. "again" is what every call but a client's first pays.
"""

import argparse
import json
import timeit
from collections.abc import Callable

from benchmarks.report import environment, write_json
from gateway.request_headers import KnownHeaders, read_headers
from protocol.apicall import parse_call
from protocol.events import Headers
from protocol.known_calls import KnownCalls

TARGETS = {
    "get": b"/api/v1/namespaces/default/pods/web-6d4cf56db6-x2bqp",
    "list": b"/apis/apps/v1/namespaces/default/deployments?labelSelector=app%3Dweb&limit=500",
}
KUBECTL: Headers = (
    (b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
    (b"authorization", b"Bearer " + b"x" * 900),
    (b"kubectl-command", b"kubectl get"),
    (b"kubectl-session", b"0e5dd9a7-8bd8-4d0c-8b1c-52b7f1b2a6a5"),
    (b"user-agent", b"kubectl/v1.33.1 (linux/amd64) kubernetes/8adc0f0"),
    (b"accept-encoding", b"gzip"),
)
ROUNDS = 20_000


def time_us(work: Callable[[], object]) -> float:
    """The best of five."""
    return round(min(timeit.repeat(work, number=ROUNDS, repeat=5)) / ROUNDS * 1e6, 2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    options = parser.parse_args()
    calls, headers = KnownCalls(), KnownHeaders()
    figures = {}
    for name, target in TARGETS.items():
        figures[f"request line, {name}"] = {
            "first": time_us(lambda target=target: parse_call(b"GET", target)),
            "again": time_us(lambda target=target: calls.read(b"GET", target)),
        }
    figures["headers of kubectl"] = {
        "first": time_us(lambda: read_headers(KUBECTL)),
        "again": time_us(lambda: headers.read(KUBECTL)),
    }
    print(json.dumps({"environment": environment(), "us": figures}, indent=2))
    write_json(options.json, {"us": figures})


if __name__ == "__main__":
    main()
