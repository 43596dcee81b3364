"""How long a gateway takes from its start to its first answer, over a log of some size that a crash left.

    python -m benchmarks.restart [--directory DIR] [--mib 1024] [--rounds 5] [--json FILE]

The log is encrypted, with a signed tree, and its last segment is open: the writer was killed. Each round starts
`kubetape serve` in front of a stand-in API server, asks once, and kills it. Columns: seconds until it listens, and
until the first answer; the same for an empty data directory is the start of the program itself.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.http_client import connect_http1
from benchmarks.processes import GatewayProcess, start_gateway, start_standin
from benchmarks.report import environment, write_json
from gateway.keeping.tree import Trees
from gateway.log_name import identify_log
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import KeyMaker
from storage.encryption.local_key import default_path, ensure_local_key
from storage.log import SegmentLog
from storage.pace import LogSettings

NAME = "bench"
RECORD_BYTES = 16_000


def write_and_die(data_dir: Path, total_bytes: int) -> None:
    """Write a log as a gateway does, sign it, and be killed in the middle of a segment."""
    (data_dir / "gateway-id").write_text(NAME + "\n")
    identity = identify_log(NAME, 0)
    keys = KeyPool(KeyMaker(identity.log_origin, [ensure_local_key(default_path(data_dir))]))
    keys.start()
    log = SegmentLog.open(
        data_dir / "log" / "0",
        identity=identity,
        on_commit=lambda _: None,
        on_failure=lambda failure: print(failure, file=sys.stderr),
        settings=LogSettings(),
        keys=keys,
    )
    noise = os.urandom(2 * RECORD_BYTES)  # what bodies look like once they are encrypted
    for number in range(total_bytes // RECORD_BYTES):
        while log.pending_bytes > 16 << 20:
            time.sleep(0.001)
        at = number % RECORD_BYTES
        log.append(noise[at : at + RECORD_BYTES], urgent=number % 8 == 0)
    while log.pending_bytes:
        time.sleep(0.01)
    trees = Trees(data_dir, NAME)
    while trees.step():
        pass
    time.sleep(1.1)
    trees.step()
    os.kill(os.getpid(), signal.SIGKILL)


def measure(data_dir: Path, kubeconfig: Path) -> tuple[float, float]:
    """(seconds until it listens, seconds until the first answer)"""
    with contextlib.ExitStack() as stack:
        began = time.perf_counter()
        gateway: GatewayProcess = start_gateway(stack, kubeconfig, directory=data_dir)
        listens_s = time.perf_counter() - began
        client = connect_http1(gateway.cluster)
        client.call("GET", "/version")
        answers_s = time.perf_counter() - began
        client.close()
        os.kill(gateway.pid, signal.SIGKILL)
    return listens_s, answers_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, help="with room for the log; default: the temporary one")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write_and_die(arguments.write, arguments.mib << 20)
    root = Path(tempfile.mkdtemp(dir=arguments.directory, prefix="kubetape-restart-"))
    try:
        print(environment())
        rows = []
        with contextlib.ExitStack() as stack:
            standin = start_standin(stack)
            for mib in (0, arguments.mib):
                data_dir = root / str(mib)
                data_dir.mkdir()
                if mib:
                    command = [sys.executable, "-m", "benchmarks.restart", "--write", str(data_dir)]
                    subprocess.run([*command, "--mib", str(mib)], check=False)
                for number in range(arguments.rounds):
                    listens_s, answers_s = measure(data_dir, standin.kubeconfig)
                    rows.append(
                        {
                            "mib": mib,
                            "round": number + 1,
                            "listens_s": round(listens_s, 2),
                            "answers_s": round(answers_s, 2),
                        }
                    )
                    print(rows[-1])
        write_json(arguments.json, {"rounds": rows})
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
