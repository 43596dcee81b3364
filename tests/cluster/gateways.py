"""A gateway before the real cluster, in either identity mode, as a process of its own.

When it closes, it must have ended well, said nothing alarming, and recorded exactly what the cluster audited.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.identity.tokens import append_token
from tests.clients.rig import ClientRig
from tests.clients.targets import ROOT
from tests.cluster.audit import AuditTail, differences, went_upstream
from tests.cluster.scene import GROUP, Scene, write_kubeconfig
from tests.cluster.surroundings import audit_log, gateway_kubeconfig
from tests.kit.tape_reading import Recorded, read_exchanges, read_sub_requests

MODES = ("shared", "impersonate")
START_S, STOP_S = 60.0, 60.0


class Front(msgspec.Struct, frozen=True):
    """A running gateway. member, reader: kubeconfigs of the two people; acting: whom the cluster sees.

    people: kubeconfigs of others, by name; management_port: where readyz and metrics are.
    """

    mode: str
    data_dir: Path
    member: Path
    reader: Path
    acting: set[str]
    people: dict[str, Path]
    management_port: int

    def rig(self, like: ClientRig, person: str = "member") -> ClientRig:
        """The same kubectl through this gateway."""
        known = {"member": self.member, "reader": self.reader, **self.people}
        return msgspec.structs.replace(like, kubeconfig=known[person])

    def errors(self) -> bytes:
        """What it wrote to stderr so far."""
        return (self.data_dir.parent / "stderr").read_bytes()


@contextmanager
def run_gateway(
    scene: Scene, directory: Path, mode: str, *, policy: str = "", people: tuple[str, ...] = ()
) -> Iterator[Front]:
    """Run it until the block ends, then join its record with the cluster's audit log.

    policy: the text of its one policy file, "" for observe mode. people: more users than the scene has; they have
    no rights of their own in the cluster, which matters with impersonation only.
    """
    directory.mkdir(parents=True)
    log = audit_log()
    tail = AuditTail(log) if log else None
    credential, acting = _credential(scene, directory, mode)
    users = (*_people(scene), *people)
    tokens = [append_token(directory / "tokens", user=user, groups=(GROUP,)) for user in users]
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data-dir", str(directory / "data")]
    command += ["--upstream-kubeconfig", str(credential), "--upstream-identity", mode]
    command += ["--listen", "127.0.0.1:0", "--mgmt-listen", "127.0.0.1:0", "--console-listen", "127.0.0.1:0"]
    command += ["--token-file", str(directory / "tokens")]
    if policy:
        (directory / "policy").mkdir()
        (directory / "policy" / "policy.yaml").write_text(policy)
        command += ["--policy", str(directory / "policy")]
    errors = directory / "stderr"
    with errors.open("wb") as stderr, subprocess.Popen(command, cwd=ROOT, stderr=stderr) as process:
        try:
            port, management_port = _wait_for_ports(errors, process)
            cluster = {
                "server": f"https://127.0.0.1:{port}",
                "certificate-authority": str(directory / "data" / "tls" / "ca.crt"),
            }
            member, reader, *others = (
                write_kubeconfig(directory / f"kubeconfig-{name}", cluster, token, scene.namespace)
                for name, token in zip(("member", "reader", *people), tokens, strict=True)
            )
            named = dict(zip(people, others, strict=True))
            yield Front(mode, directory / "data", member, reader, acting, named, management_port)
            assert process.poll() is None, f"the gateway died: {errors.read_text()}"
        finally:
            process.terminate()
            code = process.wait(STOP_S)
    assert code == 0, f"the gateway did not end well ({code}): {errors.read_text()}"
    assert [line for line in errors.read_text().splitlines() if '"level":"error"' in line] == []
    data_dir = directory / "data"
    exchanges, own = read_exchanges(data_dir), read_sub_requests(data_dir)
    assert [one.intent for one in exchanges.values() if one.outcomes != 1] == []
    if tail:
        forwarded = {key for key, one in exchanges.items() if went_upstream(one)}
        found = differences(exchanges, tail.read_until_over(forwarded | set(own)), acting=acting, own=own)
        assert found == [], "\n".join(found[:20])


def find_exchange(exchanges: dict[str, Recorded], mark: str) -> Recorded:
    """The one forwarded request whose target holds a mark."""
    found = [one for one in exchanges.values() if mark.encode() in one.intent.upstream_target]
    assert len(found) == 1, [one.intent.upstream_target for one in found]
    return found[0]


def _people(scene: Scene) -> tuple[str, str]:
    return scene.member, scene.reader


def _credential(scene: Scene, directory: Path, mode: str) -> tuple[Path, set[str]]:
    """What the gateway proves itself with, and the users it then acts for."""
    if mode == "shared":
        return scene.credential("shared", directory / "upstream"), {scene.account_name("shared")}
    given = gateway_kubeconfig()
    # a service account is ours alone, so even a request that forgot to impersonate would be found
    alone: set[str] = set() if given else {scene.account_name("impersonator")}
    return given or scene.credential("impersonator", directory / "upstream"), {*_people(scene), *alone}


def _wait_for_ports(errors: Path, process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Where clients connect, and where readyz is."""
    deadline = time.monotonic() + START_S
    while not (found := re.search(r" on port (\d+);[^\n]*\nhealth: http://[^:]+:(\d+)/", errors.read_text())):
        assert process.poll() is None, f"the gateway did not start: {errors.read_text()}"
        assert time.monotonic() < deadline, (
            f"the gateway is not ready after {START_S} s: {errors.read_text()}"
        )
        time.sleep(0.05)
    return int(found[1]), int(found[2])
