"""KMS as a server that keeps its rules (moto), and as one that has a bad day (a fake of ten lines)."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import msgspec
import pytest
from moto.server import ThreadedMotoServer

import gateway.keys.kms
from gateway.keys.kms import KeyServiceFailed, KmsKeys
from storage.encryption.cipher import DATA_KEY_BYTES
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import DataKey, Envelope, KeyMaker, KeyRing
from tests.kit.sealing import ORIGIN
from tests.kit.waiting import until

REGION = "eu-central-1"
CONTEXT = {"origin": ORIGIN, "cluster": "prod"}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "the-secret-access-key",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gateway.keys.kms, "ATTEMPTS", 1)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def arn(endpoint: str) -> str:
    kms = boto3.client("kms", region_name=REGION, endpoint_url=endpoint)
    return str(kms.create_key()["KeyMetadata"]["Arn"])


def keys(arn: str, endpoint: str) -> KmsKeys:
    return KmsKeys(arn, endpoint_url=endpoint, context=CONTEXT)


def made(arn: str, endpoint: str) -> DataKey:
    return KeyMaker(ORIGIN, [], keys(arn, endpoint).generate).make()


def test_a_data_key_is_made_and_opened_by_a_reader_that_knows_no_settings(arn: str, endpoint: str) -> None:
    key = made(arn, endpoint)
    (wrap,) = key.envelope.wraps
    assert len(key.key) == DATA_KEY_BYTES
    assert (wrap.kek_id, wrap.alg, wrap.context) == (arn, "aws-kms", {"cluster": "prod"})
    assert key.key not in wrap.blob
    reader = KmsKeys(endpoint_url=endpoint)
    assert KeyRing([reader]).data_key(key.envelope) == key.key
    assert made(arn, endpoint).key != key.key


def test_an_alias_becomes_the_arn_that_a_reader_needs(arn: str, endpoint: str) -> None:
    kms = boto3.client("kms", region_name=REGION, endpoint_url=endpoint)
    kms.create_alias(AliasName="alias/kubetape", TargetKeyId=arn)
    writer = KmsKeys("alias/kubetape", REGION, endpoint, CONTEXT)
    key, wrap = writer.generate("segment")
    assert wrap.kek_id == arn
    envelope = Envelope("segment", ORIGIN, (wrap,))
    assert KmsKeys(endpoint_url=endpoint).unwrap(envelope) == key


@pytest.mark.parametrize("changed", ["segment_id", "log_origin", "cluster", "more", "less"])
def test_another_context_is_refused(arn: str, endpoint: str, changed: str) -> None:
    """Segment, log and cluster are what KMS was told when it made the key, to the letter."""
    envelope = made(arn, endpoint).envelope
    (wrap,) = envelope.wraps
    if changed in ("segment_id", "log_origin"):
        envelope = msgspec.structs.replace(envelope, **{changed: "another"})
    else:
        context = {"cluster": {"cluster": "other"}, "more": {"cluster": "prod", "x": "y"}, "less": {}}[
            changed
        ]
        envelope = msgspec.structs.replace(envelope, wraps=(msgspec.structs.replace(wrap, context=context),))
    with pytest.raises(KeyServiceFailed, match="is not of this key, segment and log") as caught:
        KmsKeys(endpoint_url=endpoint).unwrap(envelope)
    assert caught.value.code == "InvalidCiphertextException"


def test_a_context_in_the_wrap_cannot_stand_in_for_segment_and_origin(arn: str, endpoint: str) -> None:
    """Else the wrap of one segment could be laid beside another and open there."""
    one = made(arn, endpoint).envelope
    (wrap,) = one.wraps
    lying = {"cluster": "prod", "segment_id": one.segment_id, "origin": ORIGIN}
    stolen = Envelope("other segment", ORIGIN, (msgspec.structs.replace(wrap, context=lying),))
    with pytest.raises(KeyServiceFailed):
        KmsKeys(endpoint_url=endpoint).unwrap(stolen)


def test_an_envelope_without_a_kms_wrap_is_not_for_us(endpoint: str) -> None:
    assert KmsKeys(endpoint_url=endpoint).unwrap(Envelope("s", ORIGIN, ())) is None


def test_an_unknown_key_says_so(arn: str, endpoint: str) -> None:
    unknown = arn[:-12] + "000000000000"
    with pytest.raises(KeyServiceFailed, match=r"GenerateDataKey with arn:.*: there is no such key"):
        keys(unknown, endpoint).generate("s")


def test_the_pool_bridges_an_outage_and_says_why(arn: str, endpoint: str) -> None:
    maker = KeyMaker(ORIGIN, [], keys(arn, endpoint).generate)
    pool = KeyPool(maker, 3, first_pause_s=0.001)
    pool.start()
    assert pool.take(20) is not None
    pool.stop()
    closed = KeyPool(KeyMaker(ORIGIN, [], keys(arn, unused_endpoint()).generate), 1, first_pause_s=60)
    closed.start()
    until(lambda: closed.problem)
    assert not closed.is_ready
    assert "cannot be reached: check the network, or the VPC endpoint of kms" in closed.problem
    closed.stop()


def test_the_text_form_of_a_reply_hides_the_key() -> None:
    assert repr(gateway.keys.kms._Reply(b"secret", b"blob", "arn")) == "_Reply(arn)"


# --- bad days -------------------------------------------------------------------------------------


def unused_endpoint() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


class Answers(BaseHTTPRequestHandler):
    """Gives one answer to everything and counts the questions."""

    status, body, asked = 400, b"", 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def bad_day() -> Iterator[tuple[str, type[Answers]]]:
    answers = type("OneDay", (Answers,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers
    server.shutdown()
    thread.join()
    server.server_close()


KEY_ARN = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("AccessDeniedException", "access denied: allow the role kms:GenerateDataKey on this key"),
        ("ThrottlingException", "is asked too often just now, and is asked again"),
        ("DisabledException", "the key is disabled: enable it"),
        ("KMSInvalidStateException", "cancel the deletion"),
        ("InvalidKeyUsageException", "must be SYMMETRIC_DEFAULT"),
        ("ExpiredTokenException", "does not accept the AWS credentials"),
        ("InvalidSignatureException", "does not accept the AWS credentials"),
        ("SomethingNewException", "failed with SomethingNewException"),
    ],
)
def test_every_refusal_says_what_to_do_and_quotes_nothing(
    bad_day: tuple[str, type[Answers]], code: str, why: str
) -> None:
    endpoint, answers = bad_day
    answers.body = json.dumps(
        {"__type": code, "message": "Credential=testing the-secret-access-key"}
    ).encode()
    with pytest.raises(KeyServiceFailed) as caught:
        keys(KEY_ARN, endpoint).generate("s")
    assert why in str(caught.value)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


def test_throttling_is_tried_again_a_few_times_only(
    bad_day: tuple[str, type[Answers]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, answers = bad_day
    monkeypatch.setattr(gateway.keys.kms, "ATTEMPTS", 2)
    answers.body = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()
    with pytest.raises(KeyServiceFailed):
        keys(KEY_ARN, endpoint).generate("s")
    assert answers.asked == 2


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"Plaintext": 7}', b'{"Plaintext": "AAAA", "KeyId": "a"}']
)
def test_an_answer_that_is_none_of_kms_is_an_error(bad_day: tuple[str, type[Answers]], body: bytes) -> None:
    endpoint, answers = bad_day
    answers.status, answers.body = 200, body
    with pytest.raises(KeyServiceFailed, match="KMS GenerateDataKey with"):
        keys(KEY_ARN, endpoint).generate("s")


def test_silence_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.keys.kms, "READ_TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(KeyServiceFailed, match="no answer within"):
            keys(KEY_ARN, f"http://127.0.0.1:{silent.getsockname()[1]}").generate("s")


def test_no_credentials_say_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(KeyServiceFailed, match="no AWS credentials: give the pod a role"):
        keys(KEY_ARN, unused_endpoint()).generate("s")


def test_no_region_says_so() -> None:
    with pytest.raises(KeyServiceFailed, match="no region: give the ARN of the key or kmsRegion"):
        KmsKeys("alias/x", context=CONTEXT).generate("s")


def test_an_endpoint_that_is_none_is_an_error() -> None:
    with pytest.raises(KeyServiceFailed, match="KMS GenerateDataKey"):
        KmsKeys(KEY_ARN, endpoint_url="no endpoint", context=CONTEXT).generate("s")
