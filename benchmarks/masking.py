"""What masking adds to a JSON answer, compared with parsing it.

    python -m benchmarks.masking [--seconds 1.0] [--json FILE]

Two documents, a list of pods of 5 MB and one pod of 3 KB, under five sets of masks: those where nothing can be hidden,
those where every object holds something, and both kinds of rule. `parse` is msgspec decoding the same bytes into Python
objects and nothing else; `masked` is all that happens to an answer, bytes to bytes. Both take turns, and the garbage
collector runs as it does in the gateway. Figures are CPU microseconds, the target is a ratio of at most 2.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.report import summary, write_json
from gateway.policy.masking.masker import Masker
from gateway.policy.model import Mask
from protocol.apicall import parse_call
from protocol.events import ResponseHead

PODS: Final = parse_call(b"GET", b"/api/v1/pods")
HEAD: Final = ResponseHead(200, ((b"content-type", b"application/json"),))
CHUNK_BYTES: Final = 64 * 1024
LIST_BYTES: Final = 5_000_000

DETECTORS: Final = ("private-key", "aws-key", "jwt", "github-token", "card", "email")
MASKS: Final = {
    "paths, none there": Mask("b/r", ("data.*", 'metadata.annotations["example.com/token"]')),
    "paths, in each object": Mask("b/r", ("spec.containers[*].env[*].value",)),
    "paths at any depth": Mask("b/r", ("**.password", "**.value")),
    "detectors, no hit": Mask("b/r", detectors=DETECTORS),
    "detectors, hits in 1 of 20": Mask("b/r", detectors=("own", *DETECTORS)),
}
HIT: Final = "AKIAIOSFODNN7EXAMPLE"


def pod(number: int, *, hit: bool) -> dict[str, object]:
    """A pod as clusters have them: two containers, conditions, managedFields. About 3 KB."""
    env = [{"name": f"SETTING_{n}", "value": f"value-{number}-{n}"} for n in range(10)]
    container = {
        "name": "app",
        "image": f"registry.example.com/team/app:{number}",
        "args": ["--listen=:8080", HIT if hit else "--verbose"],
        "env": env,
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m"}},
        "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": True}],
        "imagePullPolicy": "IfNotPresent",
    }
    names = {f"f:{name}": {} for name in ("image", "name", "args", "env", "resources", "imagePullPolicy")}
    fields = {
        "f:spec": {"f:containers": {'k:{"name":"app"}': names}},
        "f:metadata": {"f:labels": {"f:app": {}}},
    }
    when = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"app-{number}",
            "namespace": "team",
            "uid": f"0b0e6a1c-6f0d-4b57-8f0e-{number:012d}",
            "resourceVersion": str(1000 + number),
            "creationTimestamp": when,
            "labels": {"app": "app", "pod-template-hash": "5d4f8c7b9"},
            "managedFields": [
                {"manager": "kubelet", "operation": "Update", "fieldsV1": fields, "time": when}
            ],
        },
        "spec": {"containers": [container, {**container, "name": "sidecar"}], "nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": when}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
        },
    }


def documents(*, hits: bool) -> dict[str, bytes]:
    one = msgspec.json.encode(pod(0, hit=hits))
    pods = [pod(number, hit=hits and number % 20 == 0) for number in range(LIST_BYTES // len(one))]
    whole = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": pods}
    return {"3 KB object": one, "5 MB list": msgspec.json.encode(whole)}


def mask(masker: Masker, body: bytes) -> int:
    """All that happens to the answer; how many values were hidden."""
    answer = masker.answer(PODS, HEAD)
    assert answer is not None
    for at in range(0, len(body), CHUNK_BYTES):
        answer.feed(body[at : at + CHUNK_BYTES])
    answer.finish()
    return answer.counts.total()


def measure(masker: Masker, body: bytes, seconds: float) -> dict[str, object]:
    parse_us: list[float] = []
    masked_us: list[float] = []
    hidden = mask(masker, body)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.thread_time_ns()
        msgspec.json.decode(body)
        between = time.thread_time_ns()
        mask(masker, body)
        parse_us.append((between - started) / 1e3)
        masked_us.append((time.thread_time_ns() - between) / 1e3)
    parse, masked = summary(parse_us), summary(masked_us)
    return {"hidden": hidden, "parse": parse, "masked": masked, "ratio": masked["p50"] / parse["p50"]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="per figure")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)
    results: dict[str, object] = {}
    print(f"{'document':<12} {'masks':<28} {'hidden':>7} {'parse us':>10} {'masked us':>10} {'ratio':>6}")
    for name, rule in MASKS.items():
        masker = Masker(
            (msgspec.structs.replace(rule, detectors=tuple(d for d in rule.detectors if d != "own")),)
        )
        for document, body in documents(hits="own" in rule.detectors).items():
            found = measure(masker, body, options.seconds)
            results[f"{document}, {name}"] = found
            parse, masked = found["parse"], found["masked"]
            assert isinstance(parse, dict)
            assert isinstance(masked, dict)
            print(
                f"{document:<12} {name:<28} {found['hidden']:>7} {parse['p50']:>10.1f} {masked['p50']:>10.1f} "
                f"{found['ratio']:>6.2f}"
            )
    write_json(options.json, {"masking": results})


if __name__ == "__main__":
    main()
