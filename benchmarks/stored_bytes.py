"""How many bytes a kubectl call takes on disk, and which records take them.

    python -m benchmarks.stored_bytes [--rounds 20] [--keep DIR] [--json]

Plays a working day in small against a gateway in front of the stand-in API server, with a real kubectl whose
discovery is cached: get, describe, apply, logs, exec, watch. Then stops the gateway, which seals its segment, and
reads what it wrote. Columns by kind of record: how many, bytes as encoded, and bytes of each compressed on its own
with the dictionary of the segment. What a call takes is the segments' bytes, block tables and all, by the number
of exchanges; the index of the same calls, which is beside them, is given too.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks.processes import start_gateway, start_standin
from gateway.keys.opening import open_key_ring
from storage.dictionary import Compression
from storage.files import REAL_FILES
from storage.reader import list_segments, open_segment_file
from storage.records import Intent, decode_record

MANIFEST: Final = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings-{number}
  labels: {{app: web, team: payments}}
data:
  LOG_LEVEL: info
  FEATURES: "checkout,search"
  ROUND: "{number}"
"""
QUICK: Final = (
    "get pods",
    "get pods -o wide",
    "get pods -A",
    "get pod {pod} -o yaml",
    "get deployments",
    "get services",
    "get events",
    "get namespaces",
    "get nodes",
    "describe pod {pod}",
    "logs {pod} --tail=20",
    "exec {pod} -- echo hello",
    "exec {pod} -- ls /",
    "get configmap settings-{number} -o json",
    "auth can-i create deployments",
)


class Mix:
    """A person's kubectl, against one gateway."""

    def __init__(self, directory: Path, kubeconfig: Path) -> None:
        self._manifest = directory / "manifest.yaml"
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise SystemExit("there is no kubectl on the PATH")
        cache = ["--cache-dir", str(directory / "cache")]
        self._command = [kubectl, "--kubeconfig", str(kubeconfig), *cache]
        self.runs: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        names = self._run(["get", "pods", "-o", "name"]).split()  # fills the discovery cache
        self._pods = [name.removeprefix("pod/") for name in names]

    def round(self, number: int) -> None:
        pod = self._pods[number % len(self._pods)]
        self._manifest.write_text(MANIFEST.format(number=number % 7))
        self._run(["apply", "-f", str(self._manifest)])
        for line in QUICK:
            self._run(line.format(pod=pod, number=number % 7).split())
        self._run(["get", "pods", "--watch", "--request-timeout=1s"], may_fail=True)
        if number % 5 == 4:
            self._run(["delete", "configmap", f"settings-{number % 7}"])

    def _run(self, arguments: list[str], *, may_fail: bool = False) -> str:
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, timeout=60)
        self.runs[arguments[0]] += 1
        if done.returncode and not may_fail:
            self.failed[" ".join(arguments)] += 1
        return done.stdout


class Kinds:
    """What each kind of record takes."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.encoded_bytes: Counter[str] = Counter()
        self.alone_bytes: Counter[str] = Counter()
        self.frames = self.frame_bytes = self.records = 0

    def add(self, records: Iterable[bytes], compression: Compression) -> None:
        for encoded in records:
            kind = type(decode_record(encoded)).__name__
            self.count[kind] += 1
            self.encoded_bytes[kind] += len(encoded)
            self.alone_bytes[kind] += len(compression.compress(encoded))


def read_kinds(data_dir: Path) -> Kinds:
    """All records of a data directory whose local key lies in it."""
    kinds, keys = Kinds(), open_key_ring(data_dir, [data_dir / "keys" / "local.key"], use_kms=False)
    log = data_dir / "log" / "0"
    for name in list_segments(log):
        with open_segment_file(log, name, REAL_FILES, keys=keys) as segment:
            compression, cursor = Compression(segment.header.zstd), segment.start()
            while (raw := segment.next_block(cursor, whole=True)) is not None:
                kinds.frames += 1
                kinds.frame_bytes += len(raw.data)
                kinds.add(segment.decode(raw).records, compression)
    return kinds


def size_of(directory: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in directory.glob(pattern) if path.is_file())


def play(directory: Path, rounds: int) -> Mix:
    with contextlib.ExitStack() as stack:
        standin = start_standin(stack)
        start_gateway(stack, standin.kubeconfig, directory=directory)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubetape-mix-")))
        mix = Mix(work, directory / "kubeconfig")
        for number in range(rounds):
            mix.round(number)
        return mix


def report(mix: Mix, directory: Path) -> dict[str, object]:
    kinds = read_kinds(directory)
    calls, runs = kinds.count[Intent.__name__], mix.runs.total()
    log_bytes = size_of(directory / "log" / "0", "*.kseg")
    index_bytes = size_of(directory / "index", "*.sqlite*")
    return {
        "kubectl_runs": runs,
        "failed_runs": mix.failed.total(),
        "calls": calls,
        "records": kinds.count.total(),
        "commits": kinds.frames,
        "log_bytes_per_call": round(log_bytes / calls),
        "log_bytes_per_run": round(log_bytes / runs),
        "frame_bytes_per_call": round(kinds.frame_bytes / calls),
        "encoded_bytes_per_call": round(kinds.encoded_bytes.total() / calls),
        "index_bytes_per_call": round(index_bytes / calls),
        "kinds": {
            kind: {
                "count": count,
                "encoded_bytes": kinds.encoded_bytes[kind],
                "alone_bytes": kinds.alone_bytes[kind],
            }
            for kind, count in kinds.count.most_common()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="of about 17 kubectl runs")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write the data directory there and leave it"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.makedirs(directory, mode=0o700, exist_ok=True)
        mix = play(directory, arguments.rounds)
        for line, times in mix.failed.items():
            print(f"failed {times} times: kubectl {line}", file=sys.stderr)
        found = report(mix, directory)
    if arguments.json:
        print(json.dumps(found))
        return
    kinds = found.pop("kinds")
    assert isinstance(kinds, dict)
    for name, figure in found.items():
        print(f"{name:24} {figure}")
    print(f"\n{'kind':18} {'count':>6} {'encoded':>9} {'alone':>9}   bytes each")
    for kind, one in kinds.items():
        each = f"{one['encoded_bytes'] / one['count']:8.0f} {one['alone_bytes'] / one['count']:8.0f}"
        print(f"{kind:18} {one['count']:6} {one['encoded_bytes']:9} {one['alone_bytes']:9} {each}")


if __name__ == "__main__":
    main()
