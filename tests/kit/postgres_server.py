"""A private PostgreSQL server for tests: real, on a free port, thrown away afterwards; can be killed and paused.

PostgreSQL refuses to run as root; then it runs as the user `postgres`, in a directory that belongs to him.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

START_S = 30.0


def find_binaries() -> Path | None:
    """Where `initdb` and `postgres` are; None: nowhere."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


def why_not() -> str:
    """ "" when a server can be started here."""
    if find_binaries() is None:
        return "no PostgreSQL server here: make clients"
    if os.geteuid() == 0 and not _unprivileged():
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


class PostgresServer:
    """A cluster in a directory of its own."""

    def __init__(self) -> None:
        binaries = find_binaries()
        assert binaries is not None
        self._binaries = binaries
        self.directory = Path(tempfile.mkdtemp(prefix="kubetape-postgres-"))
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(self.directory / "data"), "-A", "trust", "-U", "postgres", "-N")

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = [
            f"-cport={self.port}",
            "-clisten_addresses=127.0.0.1",
            "-cfsync=off",
            "-cmax_connections=60",
        ]
        options += [f"-cunix_socket_directories={self.directory}"]
        command = [*_as_unprivileged(), str(self._binaries / "postgres"), "-D", str(self.directory / "data")]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        ends = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.dsn(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > ends or self._process.poll() is not None:
                    raise AssertionError((self.directory / "server.log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def new_database(self) -> str:
        """The connection string of an empty database."""
        name = f"state_{os.urandom(6).hex()}"
        self.execute(f"CREATE DATABASE {name}")
        return self.dsn(name)

    def new_space(self) -> str:
        """The connection string of an empty schema: cheaper than a database, and as good unless roles matter."""
        name = f"state_{os.urandom(6).hex()}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.dsn()}?options=-csearch_path%3D{name}"

    def execute(self, statement: str, dsn: str = "") -> None:
        with psycopg.connect(dsn or self.dsn(), autocommit=True) as connection:
            connection.execute(statement)

    def kill(self) -> None:
        """As a crash does: at once, without a word to anybody."""
        assert self._process is not None
        self._signal_all(signal.SIGKILL)
        self._process.wait()
        (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """All its processes stand still; the kernel goes on acknowledging what is sent to them."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()  # a server that was stopped in the middle of something need not end by itself
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        for pid in [self._process.pid, *_descendants(self._process.pid)]:
            os.kill(pid, number)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_unprivileged(), str(self._binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.directory, timeout=60)
        assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in map(int, children) for one in (child, *_descendants(child))]


def _unprivileged() -> bool:
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return False
    return shutil.which("setpriv") is not None


def _as_unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
