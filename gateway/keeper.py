"""Whatever may be slow and can be rebuilt: today the index. A process of its own.

Indexing is all Python, and in the same process it would hold the interpreter while calls wait (measured:
docs/decisions/0006). The keeper reads the log like any reader; if it dies, nothing is lost, and it is
started again.
"""

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

from gateway import journal
from storage.errors import StorageError
from storage.index import Indexer

POLL_S: Final = 0.25
"""How soon a call can be found: searching is for people."""
NICENESS: Final = 10
STOP_S: Final = 5.0
MAX_BACKOFF_S: Final = 30.0


class Keeper:
    """Runs the keeper process of one data directory and starts it again when it dies."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.problem = ""  # why the index does not follow, "" while it does

    async def run(self) -> None:
        """Until cancelled."""
        backoff_s = 1.0
        while True:
            started = trio.current_time()
            code = await self._run_once()
            if trio.current_time() - started > MAX_BACKOFF_S:
                backoff_s = 1.0
            self.problem = f"the indexing process ended with code {code} and is started again"
            journal.problem("keeper", self.problem)
            await trio.sleep(backoff_s)
            self.problem = ""
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _run_once(self) -> int:
        command = [sys.executable, "-m", "gateway.keeper", str(self._data_dir)]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, start_new_session=True)
        try:
            return await process.wait()
        finally:
            with trio.move_on_after(STOP_S) as scope:
                scope.shield = True
                if process.stdin is not None:
                    await process.stdin.aclose()  # the end of its input is the sign to stop
                await process.wait()
            if process.returncode is None:
                process.kill()


def main(data_dir: Path) -> None:
    """Tail the log into the index until standard input ends, so that no keeper outlives its gateway."""
    os.nice(NICENESS)
    indexer = Indexer(data_dir)
    try:
        stopping = False
        while not stopping:
            while indexer.run_once():
                pass
            stopping = bool(select.select([sys.stdin], [], [], POLL_S)[0])
    finally:
        indexer.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (StorageError, OSError) as problem:
        journal.problem("index", f"the index does not follow the log: {problem}")
        sys.exit(1)
