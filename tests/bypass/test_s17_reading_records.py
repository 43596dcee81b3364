"""S17: records served to whoever asks (CVE-2026-63330, CVE-2023-42442): no port of a gateway serves one, and the
files are readable by their owner alone, with the key."""

import stat
from pathlib import Path

import trio

from storage.errors import StorageError
from storage.reader import iter_records
from tests.bypass.attack import attack, recorded
from tests.kit.gateway_rig import Rig
from tests.kit.orc import OrcConnection, Script, SeenRequest, answer

CANARY = b"canary-of-a-record"
PODS = b"/api/v1/namespaces/default/pods"
ROUTES = [
    b"/", b"/sessions", b"/session/1", b"/records", b"/replay", b"/live", b"/export", b"/api/v1/sessions", b"/log/0", b"/debug/pprof/",
    b"/metrics", b"/livez?verbose", b"/readyz?verbose", b"/../data/log/0", b"/%2e%2e/log", b"/log/../log/0", b"/events", b"/recordings",
    b"/console", b"/static/../../log", b"/api/v1/secrets",
]  # fmt: skip

PUBLIC = {"gateway-id", "names"}
"""What the gateway and its certificate are called: the certificate says so too."""


def echoes() -> Script:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(200, CANARY if request.target.endswith(CANARY) else b"of the cluster"))

    return script


async def ask_management(rig: Rig, wire: bytes) -> bytes:
    stream = await trio.open_tcp_stream("127.0.0.1", rig.gateway.management_port)
    async with stream:
        await stream.send_all(wire)
        answered = b""
        while data := await stream.receive_some(65536):
            answered += data
    return answered


@attack(script=echoes)
async def ask_for_records(rig: Rig) -> None:
    assert CANARY in (await rig.ask(b"GET", PODS + b"/" + CANARY)).body
    exchanges = await recorded(rig)
    bearer = b"Authorization: Bearer " + rig.token
    for route in ROUTES:
        for method in (b"GET", b"HEAD", b"POST"):
            for fields in ((), (bearer,)):
                wire = b"\r\n".join([method + b" " + route + b" HTTP/1.1", b"Host: x", *fields, b"", b""])
                answered = await ask_management(rig, wire)
                assert CANARY not in answered, "the management port served a record"
                for secret in (rig.token, exchanges[0].intent.session.encode(), PODS):
                    assert secret not in answered, "the management port told of a session"
                known = route.partition(b"?")[0] in (b"/metrics", b"/livez", b"/readyz")
                assert answered.startswith(b"HTTP/1.1 404") is not (known and method == b"GET")
    for route in ROUTES[:8]:
        response = await rig.ask(b"GET", route)
        assert CANARY not in response.body, "the data port served a record"
        assert response.body == b"of the cluster", "a path of the data port is not the cluster's"


@attack(script=echoes)
async def read_the_files(rig: Rig) -> None:
    assert (await rig.ask(b"GET", PODS + b"/" + CANARY)).status == 200
    await recorded(rig)
    data_dir = rig.gateway.data_dir
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700, "others may look into the data directory"
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    assert any("log" in path.parts for path in files)
    for path in files:
        public = path.name in PUBLIC or path.suffix == ".crt"
        assert public or not path.stat().st_mode & 0o077, f"others may read {path.name}"
        assert CANARY not in path.read_bytes(), "the record is in clear"
    readable = True
    try:
        list(iter_records(data_dir / "log" / "0"))
    except StorageError:
        readable = False
    assert not readable, "the record can be read without its key"


async def test_S17_no_port_serves_a_record(tmp_path: Path) -> None:
    await ask_for_records.against(tmp_path)


async def test_S17_the_files_are_their_owners_alone_and_no_use_without_the_key(tmp_path: Path) -> None:
    await read_the_files.against(tmp_path)
