"""What the door costs: a known token, and a new one of each algorithm. Microseconds of one core. Prints JSON.

Run: python -m benchmarks.identity. No network: the issuer's keys are in place before the clock starts.
"""

import json
import time
from collections.abc import Awaitable, Callable

import trio

from benchmarks.report import environment, summary
from gateway.identity.authenticate import Authenticator
from gateway.identity.keys import IssuerKeys
from gateway.identity.predecode import predecode
from gateway.identity.settings import IssuerSettings
from protocol.events import RequestHead
from tests.kit.issuer import AUDIENCE, Issuer

ALGORITHMS = ("RS256", "ES256", "EdDSA", "PS256")
GROUPS = [f"team-{number}" for number in range(20)]
CACHED_ROUNDS, CACHED_BATCH = 200, 500
VERIFY_ROUNDS = 600


def head_of(token: bytes) -> RequestHead:
    """The head kubectl sends, with a token of about 1 KiB."""
    return RequestHead(
        b"GET",
        b"/api/v1/namespaces/default/pods?limit=500",
        b"gateway:6443",
        (
            (b"user-agent", b"kubectl/v1.36.0 (linux/amd64) kubernetes/0000000"),
            (b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            (b"authorization", b"Bearer " + token),
            (b"accept-encoding", b"gzip"),
            (b"kubectl-command", b"kubectl get"),
            (b"kubectl-session", b"6ad4e1c5-0000-4000-8000-000000000000"),
        ),
    )


def measure(work: Callable[[], object], rounds: int, batch: int) -> dict[str, float]:
    samples = []
    for _ in range(rounds):
        started = time.perf_counter_ns()
        for _ in range(batch):
            work()
        samples.append((time.perf_counter_ns() - started) / batch / 1000)
    return {name: round(value, 2) for name, value in summary(samples).items()}


async def measure_each(work: Callable[[int], Awaitable[object]], rounds: int) -> dict[str, float]:
    samples = []
    for number in range(rounds):
        started = time.perf_counter_ns()
        await work(number)
        samples.append((time.perf_counter_ns() - started) / 1000)
    return {name: round(value, 2) for name, value in summary(samples).items()}


async def main() -> None:
    issuer = Issuer(algorithms=ALGORITHMS)
    settings = IssuerSettings(url=issuer.url, audiences=(AUDIENCE,), algorithms=ALGORITHMS)
    door = Authenticator(issuers=[IssuerKeys(settings, fetch=issuer.fetch)])
    figures: dict[str, object] = {}
    async with trio.open_nursery() as nursery:
        await nursery.start(door.run)
        token = issuer.token(groups=GROUPS, email="alice@example.com")
        head = head_of(token)
        await door.authenticate(head, peer_certificate_der=None, subprotocol_token=None)
        assert door.cached(head) is not None
        figures["token_bytes"] = len(token)
        figures["cached_us"] = measure(lambda: door.cached(head), CACHED_ROUNDS, CACHED_BATCH)
        figures["predecode_us"] = measure(lambda: predecode(token), 200, 20)
        for algorithm in ALGORITHMS:
            key = issuer.key(algorithm)
            heads = [
                head_of(issuer.token(key=key, groups=GROUPS, jti=str(number)))
                for number in range(VERIFY_ROUNDS)
            ]

            async def verify(number: int, heads: list[RequestHead] = heads) -> object:
                return await door.authenticate(
                    heads[number], peer_certificate_der=None, subprotocol_token=None
                )

            figures[f"verify_{algorithm}_us"] = await measure_each(verify, VERIFY_ROUNDS)
        nursery.cancel_scope.cancel()
    print(json.dumps({"environment": environment(), **figures}, indent=2))


if __name__ == "__main__":
    trio.run(main)
