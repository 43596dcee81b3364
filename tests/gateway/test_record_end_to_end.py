"""The whole record, as an operator has it: a real gateway and keeper, a bucket with object lock, and the commands.

Everything is the product but the API server; the bucket is moto's.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import Checkpoints as CheckpointSettings
from gateway.config import Export, IndexMode, Settings, WitnessSettings
from gateway.export.settings import LockMode, ObjectLock, Rows, S3Settings
from gateway.keys.settings import EncryptionSettings
from gateway.log_name import identify_log
from gateway.outlets.settings import OutletSettings, OutletType
from storage.encryption.hpke_key import generate_recipient
from storage.notary.log_key import open_signer
from tests.kit.gateway_rig import Rig, open_rig
from tests.kit.moto_s3 import REGION, make_bucket, open_moto
from tests.kit.running import Ran, run_cli
from tests.kit.strict_s3 import credentials
from tests.kit.witness_rig import WITNESS_KEY, open_witness

BUCKET, PREFIX = "audit", "prod"
PODS = b"/api/v1/namespaces/default/pods"
CANARY = b"correct-horse-battery"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with open_moto() as running:
        yield running


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch, endpoint: str, tmp_path: Path) -> None:
    credentials(monkeypatch.setenv)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def client(endpoint: str, request: pytest.FixtureRequest) -> Any:
    """Of a new bucket; `bucket` is its name."""
    name = f"{BUCKET}-{abs(hash(request.node.name)) % 10**9}"
    made = make_bucket(endpoint, name)
    made.bucket = name
    return made


def exporting(endpoint: str, bucket: str, rows: Rows = Rows.FULL) -> Export:
    lock = ObjectLock(mode=LockMode.GOVERNANCE, days=1)
    return Export(
        S3Settings(
            bucket=bucket, prefix=PREFIX, endpoint_url=endpoint, region=REGION, object_lock=lock, rows=rows
        )
    )


async def work_and_end(rig: Rig) -> None:
    """Some calls, then an orderly end, which brings everything into the bucket."""
    for _ in range(3):
        await rig.ask(b"GET", PODS)
    body = b'{"data":{"k":"' + CANARY + b'"}}'
    target = b"/api/v1/namespaces/default/configmaps"
    await rig.ask(b"POST", target, b"Content-Type: application/json", body=body)
    rig.gateway.start_drain()
    await rig.gateway.ended.wait()


def keys_of(client: Any) -> list[str]:
    return [found["Key"] for found in client.list_objects_v2(Bucket=client.bucket)["Contents"]]


def said(ran: Ran) -> Ran:
    assert ran.code == 0, ran.err + ran.out
    return ran


async def test_what_was_done_is_found_and_proven_in_the_bucket_alone(
    tmp_path: Path, endpoint: str, client: Any
) -> None:
    sink = tmp_path / "audit.jsonl"

    def change(settings: Settings) -> Settings:
        outlet = OutletSettings(name="file", type=OutletType.AUDIT_FILE, path=str(sink))
        return msgspec.structs.replace(
            settings, export=exporting(endpoint, client.bucket), sinks=[outlet], drain_seconds=1
        )

    async with open_rig(tmp_path, keeper=True, change=change, deadline_s=90) as rig:
        vkey = rig.gateway.record.log_key
        await work_and_end(rig)
    data_dir = tmp_path / "data"
    store = f"s3://{client.bucket}/{PREFIX}"

    locked = {key for key in keys_of(client) if "/segments/" in key}
    assert len(locked) == 1
    head = client.head_object(Bucket=client.bucket, Key=next(iter(locked)))
    assert head["ObjectLockMode"] == "GOVERNANCE"

    for place in (str(data_dir), store):
        assert "untouched" in said(run_cli("verify", place, "--vkey", vkey)).out
    key = str(data_dir / "keys" / "local.key")
    listed = said(run_cli("sessions", "ls", "--calls", "--store", store, "--key", key))
    assert sum("list pods" in line for line in listed.lines) == 3
    found = said(run_cli("sessions", "search", CANARY.decode(), "--store", store, "--key", key))
    assert CANARY.decode() in found.out
    assert "indexed" in said(run_cli("store", "rebuild-index", store, "--key", key)).out
    rows = said(
        run_cli(
            "lake", "query", "SELECT verb, count(*) AS n FROM api_calls GROUP BY verb ORDER BY n DESC",
            "--store", store, "-o", "json",
        )
    )  # fmt: skip
    assert json.loads(rows.out)[0] == {"verb": "list", "n": 3}
    assert "yes" in said(run_cli("store", "ls", "--store", store)).out
    events = [json.loads(line) for line in sink.read_text().splitlines()]
    assert [event["verb"] for event in events if event["stage"] == "ResponseComplete"].count("list") == 3


async def test_a_tampered_object_is_named_by_verify(tmp_path: Path, endpoint: str, client: Any) -> None:
    def change(settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, export=exporting(endpoint, client.bucket))

    async with open_rig(tmp_path, keeper=True, change=change, deadline_s=90) as rig:
        vkey = rig.gateway.record.log_key
        await work_and_end(rig)
    (name,) = (key for key in keys_of(client) if "/segments/" in key)
    body = bytearray(client.get_object(Bucket=client.bucket, Key=name)["Body"].read())
    body[4096 + 60] ^= 1
    client.put_object(Bucket=client.bucket, Key=name, Body=bytes(body))  # a version on top of the locked one
    ran = run_cli("verify", f"s3://{client.bucket}/{PREFIX}", "--vkey", vkey)
    assert ran.code == 10
    assert "4096" in ran.out


async def test_a_gateway_that_cannot_read_leaves_no_clear_text_and_its_holder_finds_everything(
    tmp_path: Path, endpoint: str, client: Any
) -> None:
    private = tmp_path / "auditor.pem"
    recipient = generate_recipient(private)

    def change(settings: Settings) -> Settings:
        record = msgspec.structs.replace(
            settings.record, encryption=EncryptionSettings(hpke_recipients=(recipient,))
        )
        return msgspec.structs.replace(
            settings, record=record, export=exporting(endpoint, client.bucket, Rows.NONE)
        )

    async with open_rig(tmp_path, keeper=True, change=change, deadline_s=90) as rig:
        await work_and_end(rig)
    data_dir = tmp_path / "data"
    for path in data_dir.rglob("*"):
        assert path.is_dir() or CANARY not in path.read_bytes(), path
    for key in keys_of(client):
        assert CANARY not in client.get_object(Bucket=client.bucket, Key=key)["Body"].read(), key
    for place in (["--data-dir", str(data_dir)], ["--store", f"s3://{client.bucket}/{PREFIX}"]):
        refused = run_cli("sessions", "search", CANARY.decode(), *place)
        assert refused.code == 1
        assert "x25519:" in refused.err
        found = said(run_cli("sessions", "search", CANARY.decode(), *place, "--key", str(private)))
        assert CANARY.decode() in found.out


async def test_with_kms_whoever_may_decrypt_reads_and_the_gateway_does_not(
    tmp_path: Path, endpoint: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    made = boto3.client("kms", endpoint_url=endpoint, region_name=REGION).create_key()
    arn = made["KeyMetadata"]["Arn"]

    def change(settings: Settings) -> Settings:
        encryption = EncryptionSettings(kms_key=arn, kms_endpoint=endpoint)
        record = msgspec.structs.replace(settings.record, encryption=encryption)
        return msgspec.structs.replace(settings, record=record)

    async with open_rig(tmp_path, keeper=True, change=change, deadline_s=90) as rig:
        vkey = rig.gateway.record.log_key
        await work_and_end(rig)
    data_dir = str(tmp_path / "data")
    assert not list((tmp_path / "data" / "keys").glob("local*"))
    assert "untouched" in said(run_cli("verify", data_dir, "--vkey", vkey)).out
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", endpoint)
    found = said(run_cli("sessions", "search", CANARY.decode(), "--data-dir", data_dir))
    assert CANARY.decode() in found.out
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    refused = run_cli("sessions", "search", CANARY.decode(), "--data-dir", data_dir)
    assert refused.code == 1
    assert "KMS" in refused.err


async def test_a_gateway_that_cannot_read_indexes_what_it_writes_if_told_to(
    tmp_path: Path, endpoint: str, client: Any
) -> None:
    recipient = generate_recipient(tmp_path / "auditor.pem")
    sink = tmp_path / "audit.jsonl"

    def change(settings: Settings) -> Settings:
        record = msgspec.structs.replace(
            settings.record,
            encryption=EncryptionSettings(hpke_recipients=(recipient,)),
            index=IndexMode.METADATA,
        )
        return msgspec.structs.replace(
            settings,
            record=record,
            export=exporting(endpoint, client.bucket, Rows.METADATA),
            sinks=[OutletSettings(name="file", type=OutletType.AUDIT_FILE, path=str(sink))],
        )

    async with open_rig(tmp_path, keeper=True, change=change, deadline_s=90) as rig:
        await work_and_end(rig)
    data_dir = tmp_path / "data"
    listed = said(run_cli("sessions", "ls", "--calls", "--data-dir", str(data_dir)))
    assert sum("list pods" in line for line in listed.lines) == 3
    words = run_cli("sessions", "search", CANARY.decode(), "--data-dir", str(data_dir))
    assert words.code != 0
    assert "metadata" in words.err
    for path in (data_dir / "index").rglob("*"):
        assert CANARY not in path.read_bytes(), path
    assert sink.read_text().count('"verb":"list"') == 3


async def test_a_witness_of_another_party_has_cosigned_what_is_in_the_bucket(
    tmp_path: Path, endpoint: str, client: Any
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "gateway-id").write_text("gw-7\n")
    log_key = open_signer(data_dir, identify_log("gw-7", 0).log_origin).verifier
    async with open_witness(tmp_path / "witness", log_key) as url:

        def change(settings: Settings) -> Settings:
            witness = WitnessSettings(url, WITNESS_KEY.verifier.vkey)
            return msgspec.structs.replace(
                settings,
                export=exporting(endpoint, client.bucket),
                checkpoints=CheckpointSettings(witnesses=[witness]),
            )

        async with open_rig(tmp_path, keeper=True, change=change, deadline_s=90) as rig:
            await work_and_end(rig)
    policy = tmp_path / "policy.txt"
    policy.write_text(
        f"log {log_key.vkey}\nwitness w {WITNESS_KEY.verifier.vkey}\nquorum w\n", encoding="utf-8"
    )
    ran = said(run_cli("verify", f"s3://{client.bucket}/{PREFIX}", "--policy", str(policy)))
    assert "untouched" in ran.out
