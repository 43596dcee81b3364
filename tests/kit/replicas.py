"""Two whole gateways, each a process with its own data directory, that share a token file, a policy and a database.

People: devs may do much; guests what they are granted; bob and sue (sre) decide; adm (admins) revokes.
"""

import re
import signal
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.identity.tokens import append_token
from gateway.record_opening import gateway_id
from gateway.state.signing import open_seal
from tests.crash.processes import GatewayProcess, Oracle

PATIENCE_S: Final = 5
STOP_S: Final = 20
_CONSOLE_PORT: Final = re.compile(
    r"^approvals, grants, revocations: https://127\.0\.0\.1:(\d+)$", re.MULTILINE
)

POLICY: Final = """
apiVersion: kubetape/v1
kind: Policy
metadata: {name: two}
rules:
- {name: devs, match: {groups: [devs]}, action: allow}
- name: people
  match: {verbs: [create], resources: [configmaps], namespaces: [prod]}
  action: {hold: {approvers: {groups: [sre]}, scope: request, wait: 10m}}
- name: people-for-shells
  match: {resources: [pods/exec], namespaces: [payments]}
  action: {hold: {approvers: {groups: [sre]}}}
grants:
- name: repair
  requesters: {groups: [guests]}
  approvers: {groups: [sre]}
  maxDuration: 1h
  rules:
  - {name: look-and-touch, match: {namespaces: [default]}, action: allow}
"""
GROUPS: Final = {"bob": "sre", "sue": "sre", "adm": "admins"}


class Replica(GatewayProcess):
    """One of them."""

    @property
    def console_port(self) -> int:
        """Where its management API listens."""
        found = _CONSOLE_PORT.search(self.said())
        assert found is not None, self.said()
        return int(found[1])

    def waiting(self) -> int:
        """How many calls are held, watched or tunnelled through it now."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.management_port}/metrics", timeout=STOP_S
        ) as answer:
            found = re.search(rb"^kubetape_streams_active (\d+)", answer.read(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    @property
    def ca(self) -> Path:
        return self.data_dir / "tls" / "ca.crt"


class Pair:
    """Gateways a and b, the API server before which they stand, and everybody's token."""

    def __init__(self, a: Replica, b: Replica, oracle: Oracle, tokens: dict[str, str]) -> None:
        self.a, self.b, self.oracle, self.tokens = a, b, oracle, tokens

    def carried_out(self) -> Counter[str]:
        """How often the API server was asked for what each field manager creates, for real (no dry run)."""
        targets = [str(request["target"]) for request in self.oracle.settle()]
        managers = [
            re.search(r"[?&]fieldManager=([^&]+)", target) for target in targets if "dryRun" not in target
        ]
        return Counter(found[1] for found in managers if found)


@contextmanager
def run_pair(
    directory: Path,
    oracle: Oracle,
    dsns: tuple[str, str],
    devs: tuple[str, ...],
    guests: tuple[str, ...] = (),
    *,
    shares_key: bool = True,
    patience_s: int = PATIENCE_S,
) -> Iterator[Pair]:
    """Both, until the block ends; then they must end well.

    dsns: how each of them reaches the database. shares_key: whether they sign with one key, or trust each other's.
    """
    groups = GROUPS | dict.fromkeys(devs, "devs") | dict.fromkeys(guests, "guests")
    tokens = {user: append_token(directory / "tokens.csv", user, (group,)) for user, group in groups.items()}
    (directory / "policies").mkdir()
    (directory / "policies" / "two.yaml").write_text(POLICY)
    keys = _one_key(directory) if shares_key else _their_own_keys(directory)
    with ExitStack() as stack:
        pair = []
        for name, dsn in zip("ab", dsns, strict=True):
            (directory / f"{name}.dsn").write_text(dsn)
            state = {"postgres": {"dsnFile": str(directory / f"{name}.dsn")}, **keys}
            sections = _sections(directory) | {"state": state, "patienceSeconds": patience_s}
            replica = Replica(directory / name, oracle, directory / f"{name}.err", more=sections)
            stack.callback(replica.kill)
            replica.spawn()
            pair.append(replica)
        assert all(replica.wait_ready() for replica in pair), [replica.said() for replica in pair]
        yield Pair(pair[0], pair[1], oracle, tokens)
        for replica in pair:
            replica.signal(signal.SIGTERM)
        for replica in pair:
            assert replica.wait(STOP_S) == 0, replica.said()


def _one_key(directory: Path) -> dict[str, Any]:
    """The key that one gateway made at its first start, given to both."""
    open_seal(directory / "first", "first", "cluster")
    return {"signingKeyFile": str(directory / "first" / "keys" / "state.key")}


def _their_own_keys(directory: Path) -> dict[str, Any]:
    """The keys that a first start makes; each is told of both: its own does no harm."""
    vkeys = []
    for data_dir in (directory / "a", directory / "b"):
        data_dir.mkdir(mode=0o700)
        open_seal(data_dir, gateway_id(data_dir), "cluster")
        vkeys += (data_dir / "keys" / "state.vkey").read_text().split()
    return {"trustedKeys": vkeys}


def _sections(directory: Path) -> dict[str, Any]:
    return {
        "identity": {"tokenFile": str(directory / "tokens.csv")},
        "policy": {"dir": str(directory / "policies")},
        "console": {"admins": {"groups": ["admins"]}},
    }
