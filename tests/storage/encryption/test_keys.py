import json
import secrets
from pathlib import Path

import pytest

import storage.encryption.keys
from storage.encryption.keys import (
    MAX_ENVELOPE_BYTES,
    NO_KEYS,
    DataKey,
    Envelope,
    KeyMaker,
    KeyRing,
    Wrap,
    encode_envelope,
    parse_envelope,
    read_envelope,
    write_envelope,
)
from storage.errors import BadKeyFile, NoKey, Shredded, StorageError
from storage.files import REAL_FILES
from tests.kit.faulty_files import FailingFiles
from tests.kit.sealing import KEK, ORIGIN, XorKey, maker

ENVELOPE = Envelope(
    "019a0000-0000-7000-8000-000000000001",
    ORIGIN,
    (Wrap("local:a", "aes-kw", b"\0\1\2"), Wrap("arn:x", "aws-kms", b"blob", {"cluster": "prod"})),
)


class Failing:
    """A recipient whose wraps do not open."""

    def unwrap(self, envelope: Envelope) -> bytes | None:
        raise StorageError("damaged")


def test_an_envelope_is_a_small_json_file_that_a_person_can_read() -> None:
    encoded = encode_envelope(ENVELOPE)
    assert parse_envelope(encoded, "x.keys") == ENVELOPE
    assert json.loads(encoded) == {
        "segment_id": ENVELOPE.segment_id,
        "log_origin": ORIGIN,
        "wraps": [
            {"kek_id": "local:a", "alg": "aes-kw", "blob": "AAEC"},
            {"kek_id": "arn:x", "alg": "aws-kms", "blob": "YmxvYg==", "context": {"cluster": "prod"}},
        ],
        "version": 1,
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"{}",
        b'{"segment_id":"a","log_origin":"b","wraps":[{"kek_id":"k","alg":"x","blob":"!!"}]}',
        b'{"segment_id":"a","log_origin":"b","wraps":[{"kek_id":"k","alg":"x","blob":"","more":1}]}',
        b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        encode_envelope(ENVELOPE)[:-20],
    ],
)
def test_a_garbled_envelope_is_named(content: bytes) -> None:
    with pytest.raises(BadKeyFile, match=r"x\.keys: not a key envelope"):
        parse_envelope(content, "x.keys")


def test_an_envelope_of_a_later_version_says_so() -> None:
    with pytest.raises(BadKeyFile, match="version 2 needs a newer version"):
        parse_envelope(encode_envelope(ENVELOPE).replace(b'"version": 1', b'"version": 2'), "x.keys")


def test_an_envelope_is_written_and_replaced_as_a_whole(tmp_path: Path) -> None:
    segment = tmp_path / "s.kseg"
    write_envelope(REAL_FILES, tmp_path / "s.keys", ENVELOPE)
    assert read_envelope(REAL_FILES, segment) == ENVELOPE
    other = Envelope("b", ORIGIN, ())
    for kind in ("create", "write", "sync", "rename"):
        with pytest.raises(OSError, match="injected"):
            write_envelope(FailingFiles(1, only=kind), tmp_path / "s.keys", other)
        assert read_envelope(REAL_FILES, segment) == ENVELOPE
    write_envelope(REAL_FILES, tmp_path / "s.keys", other)
    assert read_envelope(REAL_FILES, segment) == other
    assert [path.name for path in tmp_path.iterdir()] == ["s.keys"]


def test_a_missing_envelope_and_a_destroyed_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match=r"s\.keys is missing beside s\.kseg: restore it") as missing:
        read_envelope(REAL_FILES, tmp_path / "s.kseg")
    assert not isinstance(missing.value, Shredded)
    (tmp_path / "s.shredded").write_bytes(b"{}")
    with pytest.raises(Shredded, match="its key was destroyed"):
        read_envelope(REAL_FILES, tmp_path / "s.kseg")


def test_an_envelope_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "s.keys").write_bytes(b" " * (MAX_ENVELOPE_BYTES + 1))
    with pytest.raises(BadKeyFile, match="larger than 65536 bytes"):
        read_envelope(REAL_FILES, tmp_path / "s.kseg")


def test_each_data_key_is_new_and_for_a_segment_of_its_own() -> None:
    keys = [maker().make() for _ in range(50)]
    assert len({key.key for key in keys}) == len({key.envelope.segment_id for key in keys}) == 50
    assert {(len(key.key), key.envelope.log_origin) for key in keys} == {(32, ORIGIN)}


def test_segment_ids_of_one_run_ascend_whatever_the_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([2_000_000_000, 2_000_000_000, 1_000_000_000, 2_000_900_000, 9_000_000_000])
    monkeypatch.setattr("storage.encryption.keys.time.time_ns", lambda: next(times))
    run = maker()
    ids = [run.make().envelope.segment_id for _ in range(5)]
    assert ids == sorted(ids)
    assert len({one[:13] for one in ids}) == 5


def test_a_data_key_is_wrapped_for_every_recipient_and_any_of_them_opens_it() -> None:
    one, two = XorKey("local:1", 1), XorKey("local:2", 2)
    made = maker(one, two).make()
    assert [wrap.kek_id for wrap in made.envelope.wraps] == ["local:1", "local:2"]
    for recipient in (one, two):
        assert KeyRing([recipient]).data_key(made.envelope) == made.key


def test_a_service_that_generates_keys_comes_first_and_others_wrap_what_it_made() -> None:
    key = secrets.token_bytes(32)
    made = KeyMaker(ORIGIN, [KEK], lambda segment: (key, Wrap("arn", "aws-kms", segment.encode()))).make()
    assert made.key == key
    assert [wrap.kek_id for wrap in made.envelope.wraps] == ["arn", "local:test"]
    assert made.envelope.wraps[0].blob == made.envelope.segment_id.encode()
    assert KeyRing([KEK]).data_key(made.envelope) == key


def test_keys_for_nobody_are_a_bug() -> None:
    with pytest.raises(AssertionError):
        KeyMaker(ORIGIN, [])


def test_a_ring_without_the_key_names_the_key_wanted() -> None:
    made = maker().make()
    for ring in (NO_KEYS, KeyRing([XorKey("local:other")])):
        with pytest.raises(NoKey, match=r"encrypted for local:test, .* give it with --key FILE"):
            ring.data_key(made.envelope)
    with pytest.raises(NoKey, match="encrypted for nobody"):
        NO_KEYS.data_key(Envelope("a", ORIGIN, ()))
    assert not NO_KEYS
    assert KeyRing([KEK])


def test_a_ring_asks_once_for_each_segment_and_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.encryption.keys, "_REMEMBERED", 2)
    recipient = XorKey()
    ring = KeyRing([recipient])
    made = [maker().make() for _ in range(3)]
    for key in made[:2]:
        assert ring.data_key(key.envelope) == ring.data_key(key.envelope) == key.key
    assert recipient.opened == 2
    ring.data_key(made[2].envelope)
    ring.data_key(made[0].envelope)
    assert recipient.opened == 4


def test_what_one_key_cannot_open_another_may() -> None:
    made = maker().make()
    assert KeyRing([Failing(), KEK]).data_key(made.envelope) == made.key
    with pytest.raises(StorageError, match="damaged"):
        KeyRing([Failing(), XorKey("local:other")]).data_key(made.envelope)


def test_the_text_form_of_a_data_key_hides_it() -> None:
    key = secrets.token_bytes(32)
    made = DataKey(ENVELOPE, key)
    for shown in (repr(made), str(made), f"{made}"):
        assert repr(key)[2:-1] not in shown
        assert key.hex() not in shown
