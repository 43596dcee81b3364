"""What is in the log is what the client saw, byte for byte, on a real cluster; and what the cluster audited."""

import hashlib
import io
import json
import random
import ssl
import tarfile
import uuid
from collections.abc import Callable
from http.client import HTTPSConnection
from pathlib import Path

import msgspec
import pytest
import yaml

from protocol.events import Channel
from storage.records import ChannelChunk, Intent
from tests.clients.programs import Kubectl, find_kubectls
from tests.clients.rig import ClientRig
from tests.cluster.audit import AuditEvent, AuditTail, differences
from tests.cluster.forwarded import converse, local_port
from tests.cluster.gateways import MODES, find_exchange, run_gateway
from tests.cluster.scene import Scene
from tests.cluster.surroundings import audit_log, why_not
from tests.kit.tape_reading import read_exchanges, read_records

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

ENDS = tuple(dict.fromkeys(find_kubectls()[at] for at in (0, -1))) if find_kubectls() else ()


@pytest.mark.parametrize("kubectl", ENDS, ids=lambda kubectl: kubectl.name)
def test_the_log_holds_the_bytes_the_client_saw(scene: Scene, tmp_path: Path, kubectl: Kubectl) -> None:
    sent = random.Random(8).randbytes(400_000)
    (tmp_path / "sent.bin").write_bytes(sent)
    with run_gateway(scene, tmp_path / "gateway", "impersonate") as front:
        rig = ClientRig(kubectl, front.member, tmp_path)
        script = "echo mark-exec >&2; cat; cat /www/large"
        seen = rig.run("exec", "-i", "web", "--", "sh", "-c", script, stdin=sent)
        rig.run("cp", "sent.bin", "web:/tmp/mark-cp")
        rig.run("cp", "web:/tmp/mark-cp", "back.bin")
        with rig.start("port-forward", "pod/web", ":7", "--address=127.0.0.1") as running:
            port = local_port(running, 7)
            assert [converse(port, data) for data in (sent, sent[::-1])] == [sent, sent[::-1]]
        got = rig.run("get", "--raw", f"/api/v1/namespaces/{scene.namespace}/pods/web?mark=raw").stdout
        lines = rig.run("logs", "web", "--limit-bytes=1234").stdout
    data_dir = front.data_dir
    exchanges = read_exchanges(data_dir)
    answered = {one.response_body.sha256 for one in exchanges.values()}
    assert find_exchange(exchanges, "mark=raw").response_body.sha256 == hashlib.sha256(got).hexdigest()
    assert hashlib.sha256(lines).hexdigest() in answered
    told = _channel_bytes(data_dir, "mark-exec")
    assert told[Channel.STDIN, True, 0] == sent
    assert told[Channel.STDOUT, False, 0] == seen.stdout
    assert told[Channel.STDERR, False, 0] == seen.stderr.encode()
    upload = _channel_bytes(data_dir, "command=-xmf")[Channel.STDIN, True, 0]
    assert _only_file(upload) == sent
    download = _channel_bytes(data_dir, "command=cf")[Channel.STDOUT, False, 0]
    assert _only_file(download) == sent == (tmp_path / "back.bin").read_bytes()
    forwarded = _channel_bytes(data_dir, "/portforward")
    for from_client in (True, False):
        carried = [
            data
            for (channel, way, _), data in forwarded.items()
            if channel == Channel.DATA and way == from_client and data
        ]
        assert carried == [sent, sent[::-1]]


@pytest.mark.skipif(audit_log() is None, reason="KUBETAPE_TEST_AUDIT_LOG names no audit log")
@pytest.mark.parametrize("mode", MODES)
def test_every_request_is_in_our_log_and_in_the_audit_log_under_one_id(
    scene: Scene, tmp_path: Path, mode: str
) -> None:
    log = audit_log()
    assert log
    tail = AuditTail(log)
    own_id = str(uuid.uuid4())
    with run_gateway(scene, tmp_path / "gateway", mode) as front:
        rig = ClientRig(find_kubectls()[-1], front.member, tmp_path)
        rig.run("get", "pods")
        rig.run("create", "configmap", "joined", "--from-literal=a=b")
        rig.run("delete", "configmap", "joined")
        rig.run("get", "pod", "no-such-pod", code=1)
        rig.run("exec", "web", "--", "true")
        rig.run("get", "pods", "--as=somebody", code=1)
        assert (
            _request(front.member, f"/api/v1/namespaces/{scene.namespace}/pods", {"Audit-ID": own_id}) == 200
        )
    exchanges = read_exchanges(front.data_dir)
    events = tail.read_until_over({key for key, one in exchanges.items() if one.intent.upstream_target})
    verbs = {(event.verb, event.stage) for event in events if event.acting in front.acting}
    assert verbs >= {(verb, "ResponseComplete") for verb in ("list", "get", "create", "delete")}
    assert differences(exchanges, events, acting=front.acting) == []
    assert own_id not in {event.audit_id for event in events} | set(exchanges)
    assert "somebody" not in {event.acting for event in events}
    refused = [one for one in exchanges.values() if not one.intent.upstream_target]
    assert {one.status for one in refused} == {400}


@pytest.mark.parametrize("change", ["missing record", "missing event", "verb", "user", "twice"])
def test_the_join_notices(scene: Scene, tmp_path: Path, change: str) -> None:
    """The join itself can fail: each of these lies is found."""
    log = audit_log()
    if log is None:
        pytest.skip("KUBETAPE_TEST_AUDIT_LOG names no audit log")
    tail = AuditTail(log)
    with run_gateway(scene, tmp_path / "gateway", "impersonate") as front:
        ClientRig(find_kubectls()[-1], front.member, tmp_path).run("get", "pods")
    exchanges = read_exchanges(front.data_dir)
    events = [event for event in tail.read_until_over(set(exchanges)) if event.audit_id in exchanges]
    lies: dict[str, Callable[[], object]] = {
        "missing record": lambda: exchanges.pop(events[0].audit_id),
        "missing event": events.clear,
        "verb": lambda: events.append(_changed(events.pop(), verb="delete")),
        "user": lambda: events.append(_changed(events.pop(), impersonated_user=None)),
        "twice": lambda: events.append(events[0]),
    }
    lies[change]()
    assert differences(exchanges, events, acting=front.acting) != []


def _changed(event: AuditEvent, **changes: object) -> AuditEvent:
    return msgspec.structs.replace(event, **changes)


def _channel_bytes(data_dir: Path, mark: str) -> dict[tuple[int, bool, int], bytes]:
    """(channel, from_client, connection) -> what it carried, of the exchange in whose target a mark is.

    A handshake that was refused before the client fell back to an older protocol carried nothing.
    """
    found: set[bytes] = set()
    carried: dict[tuple[int, bool, int], bytes] = {}
    for record in read_records(data_dir):
        if isinstance(record, Intent) and mark.encode() in record.upstream_target:
            found.add(record.exchange)
        elif isinstance(record, ChannelChunk) and record.exchange in found:
            key = (record.channel, record.from_client, record.connection)
            carried[key] = carried.get(key, b"") + record.data
    return carried


def _only_file(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert content
        return content.read()


def _request(kubeconfig: Path, path: str, headers: dict[str, str]) -> int:
    """One GET without a client library: the status."""
    content = yaml.safe_load(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
    connection = HTTPSConnection(cluster["server"].removeprefix("https://"), context=trust, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {user['token']}", **headers})
    answer = connection.getresponse()
    json.loads(answer.read())
    connection.close()
    return answer.status
