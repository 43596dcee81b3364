import re
from pathlib import Path

import pytest

from gateway.keys.kms import KmsKeys
from gateway.keys.opening import open_key_file, open_key_maker, open_key_ring
from gateway.keys.settings import EncryptionSettings
from storage.encryption.hpke_key import generate_recipient
from storage.encryption.keys import KeyMaker, Wrap
from storage.encryption.local_key import default_path, ensure_local_key
from storage.errors import BadKeyFile, NoKey
from tests.kit.sealing import ORIGIN


def maker(settings: EncryptionSettings, data_dir: Path) -> KeyMaker:
    made = open_key_maker(settings, data_dir, ORIGIN, "prod")
    assert made is not None
    return made


def test_no_encryption_makes_no_keys(tmp_path: Path) -> None:
    assert open_key_maker(EncryptionSettings(mode="none"), tmp_path, ORIGIN, "prod") is None
    assert list(tmp_path.iterdir()) == []


def test_the_default_makes_a_local_key_that_a_reader_finds(tmp_path: Path) -> None:
    made = maker(EncryptionSettings(), tmp_path).make()
    assert made.envelope.log_origin == ORIGIN
    assert open_key_ring(tmp_path, [], use_kms=False).data_key(made.envelope) == made.key


def test_a_local_key_elsewhere_is_given_by_name(tmp_path: Path) -> None:
    elsewhere = tmp_path / "secrets" / "k"
    made = maker(EncryptionSettings(local_key=str(elsewhere)), tmp_path).make()
    assert not default_path(tmp_path).exists()
    with pytest.raises(NoKey):
        open_key_ring(tmp_path, [], use_kms=False).data_key(made.envelope)
    assert open_key_ring(tmp_path, [elsewhere], use_kms=False).data_key(made.envelope) == made.key


def test_a_gateway_that_encrypts_for_a_recipient_has_nothing_that_opens_its_log(tmp_path: Path) -> None:
    line = generate_recipient(tmp_path / "audit.pem")
    made = maker(EncryptionSettings(hpke_recipients=(line,)), tmp_path / "data").make()
    assert not (tmp_path / "data").exists()
    with pytest.raises(NoKey, match=re.escape(f"encrypted for {line}")):
        open_key_ring(tmp_path / "data", [], use_kms=True).data_key(made.envelope)
    ring = open_key_ring(tmp_path / "data", [tmp_path / "audit.pem"], use_kms=False)
    assert ring.data_key(made.envelope) == made.key


def test_each_of_several_recipients_opens_the_log(tmp_path: Path) -> None:
    lines = tuple(generate_recipient(tmp_path / name, hybrid=name == "h") for name in ("x", "h"))
    made = maker(EncryptionSettings(mode="local", hpke_recipients=lines), tmp_path).make()
    assert [wrap.alg.partition("-")[0] for wrap in made.envelope.wraps] == ["aes", "hpke", "hpke"]
    for key_file in (tmp_path / "x", tmp_path / "h", default_path(tmp_path)):
        assert open_key_file(key_file).unwrap(made.envelope) == made.key


def test_a_kms_key_comes_first_and_is_not_asked_before_it_is_needed(tmp_path: Path) -> None:
    arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    made = maker(EncryptionSettings(mode="local", kms_key=arn), tmp_path)
    generate = made._generate
    assert generate is not None
    assert isinstance(generate.__self__, KmsKeys)  # type: ignore[attr-defined]
    assert generate.__self__._context == {"origin": ORIGIN, "cluster": "prod"}  # type: ignore[attr-defined]


def test_a_key_file_that_cannot_be_used_is_an_error_and_not_a_missing_key(tmp_path: Path) -> None:
    with pytest.raises(BadKeyFile, match=r"cannot read key file .*none"):
        open_key_ring(tmp_path, [tmp_path / "none"], use_kms=False)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BadKeyFile, match="text: holds no PEM block; wanted is the private key"):
        open_key_ring(tmp_path, [tmp_path / "text"], use_kms=False)
    (tmp_path / "old").write_text("# mine\nkubetape-kek-1 x\n")
    (tmp_path / "old").chmod(0o600)
    with pytest.raises(BadKeyFile, match="old:2: not a key"):
        open_key_ring(tmp_path, [tmp_path / "old"], use_kms=False)
    ensure_local_key(default_path(tmp_path)).path.chmod(0o644)
    with pytest.raises(BadKeyFile, match="chmod 600"):
        open_key_ring(tmp_path, [], use_kms=False)


def test_kms_is_asked_only_for_an_envelope_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(self: KmsKeys, envelope: object, wrap: Wrap) -> bytes:
        asked.append(wrap.kek_id)
        return bytes(32)

    monkeypatch.setattr(KmsKeys, "_decrypt", note)
    line = generate_recipient(tmp_path / "k")
    made = maker(EncryptionSettings(hpke_recipients=(line,)), tmp_path).make()
    with pytest.raises(NoKey):
        open_key_ring(tmp_path, [], use_kms=True).data_key(made.envelope)
    assert asked == []
