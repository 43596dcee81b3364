"""Who is believed: trusted gateways of this cluster, and nobody who can only write to the database."""

from pathlib import Path

import msgspec
import pytest

from gateway.state.signing import MAX_KEY_FILE_BYTES, PURPOSE, RefusedEntry, Seal, open_seal
from gateway.state.store import MAX_ENTRY_BYTES, StateError, Stored
from storage.errors import BadKeyFile
from storage.tlog.note import KeyType, generate_signer, parse_signer
from tests.kit.state_entries import asked, granted, said


def seal(tmp_path: Path, name: str = "gw-1", cluster: str = "prod", *trusted: str) -> Seal:
    directory = tmp_path / name
    directory.mkdir(exist_ok=True)
    return open_seal(directory, name, cluster, trusted_keys=trusted)


def vkey(tmp_path: Path, name: str) -> str:
    return (tmp_path / name / "keys" / "state.vkey").read_text().strip()


def test_a_gateway_believes_itself_also_after_a_restart(tmp_path: Path) -> None:
    stored = Stored(1, *seal(tmp_path).close(said()))
    assert seal(tmp_path).open(stored) == said()


def test_a_trusted_replica_is_believed_and_another_is_not(tmp_path: Path) -> None:
    stored = Stored(1, *seal(tmp_path, "gw-2").close(said()))
    assert seal(tmp_path, "gw-1", "prod", vkey(tmp_path, "gw-2")).open(stored) == said()
    with pytest.raises(RefusedEntry, match=r"entry 1 .* unknown key .* state.trustedKeys"):
        seal(tmp_path, "gw-1").open(stored)


def test_replicas_with_one_key_file_believe_each_other(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(generate_signer("replicas")[0] + "\n")
    one = open_seal(tmp_path, "gw-1", "prod", key_file=str(key))
    other = open_seal(tmp_path, "gw-2", "prod", key_file=str(key))
    assert other.open(Stored(1, *one.close(said()))) == said()
    assert not (tmp_path / "keys").exists()


def test_an_entry_of_another_cluster_does_not_count_here(tmp_path: Path) -> None:
    stored = Stored(1, *seal(tmp_path, "gw-1", "staging").close(granted()))
    with pytest.raises(RefusedEntry, match="another cluster"):
        seal(tmp_path, "gw-1", "prod").open(stored)


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    ours = seal(tmp_path)
    encoded, signature = ours.close(said())
    for position in range(len(encoded)):
        changed = bytearray(encoded)
        changed[position] ^= 1
        with pytest.raises(RefusedEntry):
            ours.open(Stored(1, bytes(changed), signature))
    for position in range(len(signature)):
        changed = bytearray(signature)
        changed[position] ^= 1
        with pytest.raises(RefusedEntry):
            ours.open(Stored(1, encoded, bytes(changed)))


def test_a_signature_does_not_fit_another_entry(tmp_path: Path) -> None:
    ours = seal(tmp_path)
    _, signature = ours.close(said())
    encoded, _ = ours.close(said("carol"))
    with pytest.raises(RefusedEntry):
        ours.open(Stored(1, encoded, signature))


@pytest.mark.parametrize("signature", [b"", b"abc", b"x" * 68, b"x" * 10_000])
def test_no_signature_at_all_is_refused(tmp_path: Path, signature: bytes) -> None:
    ours = seal(tmp_path)
    with pytest.raises(RefusedEntry, match="unknown key"):
        ours.open(Stored(1, ours.close(said())[0], signature))


def test_a_signed_entry_of_a_later_version_is_refused_with_a_word_what_to_do(tmp_path: Path) -> None:
    secret, _ = generate_signer("gw")
    signer = parse_signer(secret)
    encoded = msgspec.json.encode({"kind": "FromTheFuture", "atNs": 1})
    signature = signer.verifier.key_id + signer.sign(PURPOSE + b"prod\n" + encoded)
    with pytest.raises(RefusedEntry, match="upgrade this replica"):
        Seal(signer, [], "prod").open(Stored(1, encoded, signature))


def test_an_entry_that_is_too_large_is_refused(tmp_path: Path) -> None:
    ours = seal(tmp_path)
    with pytest.raises(RefusedEntry):
        ours.open(Stored(1, *ours.close(asked(body="x" * MAX_ENTRY_BYTES))))


def test_a_lost_key_is_not_replaced_silently(tmp_path: Path) -> None:
    seal(tmp_path)
    (tmp_path / "gw-1" / "keys" / "state.key").unlink()
    with pytest.raises(BadKeyFile, match=r"state\.key .* state\.vkey"):
        seal(tmp_path)


def test_a_replaced_key_of_ours_is_still_believed(tmp_path: Path) -> None:
    stored = Stored(1, *seal(tmp_path).close(said()))
    secret, _ = generate_signer("kubetape-state/gw-1")
    key = tmp_path / "gw-1" / "keys" / "state.key"
    key.write_text(key.read_text() + secret + "\n")
    renewed = seal(tmp_path)
    assert renewed.close(said())[1][:4] != stored.signature[:4]
    assert renewed.open(stored) == said()


def test_the_key_is_private_and_not_the_logs(tmp_path: Path) -> None:
    seal(tmp_path)
    assert (tmp_path / "gw-1" / "keys" / "state.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "gw-1" / "keys" / "log.key").exists()


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"state\.trustedKeys: "):
        seal(tmp_path, "gw-1", "prod", "nonsense")
    _, cosigner = generate_signer("witness", KeyType.COSIGNATURE)
    with pytest.raises(StateError, match="witness is no Ed25519 key"):
        seal(tmp_path, "gw-1", "prod", cosigner)


def test_a_bad_key_file_is_named_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for content, why in (
        (b"\xff", "not a text file"),
        (b"secret", "begins with"),
        (generate_signer("w", KeyType.COSIGNATURE)[0].encode(), "no Ed25519 key"),
    ):
        path.write_bytes(content)
        with pytest.raises(StateError, match=why) as caught:
            open_seal(tmp_path, "gw", "prod", key_file=str(path))
        assert "secret" not in str(caught.value)
    path.unlink()
    with pytest.raises(StateError, match=r"cannot read .*key: No such file"):
        open_seal(tmp_path, "gw", "prod", key_file=str(path))
    path.write_bytes(b"x" * (MAX_KEY_FILE_BYTES + 1))
    with pytest.raises(BadKeyFile):
        open_seal(tmp_path, "gw", "prod", key_file=str(path))
