import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.keys.opening import can_read, pool_size
from gateway.keys.settings import EncryptionSettings, region_of

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
RECIPIENT = "x25519:" + base64.b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


def settings(**said: object) -> EncryptionSettings:
    return msgspec.convert(said, EncryptionSettings)


def test_nothing_said_is_the_local_key() -> None:
    said = settings()
    assert (said.is_encrypted, said.uses_local, can_read(said), pool_size(said)) == (True, True, True, 2)


def test_no_encryption_must_be_said() -> None:
    said = settings(mode="none")
    assert (said.is_encrypted, said.uses_local, can_read(said)) == (False, False, True)


@pytest.mark.parametrize(
    ("said", "reads", "size"),
    [
        ({"mode": "local"}, True, 2),
        ({"localKey": "/keys/k"}, True, 2),
        ({"hpkeRecipients": [RECIPIENT]}, False, 2),
        ({"kmsKey": ARN}, False, 8),
        ({"mode": "local", "hpkeRecipients": [RECIPIENT]}, True, 2),
        ({"mode": "local", "kmsKey": ARN, "hpkeRecipients": [RECIPIENT]}, True, 8),
        ({"localKey": "/keys/k", "kmsKey": ARN}, True, 8),
        ({"hpkeRecipients": [RECIPIENT], "kmsKey": ARN}, False, 8),
    ],
)
def test_who_can_read_follows_from_who_is_a_recipient(
    said: dict[str, object], reads: bool, size: int
) -> None:
    assert (can_read(settings(**said)), pool_size(settings(**said))) == (reads, size)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"mode": "nothing"}, "Invalid enum value 'nothing'"),
        ({"Mode": "none"}, "unknown field `Mode`"),
        ({"mode": "none", "localKey": "k"}, "mode: none means no encryption"),
        ({"mode": "none", "hpkeRecipients": [RECIPIENT]}, "mode: none means no encryption"),
        ({"mode": "none", "kmsKey": ARN}, "mode: none means no encryption"),
        ({"localKey": ""}, "localKey: name a file"),
        ({"hpkeRecipients": ["x25519:AAAA"]}, "hpkeRecipients, number 1: recipient 'x25519:...'"),
        ({"hpkeRecipients": [RECIPIENT, RECIPIENT]}, "hpkeRecipients, number 2: is there twice"),
        ({"hpkeRecipients": [RECIPIENT] * 17}, "hpkeRecipients: at most 16"),
        ({"kmsRegion": "eu-central-1"}, "kmsRegion and kmsEndpoint need a kmsKey"),
        ({"kmsEndpoint": "https://kms"}, "kmsRegion and kmsEndpoint need a kmsKey"),
        ({"kmsKey": "my key"}, "kmsKey: an ARN"),
        ({"kmsKey": "arn:aws:s3:eu-central-1:111122223333:key/x"}, "kmsKey: an ARN"),
        ({"kmsKey": "alias/kubetape"}, "or its kmsRegion beside it"),
        ({"kmsKey": "alias/kubetape", "kmsRegion": "EU Central"}, "kmsRegion: such as eu-central-1"),
        ({"kmsKey": ARN, "kmsRegion": "us-east-1"}, "the ARN of kmsKey says eu-central-1"),
        ({"kmsKey": ARN, "kmsEndpoint": "kms:443"}, "kmsEndpoint: https://HOST"),
        ({"kmsKey": ARN, "kmsEndpoint": "https://user:pw@kms"}, "kmsEndpoint: https://HOST"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(said: dict[str, object], why: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        settings(**said)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        {"kmsKey": "alias/kubetape", "kmsRegion": "eu-central-1"},
        {"kmsKey": "1234abcd-12ab-34cd-56ef-1234567890ab", "kmsRegion": "eu-central-1"},
        {"kmsKey": "mrk-1234abcd12ab34cd56ef1234567890ab", "kmsRegion": "eu-central-1"},
        {"kmsKey": ARN, "kmsRegion": "eu-central-1", "kmsEndpoint": "http://127.0.0.1:5000"},
        {"kmsKey": "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/kubetape"},
    ],
)
def test_every_way_to_name_a_kms_key_is_taken(said: dict[str, object]) -> None:
    assert settings(**said).kms_key


def test_an_arn_says_its_region() -> None:
    assert region_of(ARN) == "eu-central-1"
    assert region_of("alias/x") == ""
    assert region_of(ARN.replace("eu-central-1", "evil.example.com/")) == ""
