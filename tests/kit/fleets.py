"""`kubetape serve --workers N` as a user starts it, in front of the stand-in API server, with people who use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.identity.tokens import append_token
from gateway.keys.opening import open_key_ring
from storage.files import REAL_FILES
from storage.reader import iter_records
from storage.records import decode_record
from storage.sources import LOG_DIRECTORY, log_names
from tests.crash.processes import Oracle, eventually, is_running
from tests.kit.replicas import GROUPS, POLICY, Replica

WORKER: Final = "gateway.worker_process"
KEEPER: Final = "gateway.keeper_process"
START_S: Final = 40.0
DRAIN_S: Final = 2


class Fleet(Replica):
    """A gateway of several processes. tokens: by user."""

    tokens: dict[str, str]

    def children(self, program: str = WORKER) -> list[int]:
        """The processes it runs now, by their program; none once it has ended."""
        if self.poll() is not None:
            return []
        tasks = Path(f"/proc/{self.pid}/task").iterdir()  # a child belongs to the thread that started it
        pids = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        return [pid for pid in pids if is_running(pid) and program in _command(pid)]

    def writer_of(self, log: int) -> int:
        """The process that writes a log."""
        path = str((self.data_dir / LOG_DIRECTORY / str(log) / "LOCK").resolve())
        for pid in self.children():
            for link in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    if str(link.resolve()) == path:
                        return pid
                except OSError:
                    continue
        raise AssertionError(f"nobody writes log {log}")

    def records(self) -> dict[str, list[object]]:
        """All records, by log."""
        keys = open_key_ring(self.data_dir, [], use_kms=False)
        directory = self.data_dir / LOG_DIRECTORY
        return {
            name: [decode_record(raw) for _, raw in iter_records(directory / name, keys=keys)]
            for name in log_names(REAL_FILES, directory)
        }

    def until_ready(self, within_s: float = START_S) -> None:
        """Until readyz says so, of every process."""
        eventually(lambda: self.readyz()[0] == 200, within_s, f"ready again: {self.readyz()}")

    def until_replaced(self, within_s: float = 60) -> None:
        """Until a rolling restart has replaced what it could."""

        def replaced() -> bool:
            return any("replaced:" in line["message"] for line in self.journal("restart"))

        eventually(replaced, within_s, "all are replaced")


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


@contextmanager
def run_fleet(
    directory: Path,
    *,
    workers: int = 2,
    users: tuple[str, ...] = (),
    with_policy: bool = False,
    drain_s: int = DRAIN_S,
    **more: Any,
) -> Iterator[Fleet]:
    """It runs until the block ends, and is then killed if it still does.

    users: developers with a token each, where there is a policy; without one there is the first user. more: sections of
    the configuration.
    """
    sections: dict[str, Any] = {"workers": workers, **more}
    tokens: dict[str, str] = {}
    if with_policy:
        groups = GROUPS | dict.fromkeys(users, "devs")
        tokens = {user: append_token(directory / "tokens.csv", user, (of,)) for user, of in groups.items()}
        (directory / "policies").mkdir()
        (directory / "policies" / "fleet.yaml").write_text(POLICY)
        sections |= {
            "identity": {"tokenFile": str(directory / "tokens.csv")},
            "policy": {"dir": str(directory / "policies")},
            "console": {"admins": {"groups": ["admins"]}},
        }
    with Oracle(directory / "oracle") as oracle:
        fleet = Fleet(directory / "data", oracle, directory / "errors", drain_seconds=drain_s, more=sections)
        fleet.tokens = tokens
        try:
            fleet.start()
            yield fleet
        finally:
            pids = fleet.children() + fleet.children(KEEPER)
            fleet.kill()
            eventually(lambda: not any(map(is_running, pids)), START_S, f"{pids} end with their supervisor")
